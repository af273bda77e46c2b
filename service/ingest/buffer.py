"""The commit buffer: many requests, one commit.

Commits clock themselves. The first request commits at once, and all that arrive while a commit is under way go into the
next one: an idle service answers in a millisecond or two, a busy one batches by itself. A commit costs as much as twenty
requests: where several came together, the next commit gives as many the time to come together again, if they do so soon. Rows
are kept until their commit is through, and are then forgotten.

If the store is away, those who wait for their commit are told so. Rows that were acknowledged on receipt stay until there is no
room for more. Those that were on their way when the store went may have arrived: they are sent again as the same commit, which
the store knows, and if it stays away for longer than it would know it, they are dropped rather than counted twice.
"""

import asyncio
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from service.errors import DriftlineError, StoreUnavailableError
from service.ingest.attempt import Waiting
from service.ingest.pending import Answer, Asker, Pending
from service.ingest.rounds import Rounds, Watcher
from service.ports import CountsStore
from service.registry.models import Registry

__all__ = ["BufferFullError", "CommitBuffer", "Limits"]

_COMMIT_ROWS_MAX: Final = 20_000
"""Rows of one commit: a bulk client must not make the others wait for long."""

_COMMIT_BYTES_MAX: Final = 32 << 20
"""The same where rows are wide: a million cells."""

_REQUEST_BYTES: Final = 1_000
"""What a request takes beside its rows: many without a row have their limit, too."""

_LINGER_S: Final = 0.02
_LINGER_ROWS_MAX: Final = 1_000
"""Rows that were acknowledged on receipt are committed when there are so many, or after so long."""

_GATHER_S: Final = 0.005
_GATHER_MIN: Final = 4
"""Senders who wait for each answer come again together: so long they are waited for, if there are so many."""


_AGAIN_S: Final = 1.0
_AGAIN_FOR_S: Final = 240.0
"""Less than the five minutes for which a store knows a commit again."""
_TOO_LONG: Final = "the store was away for too long"


class BufferFullError(DriftlineError):
    """So many rows wait for the store that no more are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the buffer."""

    rows_max: int = 200_000
    bytes_max: int = 256 << 20


