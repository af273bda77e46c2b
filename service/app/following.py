"""Following the centre: which of the models that are in use have changed there.

Nothing depends on it being known in time: what is counted by an older epoch is refused, and counted again. It spares that.
Before there is any model to ask for, the centre is asked whether it is there: a wrong address or key is told of before rows come.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from service.app.waiting import Outage
from service.errors import StoreUnavailableError
from service.registry.models import Registry

__all__ = ["Following"]

_EVERY_S: Final = 2.0


class Following:
    """Reads again what has changed, in rounds.

    Parameters
    ----------
    registry : Registry
    check : callable
        Returns if the centre answers.
    rng : random.Random
        Spreads the rounds of many sidecars.
    on_failed : callable
        Told of the operation that failed.
    on_gone : callable
        Told of each model that is no more.
    """

    def __init__(
        self,
        registry: Registry,
        check: Callable[[], Awaitable[None]],
        rng: random.Random,
        on_failed: Callable[[str], None],
        on_gone: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._check = check
        self._reached = False
        self._rng = rng
        self._on_failed = on_failed
        self._on_gone = on_gone
        self._known: set[str] = set()
        self._outage = Outage("the centre is away", "the centre is back")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._run(), name="following the centre")

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def round(self) -> None:
        """Read again what has changed."""
        try:
            if not self._reached:
                await self._check()
                self._reached = True
            await self._registry.refresh()
        except StoreUnavailableError as error:
            self._on_failed("follow")
            self._outage.goes_on(str(error))
        except Exception as error:  # noqa: BLE001 - one model that cannot be used must not end the rounds
            structlog.get_logger().warning("what the centre says of a model cannot be used", error=type(error).__name__)
        else:
            self._outage.ends()
            for gone in self._known - self._registry.models.keys():
                self._on_gone(gone)
            self._known = set(self._registry.models)

    async def _run(self) -> None:
        while True:
            await self.round()
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * _EVERY_S)
