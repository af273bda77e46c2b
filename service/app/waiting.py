"""Beginning when what is needed is there: a store, or a centre, that is away at the start is waited for.

It is tried again with growing pauses, all of them random, so that replicas that wait for one Redis do not come together. What
waiting cannot mend (a store of another layout, a password that is refused) ends it.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from service.errors import StoreUnavailableError, UnusableStoreError

__all__ = ["Outage", "begin_when_there"]

_PAUSE_S: Final = 0.2
_PAUSE_MAX_S: Final = 2.0
_SAID_AGAIN_AFTER_S: Final = 60.0


class Outage:
    """Says in the log that something is away: when it goes, when it is away for another reason, and every minute.

    Parameters
    ----------
    away, back : str
        What is said.
    monotonic_s : callable
    """

    def __init__(self, away: str, back: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._away = away
        self._back = back
        self._monotonic_s = monotonic_s
        self._said_at_s = 0.0
        self.reason: str | None = None

    def goes_on(self, reason: str) -> None:
        """It is away."""
        now_s = self._monotonic_s()
        if reason != self.reason or now_s - self._said_at_s >= _SAID_AGAIN_AFTER_S:
            structlog.get_logger().warning(self._away, reason=reason)
            self._said_at_s = now_s
        self.reason = reason

    def ends(self) -> None:
        """It is there."""
        if self.reason is not None:
            structlog.get_logger().info(self._back)
        self.reason = None


async def begin_when_there(
    begin: Callable[[], Awaitable[None]], rng: random.Random, outage: Outage, on_failed: Callable[[], None]
) -> None:
    """Begin, as often as it takes.

    Parameters
    ----------
    begin : callable
        May be cut off anywhere, and begun anew.
    rng : random.Random
        For jitter.
    outage : Outage
    on_failed : callable
        Called each time that it fails.

    Raises
    ------
    UnusableStoreError
        Waiting does not help.
    """
    pause_s = _PAUSE_S
    while True:
        try:
            await begin()
        except UnusableStoreError:
            raise
        except StoreUnavailableError as error:
            outage.goes_on(str(error))
            on_failed()
        else:
            outage.ends()
            return
        await asyncio.sleep(rng.uniform(0.5 * pause_s, 1.5 * pause_s))
        pause_s = min(2 * pause_s, _PAUSE_MAX_S)
