"""Three replicas on one Redis, and everything that can happen to them, again and again, under load; then count.

Senders spray batches over the replicas, each again until it is acknowledged, and a tenth of them once more after that. Round by
round one thing goes wrong, or two at a time:

- a replica is sent SIGKILL, and started anew;
- a replica is sent SIGSTOP for longer than its leases, and SIGCONT: it goes on in the middle of whatever it was at;
- Redis (AOF, synced always) is killed, and started anew; or stopped for a while; or has no memory left, with `noeviction`;
- the wires between replicas and Redis are cut, also in the middle of a command; or each answer takes five seconds, or those of
  commits are lost.

What is checked is what `kill_rounds.py` checks: all counts equal those of one process that was fed the same rows in order, to the
last bit; every window was evaluated once, every episode and every notice decided once; no acknowledged row was lost or doubled. Of
batches without a key that were refused with 503 nobody knows whether they were counted; each is there once or not at all. From the
root::

    PYTHONPATH=tests python tests/crash/fleet_rounds.py [--rounds 200] [--minutes 60] [--seed 1] [--quick]
"""

import argparse
import contextlib
import math
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path

from places import RedisPlace
from proof import prove

from service.scheduler.roles import LEASE_S
from service.storage.redis.server import _source

REPLICAS = 3
_TWO_SHARE = 0.2
_BETWEEN_S, _BETWEEN_QUICK_S = 2.0, 0.5
_REPEATED = 0.1
_EVENT_S_PER_S = 300  # a base window a second
_LATE = ("shuffled", "bare")
"""A batch without a key that lies in a stopped replica comes late, when its sender has given it up and gone on."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=600.0, help="end after so long, if the rounds take longer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="let leases run out after a second, and claims at the end")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no process is left behind
    rng = random.Random(arguments.seed)
    until_s = time.monotonic() + 60 * arguments.minutes
    harm = partial(trouble, rounds=arguments.rounds, rng=rng, quick=arguments.quick, told=_told, until_s=until_s)
    with tempfile.TemporaryDirectory(prefix="driftline-fleet-") as folder:
        outcome = proved(Path(folder), harm, arguments.seed, quick=arguments.quick)
    print(outcome)
    return 1 if outcome.faults else 0


def proved(folder, harm, seed, *, quick, event_s_per_s=_EVENT_S_PER_S):
    """Harm a fleet, and prove that it did no harm."""
    return prove(
        folder,
        harm,
        seed=seed,
        services=REPLICAS,
        quick=quick,
        place=RedisPlace(REPLICAS, seed),
        event_s_per_s=event_s_per_s,
        late=_LATE,
        repeated=_REPEATED,
    )


def trouble(trial, *, rounds, rng, quick, told=lambda _: None, ways=None, until_s=math.inf):
    """Let so many things go wrong, in those ways or in all; how often what."""
    for service in trial.services:
        service.start()
    for service in trial.services:
        service.wait_ready(60)
    trial.senders.start()
    happened, cycle = Counter(), []
    for number in range(rounds):
        if time.monotonic() > until_s:
            rounds = number
            break
        time.sleep(rng.uniform(0, _BETWEEN_QUICK_S if quick else _BETWEEN_S))
        if not cycle:
            cycle = rng.sample(ways or WAYS, len(ways or WAYS))  # each as often as the others
        together = [cycle.pop()]
        if rng.random() < _TWO_SHARE and together[0] is not _kill:
            together.append(_kill)
        with contextlib.ExitStack() as stack:
            for way in together:
                happened[way.__name__.strip("_")] += 1
                stack.enter_context(contextlib.contextmanager(way)(trial, rng, quick))
        for service in trial.services:
            _wait_ready(service)
        if number % 10 == 9:
            told(f"{number + 1} rounds, {trial.senders.answered():,} batches acknowledged")
    cuts = sum(wire.cuts for wire in trial.place.wires)
    return f"{rounds} rounds: {', '.join(f'{n} {way}' for way, n in sorted(happened.items()))}; {cuts} connections cut"


def _kill(trial, rng, _):
    service = rng.choice(trial.services)
    service.kill()
    yield
    time.sleep(rng.uniform(0, 2))
    service.start()


def _pause(trial, rng, quick):
    service = rng.choice([one for one in trial.services if one.process.poll() is None])
    service.send(signal.SIGSTOP)
    try:
        yield
        if quick:
            time.sleep(1.0)
            trial.let_time_pass()
            time.sleep(6.0)  # for the others to look who is there, and to take over
        else:
            time.sleep(LEASE_S + rng.uniform(1, 6))
    finally:
        if service.process.poll() is None:
            service.send(signal.SIGCONT)


def _redis_killed(trial, rng, _):
    trial.place.server.kill()
    try:
        yield
        time.sleep(rng.uniform(0, 3))
    finally:
        trial.place.server.start()


def _redis_stopped(trial, rng, _):
    trial.place.server.process.send_signal(signal.SIGSTOP)
    try:
        yield
        time.sleep(rng.uniform(0.5, 8))
    finally:
        trial.place.server.process.send_signal(signal.SIGCONT)


def _redis_full(trial, rng, _):
    with trial.place.server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        try:
            yield
            time.sleep(rng.uniform(0.5, 4))
        finally:
            client.config_set("maxmemory", "0")


def _redis_slow(trial, rng, _):
    try:
        for wire in trial.place.wires:
            wire.delay_s = 5.0
        yield
        time.sleep(rng.uniform(5, 9))
    finally:
        for wire in trial.place.wires:
            wire.delay_s = 0.0


def _wires_cut(trial, rng, _):
    some = rng.sample(trial.place.wires, rng.randint(1, REPLICAS))
    try:
        for wire in some:
            wire.cut_share = 0.1
        yield
        for _ in range(4):
            time.sleep(rng.uniform(0, 1))
            rng.choice(some).cut()
    finally:
        for wire in some:
            wire.cut_share = 0.0


def _answers_lost(trial, rng, _):
    some = rng.sample(trial.place.wires, rng.randint(1, REPLICAS))
    try:
        for wire in some:
            wire.loses = _source("commit")[1].encode()
        yield
        time.sleep(rng.uniform(1, 8))
    finally:
        for wire in some:
            wire.loses = None
            wire.cut()


WAYS_QUICK = (_kill, _pause, _redis_killed, _wires_cut)
WAYS = (*WAYS_QUICK, _redis_full, _redis_stopped, _redis_slow, _answers_lost)


def _wait_ready(service):
    """Wait until a replica is ready; one that was started while Redis was away has ended, and is started again."""
    while True:
        try:
            service.wait_ready(60)
        except RuntimeError:
            time.sleep(0.2)
            service.start()
        else:
            return


def _told(line):
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
