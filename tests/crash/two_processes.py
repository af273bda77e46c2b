"""Two processes on one SQLite file, one of them killed, or stopped for longer than its lease, again and again; then count.

Senders post each batch to either process, and again to either until it is acknowledged. One process at a time is sent SIGKILL
and started anew, or SIGSTOP and, when the lease that it may have held has run out, SIGCONT: it then goes on in the middle of
whatever it was at, and knows nothing of what the other has done meanwhile. What is checked is what `kill_rounds.py` checks.
A process that is stopped in the middle of a commit holds the lock of the file, and the other answers 503 until it goes on.
From the root::

    python tests/crash/two_processes.py [--rounds 20] [--seed 1] [--quick]
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from proof import prove

LEASE_S = 15.0
_BETWEEN_S = 3.0
_STOP_SHARE = 0.6


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="let leases run out at once, and claims at the end")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no service is left behind
    harm = partial(trouble, rounds=arguments.rounds, rng=random.Random(arguments.seed), quick=arguments.quick)
    with tempfile.TemporaryDirectory(prefix="driftline-two-") as folder:
        outcome = prove(Path(folder), harm, seed=arguments.seed, services=2, quick=arguments.quick)
    print(outcome)
    return 1 if outcome.faults else 0


def trouble(trial, *, rounds, rng, quick):
    """Kill or stop one of the two services of a trial, so many times; how often what."""
    killed = stopped = 0
    for service in trial.services:
        service.start()
    for service in trial.services:
        service.wait_ready(60)
    trial.senders.start()
    for number in range(rounds):
        time.sleep(rng.uniform(0, _BETWEEN_S))
        service = rng.choice(trial.services)
        if number % 5 < 5 * _STOP_SHARE:
            _stop(trial, service, quick=quick)
            stopped += 1
        else:
            service.kill()
            if quick:
                trial.let_time_pass()
            service.start().wait_ready(60)
            killed += 1
    return f"of two processes one killed {killed} times, one stopped {stopped} times"


def _stop(trial, service, *, quick):
    service.send(signal.SIGSTOP)
    try:
        if quick:
            time.sleep(1.0)
            trial.let_time_pass()
            time.sleep(7.0)  # for the other one to look who is there, and to tick
        else:
            time.sleep(LEASE_S + 3.0)
    finally:
        service.send(signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(main())
