"""Counts in memory: adding, reading, housekeeping."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import TypeVar

from service.errors import PayloadError
from service.ports import LEARNING, Commit, Committed, CountsRead, Keeping, Pane, Progress, Series, Swept
from service.storage.memory.state import ModelState, PaneState, State

__all__ = ["commit", "panes", "progress", "rows", "rows_by_window", "sweep"]

Merge = Callable[[Sequence[bytes]], bytes]
_Kept = TypeVar("_Kept")


def commit(state: State, commit: Commit, now_us: int) -> Committed:
    """Write a commit that is neither a duplicate nor stale."""
    model = state.models.get(commit.model)
    if model is None:
        return Committed(status="stale")
    turn = commit.turn
    if turn is not None and model.turns.get(turn.sender, (0, 0))[0] >= turn.number:
        return Committed(status="passed")
    known = [model.marks[mark.key][0] for mark in commit.marks if mark.key in model.marks]
    if known:
        return Committed(status="duplicate", known=known)
    if commit.epoch != model.epoch:
        return Committed(status="stale")
    for version, newest_us in commit.newest_us.items():
        progress = model.progress(version)
        if progress.newest_us is None or newest_us > progress.newest_us:
            progress.newest_us, progress.advanced_at_us = newest_us, now_us
    for delta in commit.deltas:
        panes = model.panes.setdefault((delta.version, delta.reference_id, delta.segment), {})
        pane = panes.setdefault((delta.pane_start_us, delta.window_start_us), PaneState())
        _add(pane, delta.rows, delta.late, [delta.payload])
        progress = model.progress(delta.version)
        if progress.evaluated_until_us is not None and delta.window_start_us < progress.evaluated_until_us:
            progress.dirty[delta.window_start_us] = progress.dirty.get(delta.window_start_us, 0) + 1
    model.marks.update((mark.key, (mark, now_us)) for mark in commit.marks)
    if turn is not None:
        model.turns.pop(turn.sender, None)
        model.turns[turn.sender] = turn.number, now_us
    return Committed(status="committed")


def panes(state: State, series: Series, first_us: int, last_us: int) -> Sequence[Pane]:
    """Panes that start in a span, in order."""
    return [
        Pane(
            start_us=start_us, window_start_us=window_us, rows=pane.rows, late=pane.late, payloads=tuple(pane.payloads)
        )
        for (start_us, window_us), pane in sorted(_panes(state, series).items(), key=lambda item: item[0])
        if first_us <= start_us < last_us
    ]


def rows_by_window(state: State, series: Series, first_us: int, last_us: int) -> Sequence[tuple[int, int]]:
    """Start and rows of each base window that starts in a span and has a row."""
    by_window: Counter[int] = Counter()
    for (_, window_us), pane in _panes(state, series).items():
        by_window[window_us] += pane.rows
    return sorted((start, rows) for start, rows in by_window.items() if first_us <= start < last_us and rows > 0)


def rows(state: State, read: CountsRead) -> int:
    """Rows of the panes that start in a span."""
    return sum(pane.rows for pane in panes(state, read.series, read.first_us, read.last_us))


def progress(state: State, only: str | None) -> Iterator[Progress]:
    """Of every version that has had a row."""
    for name, model in sorted(state.models.items()):
        for version, reached in sorted(model.versions.items()):
            if only in {None, name} and reached.newest_us is not None:
                starts = [
                    start
                    for (of_version, *_), panes in model.panes.items()
                    for start, _ in panes
                    if of_version == version
                ]
                yield Progress(
                    model=name,
                    version=version,
                    newest_us=reached.newest_us,
                    advanced_at_us=reached.advanced_at_us,
                    oldest_us=min([reached.newest_us, *starts]),
                    evaluated_until_us=reached.evaluated_until_us,
                    dirty=dict(reached.dirty),
                )


def sweep(
    state: State,
    keepings: Sequence[Keeping],
    marks_before_us: int,
    marks_max: int,
    merge: Merge,
    *,
    turns_before_us: int | None,
) -> Swept:
    """Expire, evict, fold, coarsen."""
    kept = [
        (model, keeping)
        for keeping in keepings
        if (model := state.models.get(keeping.model)) is not None and keeping.epoch in {None, model.epoch}
    ]
    expired = sum(_expire(model, keeping) for model, keeping in kept)
    evicted = sum(_evict(model.marks, marks_before_us, marks_max) for model in state.models.values())
    evicted += sum(_evict(model.turns, turns_before_us, marks_max) for model in state.models.values())
    errors: list[PayloadError] = []
    folded = sum(
        _fold(pane, merge, errors)
        for model in state.models.values()
        for panes in model.panes.values()
        for pane in panes.values()
    )
    coarsened = sum(_coarsen(model, keeping, merge, errors) for model, keeping in kept)
    if errors:
        raise errors[0]
    return Swept(deltas_folded=folded, panes_coarsened=coarsened, panes_expired=expired, marks_evicted=evicted)


def _panes(state: State, series: Series) -> dict[tuple[int, int], PaneState]:
    model = state.models.get(series.model)
    return {} if model is None else model.panes.get((series.version, series.reference_id, series.segment), {})


def _add(pane: PaneState, rows: int, late: int, payloads: Sequence[bytes]) -> None:
    pane.rows += rows
    pane.late += late
    pane.payloads.extend(payloads)


def _fold(pane: PaneState, merge: Merge, errors: list[PayloadError]) -> int:
    deltas = len(pane.payloads) - pane.folded
    if deltas:
        try:
            pane.payloads = [merge(pane.payloads)]
        except PayloadError as error:
            errors.append(error)
            return 0
        pane.folded = True
    return deltas


def _coarsen(model: ModelState, keeping: Keeping, merge: Merge, errors: list[PayloadError]) -> int:
    if keeping.coarsen_before_us is None:
        return 0
    coarsened = 0
    for panes in _of_version(model, keeping):
        fine = [
            (start_us, window_us)
            for (start_us, window_us), pane in panes.items()
            if start_us != window_us and pane.folded and window_us + keeping.base_window_us <= keeping.coarsen_before_us
        ]
        for start_us, window_us in fine:
            old, whole = panes[start_us, window_us], panes.get((window_us, window_us), PaneState())
            try:
                payload = merge([*whole.payloads, *old.payloads])
            except PayloadError as error:
                errors.append(error)
                continue
            panes[window_us, window_us] = PaneState(
                rows=whole.rows + old.rows, late=whole.late + old.late, payloads=[payload], folded=True
            )
            del panes[start_us, window_us]
            coarsened += 1
    return coarsened


def _expire(model: ModelState, keeping: Keeping) -> int:
    expired = 0
    if keeping.expire_before_us is not None:
        oldest_us = keeping.expire_before_us - keeping.base_window_us
        for panes in _of_version(model, keeping):
            for key in [key for key in panes if key[1] <= oldest_us]:
                del panes[key]
                expired += 1
        dirty = model.progress(keeping.version).dirty
        for window_us in [window_us for window_us in dirty if window_us <= oldest_us]:
            del dirty[window_us]
    if keeping.learned:
        for sketches in [key for key in model.panes if key[:2] == (keeping.version, LEARNING)]:
            del model.panes[sketches]
    before_us = keeping.evaluations_before_us
    if before_us is not None:
        version = keeping.version
        model.evaluations = {
            key: row for key, row in model.evaluations.items() if row.version != version or row.end_us >= before_us
        }
        model.decisions = [row for row in model.decisions if row[0] != version or row[1] >= before_us]
        model.episodes = {
            key: row
            for key, row in model.episodes.items()
            if row.version != version or row.open or row.until_us >= before_us
        }
    return expired


def _of_version(model: ModelState, keeping: Keeping) -> Iterator[dict[tuple[int, int], PaneState]]:
    return (panes for (version, *_), panes in model.panes.items() if version == keeping.version)


def _evict(kept: dict[str, tuple[_Kept, int]], before_us: int | None, number_max: int) -> int:
    """Drop the oldest, by time and by number."""
    if before_us is not None:
        for key in list(takewhile(lambda key: kept[key][1] < before_us, kept)):
            del kept[key]
    surplus = list(kept)[: max(0, len(kept) - number_max)]
    for key in surplus:
        del kept[key]
    return len(surplus)
