"""The commit buffer: many requests, one commit.

Commits clock themselves. The first request commits at once, and all that arrive while a commit is under way go into the
next one: an idle service answers in a millisecond or two, a busy one batches by itself. What is counted is committed with
the epoch of the model that it was counted by; if the model has changed meanwhile, the rows are counted again. Rows are
therefore kept until their commit is through, and are then forgotten.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final, Protocol

import structlog

from service.errors import DriftlineError, StoreUnavailableError
from service.ingest.blocks import Block, blocks_of
from service.ingest.counting import Clocked, Counted, count_block
from service.ingest.pending import Answer, Pending
from service.ports import Commit, Committed, Delta, Mark, Progress, Store
from service.registry.models import LiveModel, LiveVersion, Registry
from service.windows.watermark import watermark_us

__all__ = ["BufferFullError", "CommitBuffer", "GoneError", "KeyReusedError", "Limits", "Watcher"]

_COMMIT_ROWS_MAX: Final = 20_000
"""Rows of one commit: a bulk client must not make the others wait for long."""

_INLINE_CELLS_MAX: Final = 8_000
"""Blocks of more cells than this, about a millisecond of work, are counted in a thread."""

_LINGER_S: Final = 0.02
_LINGER_ROWS_MAX: Final = 1_000
"""Rows that were acknowledged on receipt are committed when there are so many, or after so long."""

_ATTEMPTS_MAX: Final = 20
"""Times that rows are counted again because the model changed meanwhile, or a key was found to be known."""


class BufferFullError(DriftlineError):
    """So many rows wait for the store that no more are taken."""


class GoneError(DriftlineError):
    """The model or version was deleted while its rows waited."""


class KeyReusedError(DriftlineError):
    """An idempotency key came again with another body."""


class Watcher(Protocol):
    """Who is told of what the buffer does, for the metrics."""

    def counted(self, model: str, answer: Answer) -> None:
        """Rows of a request have found their fate."""

    def dropped(self, model: str, rows: int) -> None:
        """Rows that were acknowledged on receipt could not be kept."""

    def committed(self, rows: int, seconds: float) -> None:
        """A commit is through."""

    def ignored_cells(self, model: str, cells: int) -> None:
        """Cells of columns that nobody knows."""

    def buffered(self, rows: int, size_bytes: int) -> None:
        """So much waits."""

    def store_failed(self, operation: str) -> None:
        """The store could not be written to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the buffer."""

    rows_max: int = 200_000
    bytes_max: int = 256 << 20


@dataclass(slots=True, eq=False)
class _Waiting:
    pending: Pending
    size_bytes: int
    done: "asyncio.Future[Answer] | None"


class CommitBuffer:
    """Gathers pending rows and commits them.

    Parameters
    ----------
    store : Store
    registry : Registry
    watcher : Watcher
    limits : Limits
    on_commit : callable
        Called after each commit with the names of the models whose counts have changed.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        watcher: Watcher,
        limits: Limits,
        on_commit: Callable[[set[str]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._watcher = watcher
        self._limits = limits
        self._on_commit = on_commit
        self._queue: deque[_Waiting] = deque()
        self._rows = 0
        self._bytes = 0
        self._awaited = 0
        self._wake = asyncio.Event()
        self._freed = asyncio.Event()
        self._closing = False
        self._progress: dict[tuple[str, str], Progress] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._rows

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="commit buffer")

    async def stop(self) -> None:
        """Commit what waits, and take no more."""
        self._closing = True
        self._wake.set()
        self._freed.set()
        if self._task is not None:
            await self._task

    async def add(self, pending: Pending, size_bytes: int) -> Answer:
        """Commit rows, and return when they are in the store.

        Raises
        ------
        BufferFullError
            Too much waits already.
        StoreUnavailableError
            The store could not take them; none of them is counted.
        KeyReusedError
            The key is known with another body.
        GoneError
            The model is no more.
        """
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._put(_Waiting(pending, size_bytes, done))
        return await done

    def offer(self, pending: Pending, size_bytes: int) -> bool:
        """Take rows whose sender does not wait for the commit; False if there is no room, and they are dropped."""
        try:
            self._put(_Waiting(pending, size_bytes, None))
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

    def _put(self, waiting: _Waiting) -> None:
        self.room()
        self._queue.append(waiting)
        self._awaited += waiting.done is not None
        self._rows += waiting.pending.rows
        self._bytes += waiting.size_bytes
        self._wake.set()

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        rows = 0
        while self._queue and (not group or rows + self._queue[0].pending.rows <= _COMMIT_ROWS_MAX):
            waiting = self._queue.popleft()
            self._awaited -= waiting.done is not None
            rows += waiting.pending.rows
            group.append(waiting)
        return group

    async def _run(self) -> None:
        while not (self._closing and not self._queue):
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._linger()
                group = self._take()
                await self._commit_group(group)
                self._rows -= sum(waiting.pending.rows for waiting in group)
                self._bytes -= sum(waiting.size_bytes for waiting in group)
                self._freed.set()
                self._watcher.buffered(self._rows, self._bytes)

    async def _linger(self) -> None:
        """Let what has arrived join. Where nobody waits for the commit, a little more may come."""
        if self._awaited or self._closing or self._rows >= _LINGER_ROWS_MAX:
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(_LINGER_S)

    async def _commit_group(self, group: list[_Waiting]) -> None:
        started = time.perf_counter()
        try:
            await _Round(self, group).run()
        except StoreUnavailableError as error:
            self._watcher.store_failed("commit")
            for waiting in group:
                self.fail(waiting, error)
        except Exception as error:  # noqa: BLE001 - one request that breaks must not cost the others their rows
            if len(group) > 1:
                for waiting in group:
                    if waiting.done is None or not waiting.done.done():
                        await self._commit_group([waiting])
                return
            structlog.get_logger().exception("rows could not be counted", error=type(error).__name__)
            self.fail(group[0], error)
        self._watcher.committed(sum(waiting.pending.rows for waiting in group), time.perf_counter() - started)

    # what a round needs

    @property
    def store(self) -> Store:
        """Where counts go."""
        return self._store

    @property
    def registry(self) -> Registry:
        """What is known of models."""
        return self._registry

    def succeed(self, waiting: _Waiting, answer: Answer) -> None:
        """Answer a request."""
        pending = waiting.pending
        self._watcher.counted(pending.model, answer)
        if pending.decoded.ignored_cells and not answer.duplicate:
            self._watcher.ignored_cells(pending.model, pending.decoded.ignored_cells)
        if waiting.done is not None and not waiting.done.done():
            waiting.done.set_result(answer)

    def fail(self, waiting: _Waiting, error: Exception) -> None:
        """Refuse a request."""
        if waiting.done is None:
            self._watcher.dropped(waiting.pending.model, waiting.pending.rows)
        elif not waiting.done.done():
            waiting.done.set_exception(error)

    def changed(self, models: set[str]) -> None:
        """Tell of models whose counts have changed."""
        self._on_commit(models)

    async def clocked(self, model: LiveModel, version: str, now_us: int) -> Clocked:
        """Times that decide over rows of a version."""
        key = model.model, version
        if key not in self._progress:
            for progress in await self._store.progress(model.model):
                self._progress[progress.model, progress.version] = progress
        known = self._progress.get(key)
        return Clocked(
            now_us=now_us,
            newest_us=None if known is None else known.newest_us,
            watermark_us=None if known is None else watermark_us(known, now_us, model.lateness),
        )

    def advance(self, model: str, newest_us: dict[str, int], now_us: int) -> None:
        """Remember how far versions have come with a commit."""
        for version, newest in newest_us.items():
            known = self._progress.get((model, version))
            if known is None:
                self._progress[model, version] = Progress(
                    model=model,
                    version=version,
                    newest_us=newest,
                    advanced_at_us=now_us,
                    oldest_us=newest,
                    evaluated_until_us=None,
                    dirty={},
                )
            elif newest > known.newest_us:
                self._progress[model, version] = replace(known, newest_us=newest, advanced_at_us=now_us)

    def forget(self, model: str) -> None:
        """Forget how far the versions of a model have come: it was changed or deleted."""
        for key in [key for key in self._progress if key[0] == model]:
            del self._progress[key]


class _Round:
    """One group of requests, until each has its answer."""

    def __init__(self, buffer: CommitBuffer, group: Sequence[_Waiting]) -> None:
        self._buffer = buffer
        self._left = list(group)

    async def run(self) -> None:
        for _ in range(_ATTEMPTS_MAX):
            if not self._left:
                return
            await self._try()
        raise StoreUnavailableError("the model changes faster than its rows can be counted")

    async def _try(self) -> None:
        buffer = self._buffer
        now_us = await buffer.store.now_us()
        attempts: list[_Attempt] = []
        by_model = sorted(self._left, key=lambda waiting: waiting.pending.model)
        for name, some in groupby(by_model, key=lambda waiting: waiting.pending.model):
            waiting = list(some)
            live = buffer.registry.get(name)
            if live is None:
                self._done(waiting, lambda one: buffer.fail(one, GoneError("the model is no more")))
                continue
            first, again = _once_a_key(waiting)
            attempts.append(await self._count(live, first, again, now_us))
        results = await buffer.store.commit([attempt.commit for attempt in attempts if attempt.worth_it])
        committed = iter(results)
        for attempt in attempts:
            await self._settle(attempt, next(committed) if attempt.worth_it else Committed(status="committed"), now_us)
        buffer.changed({attempt.live.model for attempt in attempts})

    async def _count(
        self, live: LiveModel, waiting: Sequence[_Waiting], again: Sequence[_Waiting], now_us: int
    ) -> "_Attempt":
        attempt = _Attempt(live=live, again=again)
        by_version: dict[str, list[_Waiting]] = {}
        for one in waiting:
            by_version.setdefault(one.pending.version or live.default_version, []).append(one)
        owner = {id(one.pending): one for one in waiting}
        for name, some in by_version.items():
            version = live.version(name)
            if version is None:
                self._done(some, lambda one: self._buffer.fail(one, GoneError("the version is no more")))
                continue
            clocked = await self._buffer.clocked(live, name, now_us)
            for block in blocks_of([one.pending for one in some]):
                counted = await _counted(live, version, block, clocked)
                attempt.deltas += counted.deltas
                if counted.newest_us is not None:
                    attempt.newest_us[name] = max(attempt.newest_us.get(name, counted.newest_us), counted.newest_us)
                for span, answer in zip(block.spans, counted.answers, strict=True):
                    one = owner[id(span.pending)]
                    attempt.answers[id(one)] = one, answer
        return attempt

    async def _settle(self, attempt: "_Attempt", result: Committed, now_us: int) -> None:
        buffer = self._buffer
        model = attempt.live.model
        if result.status == "stale":
            buffer.forget(model)
            await buffer.registry.refresh(model)
            return
        if result.status == "duplicate":
            known = {mark.key: mark for mark in result.known}
            repeated = [one for one, _ in attempt.answers.values() if _key(one) in known]
            self._done(repeated, lambda one: self._repeat(one, known[str(_key(one))]))
            return
        buffer.advance(model, attempt.newest_us, now_us)
        answers = {_key(one): answer for one, answer in attempt.answers.values() if one.pending.key is not None}
        bodies = {mark.key: mark for mark in attempt.marks}
        for one, answer in attempt.answers.values():
            buffer.succeed(one, answer)
        self._forget([one for one, _ in attempt.answers.values()])
        repeated = [one for one in attempt.again if _key(one) in answers]
        self._done(repeated, lambda one: self._repeat(one, bodies[str(_key(one))]))

    def _repeat(self, waiting: _Waiting, mark: Mark) -> None:
        if waiting.pending.key is not None and waiting.pending.key.digest != mark.digest:
            self._buffer.fail(waiting, KeyReusedError("the idempotency key was used before, with another body"))
        else:
            self._buffer.succeed(waiting, Answer.again(mark.answer))

    def _done(self, waiting: Sequence[_Waiting], end: Callable[[_Waiting], None]) -> None:
        for one in waiting:
            end(one)
        self._forget(waiting)

    def _forget(self, waiting: Sequence[_Waiting]) -> None:
        gone = {id(one) for one in waiting}
        self._left = [one for one in self._left if id(one) not in gone]


@dataclass(slots=True, kw_only=True, eq=False)
class _Attempt:
    """Counts of one model, with the requests they are of."""

    live: LiveModel
    again: Sequence[_Waiting]
    deltas: list[Delta] = field(default_factory=list)
    newest_us: dict[str, int] = field(default_factory=dict)
    answers: dict[int, tuple[_Waiting, Answer]] = field(default_factory=dict)

    @property
    def marks(self) -> list[Mark]:
        return [
            Mark(key=one.pending.key.key, digest=one.pending.key.digest, answer=answer.body())
            for one, answer in self.answers.values()
            if one.pending.key is not None
        ]

    @property
    def worth_it(self) -> bool:
        return bool(self.deltas) or any(one.pending.key is not None for one, _ in self.answers.values())

    @property
    def commit(self) -> Commit:
        return Commit(
            model=self.live.model,
            epoch=self.live.epoch,
            deltas=self.deltas,
            marks=self.marks,
            newest_us=self.newest_us,
        )


def _key(waiting: _Waiting) -> str | None:
    return None if waiting.pending.key is None else waiting.pending.key.key


def _once_a_key(waiting: Sequence[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """The first request of each key, and those that repeat one; requests without a key are all first."""
    first: list[_Waiting] = []
    again: list[_Waiting] = []
    seen: set[str] = set()
    for one in waiting:
        key = _key(one)
        if key is not None and key in seen:
            again.append(one)
            continue
        if key is not None:
            seen.add(key)
        first.append(one)
    return first, again


async def _counted(model: LiveModel, version: LiveVersion, block: Block, clocked: Clocked) -> Counted:
    if block.rows * len(block.names) > _INLINE_CELLS_MAX:
        return await asyncio.to_thread(count_block, model, version, block, clocked)
    return count_block(model, version, block, clocked)
