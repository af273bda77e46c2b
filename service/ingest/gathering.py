"""Counts of many sidecars, one commit: as the commit buffer does it with rows, but they are counted already.

A transaction costs as much as adding the counts of several sidecars: all that arrive while one is under way go into the next.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from service.errors import StoreUnavailableError
from service.ingest.buffer import BufferFullError
from service.ingest.pending import Answer
from service.ingest.rounds import Watcher
from service.ports import Commit, Committed, CountsStore

__all__ = ["CountsBuffer"]

_COMMITS_MAX: Final = 256
"""Of one transaction: the last of them must not wait for long."""

_STOPPING: Final = "the service is stopping"


@dataclass(slots=True, eq=False)
class _Waiting:
    commit: Commit
    size_bytes: int
    done: "asyncio.Future[Committed]"


class CountsBuffer:
    """Gathers commits that are ready.

    Parameters
    ----------
    store : CountsStore
    watcher : Watcher
    bytes_max : int
        Bodies that may wait.
    on_commit : callable
        Called after each commit with the names of the models whose counts have changed.
    """

    def __init__(
        self, store: CountsStore, watcher: Watcher, *, bytes_max: int, on_commit: Callable[[set[str]], None]
    ) -> None:
        self._store = store
        self._watcher = watcher
        self._bytes_max = bytes_max
        self._on_commit = on_commit
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="counts buffer")

    async def stop(self) -> None:
        """Commit what waits, and take no more."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def commit(self, commit: Commit, size_bytes: int) -> Committed:
        """Commit, and return when it is through.

        Raises
        ------
        BufferFullError
            At once: too much waits already.
        StoreUnavailableError
        """
        if self._closing:
            raise StoreUnavailableError(_STOPPING)
        if self._bytes and self._bytes + size_bytes > self._bytes_max:
            raise BufferFullError("too many counts wait for the store")
        waiting = _Waiting(commit, size_bytes, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._bytes += size_bytes
        self._wake.set()
        return await waiting.done

    async def _run(self) -> None:
        while not (self._closing and not self._queue):
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                group = [self._queue.popleft() for _ in range(min(len(self._queue), _COMMITS_MAX))]
                await self._commit(group)
                self._bytes -= sum(waiting.size_bytes for waiting in group)

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        started_s = time.perf_counter()
        try:
            results = await self._store.commit([waiting.commit for waiting in group])
        except Exception as error:  # noqa: BLE001 - each is raised where it is waited for
            if isinstance(error, StoreUnavailableError):
                self._watcher.store_failed("commit")
            elif len(group) > 1:  # one batch that breaks must not cost the others their counts
                for waiting in group:
                    await self._commit([waiting])
                return
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
            return
        counted = [waiting.commit for waiting, one in zip(group, results, strict=True) if one.status == "committed"]
        for commit in counted:
            self._tell(commit)
        rows = sum(commit.tally.accepted for commit in counted)
        self._watcher.committed(rows, time.perf_counter() - started_s)
        self._on_commit({commit.model for commit in counted})
        for waiting, one in zip(group, results, strict=True):
            self._end(waiting, one)

    def _end(self, waiting: _Waiting, committed: Committed) -> None:
        if committed.status == "unavailable":
            self._watcher.store_failed("commit")
        if waiting.done.done():
            return
        if committed.status == "unavailable":
            waiting.done.set_exception(StoreUnavailableError(committed.reason))
        else:
            waiting.done.set_result(committed)

    def _tell(self, commit: Commit) -> None:
        tally = commit.tally
        answer = Answer(
            accepted=tally.accepted,
            rejected=sum(tally.rejected.values()),
            late=tally.late,
            reasons=dict(tally.rejected),
        )
        self._watcher.counted(commit.model, answer)
        if tally.ignored_cells:
            self._watcher.ignored_cells(commit.model, tally.ignored_cells)