class CommitBuffer:
    """Gathers pending rows and commits them.

    Parameters
    ----------
    store : CountsStore
    registry : Registry
    watcher : Watcher
    limits : Limits
    on_commit : callable
        Called after each commit with the names of the models whose counts have changed.
    tallied : bool
        Whether the store is told of the fates of rows.
    linger_s : float
        So long rows wait for others if nobody waits for them.
    again_for_s : float
        For so long rows that may have arrived are sent again: less than the store knows a commit for.
    keyed_for_s : callable
        For so long rows that have a key wait, if their sender does not: a repeat of theirs that went another way is known to the
        store for longer. Asked each time.
    monotonic_s : callable
        What waits, or is sent again, is timed by it.
    """

    def __init__(
        self,
        store: CountsStore,
        registry: Registry,
        watcher: Watcher,
        limits: Limits,
        *,
        on_commit: Callable[[set[str]], None] = lambda _: None,
        tallied: bool = False,
        linger_s: float = _LINGER_S,
        again_for_s: float = _AGAIN_FOR_S,
        keyed_for_s: Callable[[], float] = lambda: math.inf,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wake = asyncio.Event()
        self._rounds = Rounds(store, registry, watcher, on_commit, self._wake.set, tallied=tallied)
        self._watcher = watcher
        self._limits = limits
        self._monotonic_s = monotonic_s
        self._queue: deque[Waiting] = deque()
        self._received: deque[Waiting] = deque()
        self._received_first = False
        self._numbers = itertools.count()
        self._taken: list[Waiting] = []
        self._kept: list[Waiting] = []
        """Rows that were acknowledged on receipt and sent, when the store was not there."""
        self._linger_s = linger_s
        self._again_for_s = again_for_s
        self._keyed_for_s = keyed_for_s
        self._kept_since_s = self._again_at_s = 0.0
        self._rows = 0
        self._bytes = 0
        self._expected = 0
        self._gathered = asyncio.Event()
        self._hurried = asyncio.Event()
        self._freed = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    @property
    def oldest_us(self) -> int | None:
        """When the oldest of them were received."""
        firsts = [
            some[0]
            for some in (self._taken, self._kept, self._received, self._queue, *self._rounds.aside.waiting)
            if some
        ]
        return min((waiting.pending.received_us for waiting in firsts), default=None)

    def forget(self, model: str) -> None:
        """Forget a model that is gone."""
        self._rounds.reached.forget(model)

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="commit buffer")

    async def stop(self) -> None:
        """Commit what waits, and take no more."""
        self._closing = self._rounds.aside.closing = True
        self._wake.set()
        self._gathered.set()
        self._hurried.set()
        self._freed.set()
        if self._task is not None:
            await self._task

    async def add(self, pending: Pending, size_bytes: int) -> Answer:
        """Commit rows, and return when they are in the store; raises what `put` says."""
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.put(pending, size_bytes, done)
        return await done

    def put(self, pending: Pending, size_bytes: int, asker: Asker) -> None:
        """Commit rows; who asks is told the answer when they are in the store, or one of the errors but the first.

        Raises
        ------
        BufferFullError
            At once: too much waits already.
        StoreUnavailableError
            The store could not take them; none of them is counted. At once if the service is stopping.
        KeyReusedError
            The key is known with another body.
        GoneError
            The model is no more.
        """
        self._put(Waiting(pending, size_bytes + _REQUEST_BYTES, asker))

    def offer(self, pending: Pending, size_bytes: int) -> bool:
        """Take rows whose sender does not wait for the commit; False if there is no room, and they are dropped."""
        try:
            self._put(Waiting(pending, size_bytes + _REQUEST_BYTES, None, next(self._numbers), self._monotonic_s()))
        except BufferFullError:
            self._watcher.dropped(pending.model, pending.rows)
            return False
        return True

    def room(self) -> None:
        """Return if there is room for more.

        Raises
        ------
        BufferFullError
        StoreUnavailableError
            The service is stopping.
        """
        if self._closing:
            raise StoreUnavailableError("the service is stopping")
        if self._full:
            raise BufferFullError("too many rows wait for the store")

    async def until_room(self) -> None:
        """Wait until there is room for more."""
        while self._full and not self._closing:
            self._freed.clear()
            await self._freed.wait()

    @property
    def _full(self) -> bool:
        return self._rows >= self._limits.rows_max or self._bytes >= self._limits.bytes_max

    def _put(self, waiting: Waiting) -> None:
        self.room()
        (self._received if waiting.asker is None else self._queue).append(waiting)
        if len(self._queue) >= self._expected:
            self._gathered.set()
        self._rows += waiting.rows
        self._bytes += waiting.size_bytes
        if waiting.asker is not None or self._rows >= _LINGER_ROWS_MAX:
            self._hurried.set()
        self._wake.set()

    def _take(self) -> list[Waiting]:
        group: list[Waiting] = []
        aside = self._rounds.aside
        rows = size_bytes = 0
        self._received_first = not self._received_first  # where there is more than one commit takes, they take turns
        queues = (self._received, self._queue) if self._received_first else (self._queue, self._received)
        for queue in (self._queue,) if self._kept else queues:
            while queue:
                if aside.takes(queue[0]):
                    queue.popleft()
                    continue
                rows += queue[0].rows
                size_bytes += queue[0].size_bytes
                if group and (rows > _COMMIT_ROWS_MAX or size_bytes > _COMMIT_BYTES_MAX):
                    break
                group.append(queue.popleft())
        awaited = sum(waiting.asker is not None for waiting in group)
        self._expected = awaited if awaited >= _GATHER_MIN else 0
        return group

    async def _run(self) -> None:
        while not (
            self._closing and not (self._queue or self._received or self._kept or any(self._rounds.aside.waiting))
        ):
            await self._woken()
            while True:
                self._take_back()
                if self._kept and (self._closing or self._monotonic_s() >= self._again_at_s):
                    kept, self._kept = self._kept, []
                    if self._monotonic_s() - self._kept_since_s >= self._again_for_s:
                        self._drop(kept)
                        self._let_go(kept)
                        continue
                    await self._commit(kept, self._kept_since_s)
                elif self._queue or (self._received and not self._kept):
                    await self._linger()
                    await self._commit(self._take(), self._monotonic_s())
                else:
                    break

    async def _woken(self) -> None:
        """Wait until there is something to do."""
        left_s = max(0.0, self._again_at_s - self._monotonic_s()) if self._kept else None
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await self._wake.wait()
        self._wake.clear()

    async def _commit(self, group: list[Waiting], since_s: float) -> None:
        """Commit a group that was first tried at a time."""
        started_s = self._monotonic_s()
        group = self._in_time(group, started_s)
        if not group:
            return
        self._taken = group
        left = await self._rounds.commit(group)
        self._taken = []
        ended_s = self._monotonic_s()
        if left and not self._closing and ended_s - since_s < self._again_for_s:
            self._kept, self._kept_since_s, self._again_at_s = left, since_s, ended_s + _AGAIN_S
        elif left:
            self._drop(left)
        self._let_go([waiting for waiting in group if waiting.ended and not waiting.aside])
        rows = sum(waiting.rows for waiting in group if waiting.counted)
        self._watcher.committed(rows, ended_s - started_s)

    def _in_time(self, group: list[Waiting], now_s: float) -> list[Waiting]:
        """A group without rows whose key may have been counted and forgotten meanwhile."""
        until_s = now_s - self._keyed_for_s()
        late = [one for one in group if one.asker is None and one.key is not None and one.since_s < until_s]
        if not late:
            return group
        for waiting in late:
            self._rounds.fail(waiting, StoreUnavailableError(_TOO_LONG))
        self._let_go(late)
        return [one for one in group if not one.ended]

    def _drop(self, left: list[Waiting]) -> None:
        """Give rows up; if the service is stopping while the store is away, all that were acknowledged on receipt."""
        more = list(self._received) if self._closing else []
        if more:
            self._received.clear()
            self._let_go(more)
        for waiting in (*left, *more):
            self._rounds.fail(waiting, StoreUnavailableError(_TOO_LONG))

    def _take_back(self) -> None:
        """Take requests back that were put aside, before those that came meanwhile."""
        waiting = self._rounds.aside.come_back()
        for one in reversed(waiting):
            if not one.ended:
                (self._received if one.asker is None else self._queue).appendleft(one)
        if waiting:
            self._let_go([one for one in waiting if one.ended])

    def _let_go(self, group: Sequence[Waiting]) -> None:
        self._rows -= sum(waiting.rows for waiting in group)
        self._bytes -= sum(waiting.size_bytes for waiting in group)
        self._freed.set()
        self._watcher.buffered(self._rows, self._bytes)

    async def _linger(self) -> None:
        """Let what has arrived join. Where nobody waits for the commit, a little more may come."""
        if self._closing or self._rows >= _LINGER_ROWS_MAX:
            await asyncio.sleep(0)
        elif not self._queue:
            self._hurried.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._linger_s):
                    await self._hurried.wait()
        elif len(self._queue) >= self._expected:
            await asyncio.sleep(0)
        else:
            self._gathered.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_GATHER_S):
                    await self._gathered.wait()
