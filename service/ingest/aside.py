"""Requests whose model is being read again: they are put aside, and the others do not wait for that.

A model that has changed is read before its rows are counted anew. That takes a moment, but from a sidecar's centre that answers
slowly, or for a large reference, it takes seconds, in which all other models would stand still.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from service.errors import StoreUnavailableError
from service.ingest.attempt import Waiting
from service.registry.models import Registry

__all__ = ["Aside"]

_READ_S: Final = 0.1
"""So long a round waits for a model: less than its senders would notice, more than a store takes that is near."""

_AGAIN_S: Final = 1.0

_PATIENCE_S: Final = 5.0
"""So long a sender waits for a model, about; and the end of the process for one that is being read."""


class Aside:
    """Requests of models that are being read again.

    Parameters
    ----------
    registry : Registry
    fail : callable
        Refuses a request.
    back : callable
        Told that the model of some has been read, or that some have ended: they are to be taken back between rounds.
    """

    def __init__(
        self,
        registry: Registry,
        fail: Callable[[Waiting, Exception], None],
        back: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._fail = fail
        self._back = back
        self._waiting: dict[str, list[Waiting]] = {}
        self._read: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.closing = False

    @property
    def waiting(self) -> Iterable[Sequence[Waiting]]:
        """Those of each model, in the order they came; empty where all have ended."""
        return self._waiting.values()

    async def read_again(self, model: str, waiting: Iterable[Waiting]) -> None:
        """Read a model again; if that takes longer than others should wait, those that wait for it are put aside.

        Raises
        ------
        DriftlineError
            The model could not be read.
        """
        if model not in self._waiting:
            reading = asyncio.ensure_future(self._registry.refresh(model))
            done, _ = await asyncio.wait([reading], timeout=_READ_S)
            if done:
                reading.result()
                return
            self._waiting[model] = []
            task = asyncio.create_task(self._until_read(model, reading), name="reading a model")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._put(waiting)

    def takes(self, waiting: Waiting) -> bool:
        """Put a request aside if its model is being read; whether it is."""
        if waiting.pending.model not in self._waiting:
            return False
        self._put([waiting])
        return True

    def come_back(self) -> Sequence[Waiting]:
        """Those whose model has been read, and all that have ended.

        Between rounds: the one that put them aside goes on without them, and must not meet them again.
        """
        waiting = [one for model in self._read for one in self._waiting.pop(model)]
        self._read.clear()
        for model, some in self._waiting.items():
            waiting += [one for one in some if one.ended]
            self._waiting[model] = [one for one in some if not one.ended]
        for one in waiting:
            one.aside = False
            one.rows_id = ""  # what was counted by a model that is past was not taken, and may be sent with others now
        return waiting

    def _put(self, waiting: Iterable[Waiting]) -> None:
        for one in waiting:
            if not one.ended:
                one.aside = True
                self._waiting[one.pending.model].append(one)

    async def _until_read(self, model: str, reading: "asyncio.Future[None]") -> None:
        while not reading.done():
            await asyncio.wait([reading], timeout=_PATIENCE_S)
            if not reading.done():
                self._refuse(model, StoreUnavailableError("the model has changed, and takes long to be read"))
                if self.closing:
                    reading.cancel()
                    await asyncio.wait([reading])
        if not reading.cancelled():
            await self._end(model, reading.exception())
        self._read.append(model)
        self._back()

    async def _end(self, model: str, error: BaseException | None) -> None:
        match error:
            case None:
                return
            case StoreUnavailableError():
                self._refuse(model, error)
                await asyncio.sleep(_AGAIN_S)
            case Exception():
                structlog.get_logger().error("a model cannot be read", model=model, exc_info=error)
                for one in self._waiting[model]:
                    self._fail(one, error)

    def _refuse(self, model: str, error: StoreUnavailableError) -> None:
        """Those who wait hear of it; rows that nobody waits for wait on, unless there is no time any more."""
        for one in self._waiting[model]:
            if self.closing or one.asker is not None:
                self._fail(one, error)
        self._back()
