"""One group of requests to one commit, and each of them to its answer.

What is counted is committed with the epoch of the model that it was counted by; if the model has changed meanwhile, the rows
are counted again. A request that breaks, or whose key is known, costs the others of its group nothing but time.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final, Protocol

import structlog

from service.errors import DriftlineError, StoreUnavailableError
from service.ingest.aside import Aside
from service.ingest.attempt import Attempt, Waiting
from service.ingest.blocks import Block, blocks_of
from service.ingest.counting import Clocked, Counted, count_block
from service.ingest.pending import Answer
from service.ingest.reached import Reached
from service.ports import Committed, CountsStore, Mark
from service.registry.models import LiveModel, LiveVersion, Registry

__all__ = ["GoneError", "KeyReusedError", "RefusedError", "Rounds", "Watcher"]

_INLINE_CELLS_MAX: Final = 20_000
"""Blocks of more cells than this, about a millisecond of work, are counted in a thread. One that fights for the interpreter lock
costs the loop more than counting a smaller block itself."""

_NOTHING: Final = Committed(status="committed")

_ATTEMPTS_MAX: Final = 20
"""Times that rows are counted again because the model changed meanwhile, or a key was found to be known."""


class GoneError(DriftlineError):
    """The model or version was deleted while its rows waited."""


class KeyReusedError(DriftlineError):
    """An idempotency key came again with another body."""


class RefusedError(DriftlineError):
    """The store can read the counts of rows and will not have them: to send them again would change nothing."""


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


class Rounds:
    """Commits groups of requests.

    Parameters
    ----------
    store : CountsStore
    registry : Registry
    watcher : Watcher
    on_commit : callable
        Called after each commit with the names of the models whose counts have changed.
    back : callable
        Told that requests that were put aside can be taken back.
    tallied : bool
        Whether the store is told of the fates of rows: where others decide over them.
    """

    def __init__(
        self,
        store: CountsStore,
        registry: Registry,
        watcher: Watcher,
        on_commit: Callable[[set[str]], None],
        back: Callable[[], None],
        *,
        tallied: bool,
    ) -> None:
        self.store = store
        self.registry = registry
        self.reached = Reached(store)
        self.aside = Aside(registry, self.fail, back)
        self.on_commit = on_commit
        self.process = secrets.token_hex(8)
        self._watcher = watcher
        self.tallied = tallied

    async def commit(self, group: Sequence[Waiting]) -> list[Waiting]:
        """Give each request of a group its answer; those whose senders do not wait, and for which the store was not there.

        Those whose model takes long to be read again are put aside.
        """
        try:
            await _Round(self, group).run()
        except StoreUnavailableError as error:
            self.unavailable(group, error)
        except Exception as error:  # noqa: BLE001 - one request that breaks must not cost the others their rows
            parts = _parts(group)
            if len(parts) > 1:
                return await self._commit_apart(parts)
            structlog.get_logger().exception("rows could not be counted", error=type(error).__name__)
            for one in (one for part in parts for one in part):
                self.fail(one, error)
        return [waiting for waiting in group if not (waiting.ended or waiting.aside)]

    async def _commit_apart(self, parts: Sequence[list[Waiting]]) -> list[Waiting]:
        """What is left of each; of a model of which something is left, nothing is sent that would go by what may have arrived."""
        left: list[Waiting] = []
        held_up: set[tuple[str, bool]] = set()
        for part in parts:
            lane = _lane_of(part[0])
            some = part if lane in held_up else await self.commit(part)
            if some:
                held_up.add(lane)
            left += some
        return left

    def succeed(self, model: str, answered: Iterable[tuple[Waiting, Answer]]) -> None:
        """Answer requests of a model."""
        plain = 0  # to count each of them by itself would take longer than to answer it
        for waiting, answer in answered:
            waiting.ended = waiting.counted = True
            if answer.plain and not waiting.pending.decoded.ignored_cells:
                plain += answer.accepted
            else:
                self._watcher.counted(model, answer)
                if waiting.pending.decoded.ignored_cells and not answer.duplicate:
                    self._watcher.ignored_cells(model, waiting.pending.decoded.ignored_cells)
            if waiting.asker is not None and not waiting.asker.done():
                waiting.asker.set_result(answer)
        if plain:
            self._watcher.counted(model, Answer(accepted=plain))

    def unavailable(self, group: Iterable[Waiting], error: StoreUnavailableError) -> None:
        """The store was not there for these: who waits hears of it."""
        self._watcher.store_failed("commit")
        for waiting in group:
            if waiting.asker is not None and not waiting.aside:
                self.fail(waiting, error)

    def fail(self, waiting: Waiting, error: Exception) -> None:
        """Refuse a request, unless its fate is settled."""
        if waiting.ended:
            return
        waiting.ended = True
        if waiting.asker is None:
            self._watcher.dropped(waiting.pending.model, waiting.rows)
        elif not waiting.asker.done():
            waiting.asker.set_exception(error)


class _Round:
    """One group of requests, until each has its answer."""

    def __init__(self, rounds: Rounds, group: Sequence[Waiting]) -> None:
        self._rounds = rounds
        self._left = list(group)
        self._off: set[Waiting] = set()

    async def run(self) -> None:
        for _ in range(_ATTEMPTS_MAX):
            await self._try()
            self._left = [one for one in self._left if not (one.ended or one.aside or one in self._off)]
            if not self._left:
                return
        raise StoreUnavailableError("the model changes faster than its rows can be counted")

    async def _try(self) -> None:
        rounds = self._rounds
        now_us = await rounds.store.now_us()
        attempts = await self._counted(now_us)
        results = iter(await rounds.store.commit([attempt.commit for attempt in attempts if attempt.worth_it]))
        settled = [(attempt, next(results) if attempt.worth_it else _NOTHING) for attempt in attempts]
        for attempt, result in sorted(settled, key=lambda one: one[1].status == "stale"):
            if result.status == "unavailable":
                self._put_off(attempt.waiting, StoreUnavailableError(result.reason))
            else:
                await self._settle(attempt, result, now_us)
        rounds.on_commit({attempt.live.model for attempt in attempts})

    async def _counted(self, now_us: int) -> Sequence[Attempt]:
        """All that can be counted, by commit."""
        rounds = self._rounds
        by_commit = [(some[0].pending.model, some) for some in _first_of_each_lane(self._left)]
        lives = {name: rounds.registry.get(name) for name, _ in by_commit}
        unread = await rounds.reached.read([live for live in lives.values() if live is not None], now_us)
        attempts: list[Attempt] = []
        for name, some in by_commit:
            live = lives[name]
            if live is None:
                for waiting in some:
                    rounds.fail(waiting, GoneError("the model is no more"))
            elif name in unread:
                self._put_off(some, unread[name])
            else:
                first, again = _once_a_key(some)
                attempts.append(await self._count(live, first, again, now_us))
        return attempts

    def _put_off(self, some: Sequence[Waiting], error: StoreUnavailableError) -> None:
        """Try these no more in this round, nor what would go by them."""
        self._rounds.unavailable(some, error)
        lanes = {_lane_of(one) for one in some}
        self._off.update(one for one in self._left if _lane_of(one) in lanes)

    async def _count(
        self, live: LiveModel, waiting: Sequence[Waiting], again: Sequence[Waiting], now_us: int
    ) -> Attempt:
        attempt = Attempt(live=live, again=again, process=self._rounds.process, tallied=self._rounds.tallied)
        by_version: dict[str, list[Waiting]] = {}
        for one in waiting:
            by_version.setdefault(one.pending.version or live.default_version, []).append(one)
        owner = {id(one.pending): one for one in waiting}
        for name, some in by_version.items():
            version = live.version(name)
            if version is None:
                for one in some:
                    self._rounds.fail(one, GoneError("the version is no more"))
                continue
            clocked = await self._rounds.reached.clocked(live, name, now_us)
            for block in blocks_of([one.pending for one in some]):
                counted = await _counted(live, version, block, clocked)
                attempt.deltas += counted.deltas
                if counted.newest_us is not None:
                    attempt.newest_us[name] = max(attempt.newest_us.get(name, counted.newest_us), counted.newest_us)
                for span, answer in zip(block.spans, counted.answers, strict=True):
                    attempt.answers.append((owner[id(span.pending)], answer))
        return attempt

    async def _settle(self, attempt: Attempt, result: Committed, now_us: int) -> None:
        rounds = self._rounds
        model = attempt.live.model
        match result.status:
            case "stale":
                await self._read_again(model, attempt.waiting)
            case "refused":
                structlog.get_logger().error("counts refused", model=model, reason=result.reason)
                for one in attempt.waiting:
                    rounds.fail(one, RefusedError(f"the counts of these rows were refused: {result.reason}"))
            case "duplicate":
                known = {mark.key: mark for mark in result.known}
                for one, _ in attempt.answers:
                    if one.key in known:
                        self._repeat(one, known[one.key])
            case "committed":
                rounds.reached.advance(model, attempt.newest_us, now_us)
                rounds.succeed(model, attempt.answers)
                marks = {mark.key: mark for mark in attempt.marks}
                for one in attempt.again:
                    if one.key in marks:
                        self._repeat(one, marks[one.key])

    async def _read_again(self, model: str, waiting: Sequence[Waiting]) -> None:
        try:
            await self._rounds.aside.read_again(model, waiting)
        except StoreUnavailableError as error:  # others of the group were counted, or can be
            self._put_off(waiting, error)

    def _repeat(self, waiting: Waiting, mark: Mark) -> None:
        if waiting.pending.key is not None and waiting.pending.key.digest != mark.digest:
            self._rounds.fail(waiting, KeyReusedError("the idempotency key was used before, with another body"))
        else:
            self._rounds.succeed(waiting.pending.model, [(waiting, Answer.again(mark.answer))])


def _lane_of(waiting: Waiting) -> tuple[str, bool]:
    """Requests for one model that are all waited for, or all sent again if the store is away, reach the store in their order."""
    return waiting.pending.model, waiting.asker is None


def _commit_of(waiting: Waiting) -> tuple[str, bool, bool, str]:
    """Of one commit are requests of one lane that were sent together before, or not at all; what was sent goes first."""
    return *_lane_of(waiting), not waiting.rows_id, waiting.rows_id


def _by_commit(waiting: Iterable[Waiting]) -> list[list[Waiting]]:
    return [list(some) for _, some in groupby(sorted(waiting, key=_commit_of), key=_commit_of)]


def _first_of_each_lane(waiting: Iterable[Waiting]) -> list[list[Waiting]]:
    """One commit a lane: nothing goes by what may have arrived."""
    return [next(some) for _, some in groupby(_by_commit(waiting), key=lambda some: _lane_of(some[0]))]


def _once_a_key(waiting: Iterable[Waiting]) -> tuple[list[Waiting], list[Waiting]]:
    """The first request of each key, and those that repeat one; requests without a key are all first."""
    first: list[Waiting] = []
    again: list[Waiting] = []
    seen: set[str] = set()
    for one in waiting:
        if one.key is not None and one.key in seen:
            again.append(one)
            continue
        if one.key is not None:
            seen.add(one.key)
        first.append(one)
    return first, again


def _parts(group: Sequence[Waiting]) -> list[list[Waiting]]:
    """What is left of a group, commit by commit; if it is of one, each request by itself.

    What was sent together may be in the store together: it is not split, for that would be counted twice.
    """
    parts = _by_commit(one for one in group if not (one.ended or one.aside))
    if len(parts) != 1 or parts[0][0].rows_id:
        return parts
    return [[one] for one in parts[0]]


async def _counted(model: LiveModel, version: LiveVersion, block: Block, clocked: Clocked) -> Counted:
    if block.rows * len(block.names) > _INLINE_CELLS_MAX:
        return await asyncio.to_thread(count_block, model, version, block, clocked)
    return count_block(model, version, block, clocked)
