"""Sidecars and their centre, killed and stopped at random moments under load; then count.

Senders post each batch to any of the sidecars, and again to any until it is acknowledged. Time and again the centre or one of
the sidecars is sent SIGKILL and started anew, or SIGSTOP for longer than an answer is waited for, and SIGCONT: what the sidecars
have sent meanwhile, and sent again, then arrives all at once. With several replicas the centre is these, on one Redis, and sidecars
reach any of them over a wire that is cut now and then, also in the middle of a batch, which then goes another way. What is checked is what `kill_rounds.py` checks: counts to the last
bin, evaluations, decisions, episodes and notices are those of one process that was given the same rows in order.
From the root::

    PYTHONPATH=tests python tests/crash/sidecar_rounds.py [--rounds 60] [--sidecars 10] [--replicas 1] [--seed 1] [--quick]
"""

import argparse
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
from victim import HOST
from wire import Wire

_BETWEEN_S = 1.5
_CENTRE_SHARE, _STOP_SHARE = 0.4, 0.4
_STOPPED_S = 1.0, 5.0
"""Some longer than an answer is waited for."""

_CUT_SHARE = 0.02


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--sidecars", type=int, default=10)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="let claims run out at once at the end")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no process is left behind
    harm = partial(trouble, rounds=arguments.rounds, rng=random.Random(arguments.seed))
    sizes = {"sidecars": arguments.sidecars, "replicas": arguments.replicas}
    with tempfile.TemporaryDirectory(prefix="driftline-sidecars-") as folder:
        outcome = proved(Path(folder), harm, arguments.seed, **sizes, quick=arguments.quick)
    print(outcome)
    return 1 if outcome.faults else 0


def proved(folder, harm, seed, *, sidecars, replicas=1, quick=False):
    """Harm sidecars and their centre, and prove that it did no harm."""
    if replicas == 1:
        return prove(folder, harm, seed=seed, sidecars=sidecars, quick=quick)
    place = RedisPlace(replicas, seed)
    # What lies in a stopped replica comes late, when its sender has given it up and gone on.
    late = ("shuffled", "bare")
    return prove(
        folder,
        harm,
        seed=seed,
        services=replicas,
        sidecars=sidecars,
        quick=quick,
        place=place,
        late=late,
        event_s_per_s=300,
    )


def trouble(trial, *, rounds, rng):
    """Kill or stop the centre or a sidecar, so many times; how often what."""
    if len(trial.services) == 1:
        return _trouble(trial, rounds, rng)
    wire = Wire(*(service.port for service in trial.services), seed=trial.seed)
    trial.place.wires.append(wire)  # which are closed in the end
    wire.cut_share = _CUT_SHARE
    for sidecar in trial.sidecars:
        sidecar.environment["DRIFTLINE_STORE_URL"] = f"http://{HOST}:{wire.port}"
    return f"{_trouble(trial, rounds, rng, wire)}; {wire.cuts} connections cut"


def _trouble(trial, rounds, rng, wire=None):
    done = Counter()
    for process in trial.processes:
        process.start()
    for process in trial.processes:
        process.wait_ready(60)
    trial.senders.start()
    for _ in range(rounds):
        time.sleep(rng.uniform(0, _BETWEEN_S))
        if wire is not None:
            wire.cut()
        of_centre = rng.random() < _CENTRE_SHARE
        process = rng.choice(trial.services if of_centre else trial.sidecars)
        whose = "the centre" if of_centre else "a sidecar"
        if rng.random() < _STOP_SHARE:
            process.send(signal.SIGSTOP)
            try:
                time.sleep(rng.uniform(*_STOPPED_S))
            finally:
                process.send(signal.SIGCONT)
            done[f"stopped {whose}"] += 1
        else:
            process.kill()
            if of_centre:
                trial.let_time_pass()
            process.start()
            done[f"killed {whose}"] += 1
    if wire is not None:
        wire.cut_share = 0.0
    for process in trial.processes:
        process.wait_ready(60)
    kinds = ", ".join(f"{what} {number} times" for what, number in sorted(done.items()))
    return f"{len(trial.sidecars)} sidecars; {kinds}"


if __name__ == "__main__":
    sys.exit(main())
