"""Kill the service at random moments, again and again, under load; then count.

A service with a SQLite store is sent SIGKILL and started anew, some hundred times, while senders post batches to three models
and send each again until it is acknowledged, and a receiver takes some of the webhooks. Afterwards

- every acknowledged batch is in the store once, to the last bin of the last window, and nothing else is;
- each base window was evaluated once, in one decision, and evaluations, decisions and episodes are those of a calm run over
  the same rows;
- every notice that was decided arrived, with one content, in order, and none was decided twice.

Some rounds end before the service is ready, some are long enough for housekeeping. Half of the time, leases and claims of the
killed process are let run out at once, which is what a minute of waiting would do; at the end they have to run out by
themselves (`--quick`: they are let). From the root::

    python tests/crash/kill_rounds.py [--rounds 200] [--seed 1] [--quick]
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

from proof import prove

_STARTING_SHARE = 0.1
_LONG_SHARE = 0.12
_SHORT_S, _LONG_S = 2.5, 7.0  # windows are evaluated every second, housekeeping comes every five
_START_S, _SLOWNESS_MAX = 1.0, 3.0
"""A machine on which a start takes longer than this is slow: what is to be killed gets so much more time, within bounds."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="let claims run out at once at the end too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no service is left behind
    harm = partial(kill, rounds=arguments.rounds, rng=random.Random(arguments.seed), told=print)
    with tempfile.TemporaryDirectory(prefix="driftline-kill-") as folder:
        outcome = prove(Path(folder), harm, seed=arguments.seed, quick=arguments.quick)
    print(outcome)
    return 1 if outcome.faults else 0


def kill(trial, *, rounds, rng, told=lambda _: None):
    """Kill the one service of a trial so many times; how often at what."""
    service, kills = trial.services[0], {"starting": 0, "serving": 0, "serving long": 0}
    seen, slowness = [0], 1.0
    trial.senders.start()
    for number in range(rounds):
        service.start()
        draw, started_s = rng.random(), time.monotonic()
        if draw < _STARTING_SHARE:
            kind = "starting"
            time.sleep(rng.uniform(0, _START_S) * slowness)
        else:
            kind = "serving long" if draw < _STARTING_SHARE + _LONG_SHARE else "serving"
            service.wait_ready(60)
            slowness = min(max(1.0, (time.monotonic() - started_s) / _START_S), _SLOWNESS_MAX)
            life_s = rng.uniform(_SHORT_S, _LONG_S) if kind == "serving long" else rng.uniform(0, _SHORT_S)
            time.sleep(life_s * slowness)
        service.kill()
        kills[kind] += 1
        if rng.random() < 0.5:
            seen.append(max(seen[-1], trial.let_time_pass()))
        if number % 20 == 19:
            told(
                f"killed {number + 1} times, {trial.senders.answered():,} batches acknowledged, {seen[-1]:,} evaluations"
            )
    grown = sum(after > before for before, after in pairwise(seen))
    kinds = ", ".join(f"{number} {kind}" for kind, number in kills.items())
    return f"{rounds} kills: {kinds}; looked at after {len(seen) - 1} of them, with new evaluations {grown} times"


if __name__ == "__main__":
    sys.exit(main())
