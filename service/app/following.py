"""Following the centre: which of the models that are in use have changed there.

Nothing depends on it being known in time: what is counted by an older epoch is refused, and counted again. It spares that.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

import structlog

from service.errors import StoreUnavailableError
from service.registry.models import Registry

__all__ = ["Following"]

_EVERY_S: Final = 2.0


class Following:
    """Reads again what has changed, in rounds.

    Parameters
    ----------
    registry : Registry
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
        rng: random.Random,
        on_failed: Callable[[str], None],
        on_gone: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._rng = rng
        self._on_failed = on_failed
        self._on_gone = on_gone
        self._known: set[str] = set()
        self._away = False
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
        log = structlog.get_logger()
        try:
            await self._registry.refresh()
        except StoreUnavailableError as error:
            self._on_failed("follow")
            if not self._away:
                log.warning("the centre is away", reason=str(error))
            self._away = True
        except Exception as error:  # noqa: BLE001 - one model that cannot be used must not end the rounds
            log.warning("what the centre says of a model cannot be used", error=type(error).__name__)
        else:
            if self._away:
                log.info("the centre is back")
            self._away = False
            for gone in self._known - self._registry.models.keys():
                self._on_gone(gone)
            self._known = set(self._registry.models)

    async def _run(self) -> None:
        while True:
            await self.round()
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * _EVERY_S)
