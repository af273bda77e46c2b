"""Waiting for what is away: how often it is tried, what is said of it, and what ends it."""

import asyncio
import random

import pytest
from serving import captured_logs

from service.app.waiting import Outage, begin_when_there
from service.errors import StoreUnavailableError, UnusableReferenceError, UnusableStoreError


class Clock:
    """Monotonic time that stands still."""

    def __init__(self):
        self.s = 1_000.0

    def __call__(self):
        return self.s


def outage(clock):
    return Outage("it is away", "it is there", clock)


def test_an_outage_is_told_once_and_again_for_another_reason_and_every_minute():
    clock = Clock()
    with captured_logs() as log:
        one = outage(clock)
        for seconds, reason in ((0, "refused"), (1, "refused"), (1, "loading"), (59, "loading"), (1, "loading")):
            clock.s += seconds
            one.goes_on(reason)
        one.ends()
        one.ends()
        one.goes_on("loading")

    lines = log.getvalue().splitlines()
    assert [("refused" in line, "loading" in line, "it is there" in line) for line in lines] == [
        (True, False, False),
        (False, True, False),
        (False, True, False),
        (False, False, True),
        (False, True, False),
    ]


class Noting(random.Random):
    """Chance that notes between what it was to choose, and lets nobody wait."""

    def __init__(self):
        self.bounds = []

    def uniform(self, a, b):
        self.bounds.append((a, b))
        return 0.0


def begun(outcomes, *, rng=None):
    """What becomes of a beginning with these outcomes, and how often it failed before."""
    left, failed = list(outcomes), []

    async def begin():
        outcome = left.pop(0)
        if outcome is not None:
            raise outcome

    async def within():
        await begin_when_there(begin, rng or Noting(), outage(Clock()), lambda: failed.append(1))

    with captured_logs():
        try:
            asyncio.run(within())
        except Exception as error:  # noqa: BLE001 - what it is, is the result
            return error, len(failed), len(left)
    return None, len(failed), len(left)


def test_what_is_away_is_tried_until_it_is_there():
    assert begun([StoreUnavailableError("away"), StoreUnavailableError("away"), None]) == (None, 2, 0)


@pytest.mark.parametrize("error", [UnusableStoreError("of another layout"), UnusableReferenceError("gone")])
def test_what_waiting_does_not_mend_ends_it_at_once(error):
    assert begun([StoreUnavailableError("away"), error, None]) == (error, 1, 1)


def test_pauses_grow_up_to_a_bound_and_are_random():
    rng = Noting()

    begun([*[StoreUnavailableError("away")] * 8, None], rng=rng)

    means = [(a + b) / 2 for a, b in rng.bounds]
    assert means == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0])
    assert all(b == pytest.approx(3 * a) for a, b in rng.bounds)
