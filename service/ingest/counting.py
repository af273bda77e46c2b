"""Rows to counts per pane. Pure: the time and what is known of the model are arguments.

The small requests of a moment are gathered and binned as one block; what each of them is answered is worked out from its
part of the block. Every row that has a readable time in the range has a bin in every column it carries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, IndexArray
from detectors.binning import Binner, Values
from detectors.binning.values import selected
from detectors.learning import Sketch
from service.ingest.blocks import Block, Span
from service.ingest.decode import RowError
from service.ingest.pending import ERRORS_MAX, Answer
from service.ports import LEARNING, LEARNING_PANE_US, Delta
from service.registry.models import LiveModel, LiveReference, LiveVersion
from service.storage.codec import encode_dense, encode_sparse, wrap_sketch
from service.windows.event_times import event_times
from service.windows.zones import US_PER_DAY, UsArray

__all__ = ["Clocked", "Counted", "count_block"]

# A dense vector of this many counts is cheaper to fill than as many positions are to sort.
_DENSE_COUNTS_MAX = 1 << 22

_REASONS: Final = ("no_time", "unreadable_time", "future", "too_old")
_WORDS: Final = {
    "no_time": "no time, though the column is declared to be the time",
    "unreadable_time": "not a time; wanted RFC 3339 or seconds since the epoch",
    "future": "later than now: more than the clock skew allowed",
    "too_old": "older than the retention",
}
_INVALID = "wrong type for its column; counted as invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocked:
    """Times that decide over rows.

    Parameters
    ----------
    now_us : int
        By the store's clock.
    newest_us : int or None
        Largest event time of the version so far.
    watermark_us : int or None
        Rows before it are late.
    """

    now_us: int
    newest_us: int | None
    watermark_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A block as counts.

    Parameters
    ----------
    deltas : sequence of Delta
    answers : sequence of Answer
        One a span of the block.
    newest_us : int or None
        Largest event time of the counted rows.
    """

    deltas: Sequence[Delta]
    answers: Sequence[Answer]
    newest_us: int | None


def count_block(model: LiveModel, version: LiveVersion, block: Block, clocked: Clocked) -> Counted:
    """Count a block of rows.

    Parameters
    ----------
    model : LiveModel
    version : LiveVersion
    block : Block
    clocked : Clocked

    Returns
    -------
    Counted
    """
    times = _times(model, version, block, clocked)
    kept = times.fate < 0
    late = kept & (times.times_us < clocked.watermark_us) if clocked.watermark_us is not None else np.zeros_like(kept)
    columns = {
        name: values for name, values in block.columns.items() if name != times.column and name not in model.unmonitored
    }
    everything = bool(kept.all())
    if not everything:
        columns = {name: selected(values, kept) for name, values in columns.items()}
    rows = _Rows(
        columns=columns,
        times_us=times.times_us if everything else times.times_us[kept],
        late=late if everything else late[kept],
    )
    invalid = _Invalid()
    deltas = _deltas(model, version, rows, invalid) if rows.times_us.size else []
    answers = _answers(block, times, kept, late, invalid)
    newest = int(rows.times_us.max()) if rows.times_us.size else None
    return Counted(deltas=deltas, answers=answers, newest_us=newest)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Times:
    column: str | None
    times_us: UsArray
    fate: npt.NDArray[np.int8]  # -1 kept, else the number of a reason


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    columns: Mapping[str, Values]
    times_us: UsArray
    late: BoolArray


@dataclass(slots=True)
class _Invalid:
    """Where cells of a wrong type were: rows of the counted block, and their columns."""

    cells: list[tuple[int, str]] = field(default_factory=list)

    def note(self, column: str, rows: IndexArray) -> None:
        self.cells += [(row, column) for row in rows[:ERRORS_MAX].tolist()]


def time_column_of(model: LiveModel, version: LiveVersion) -> tuple[str | None, bool]:
    """The column with the event time, and whether a row must have it: a time column that was only found in the training
    data need not be in the traffic.
    """  # noqa: D205 - one sentence
    declared = model.configuration.time_column
    if declared is not None:
        return declared, True
    return (version.active.reference.time_column if version.active is not None else None), False


def _times(model: LiveModel, version: LiveVersion, block: Block, clocked: Clocked) -> _Times:
    column, required = time_column_of(model, version)
    times_us = np.repeat(
        np.array([span.received_us for span in block.spans], dtype=np.int64), [span.rows for span in block.spans]
    )
    fate = np.full(block.rows, -1, dtype=np.int8)
    values = block.columns.get(column) if column is not None else None
    if column is not None and values is not None:
        written_us, readable = event_times(values, column in block.zoned, model.grid.time_zone)
        absent = values.absent if values.absent is not None else np.zeros(block.rows, dtype=np.bool_)
        times_us = np.where(readable, written_us, times_us)
        fate[~readable & ~absent] = _REASONS.index("unreadable_time")
        if required:
            fate[absent] = _REASONS.index("no_time")
    elif required:
        fate[:] = _REASONS.index("no_time")
    fate[(fate < 0) & (times_us > clocked.now_us + model.clock_skew_us)] = _REASONS.index("future")
    if clocked.newest_us is not None:
        # Of what was committed before: a year of logs in one body is a year, not its last month.
        fate[(fate < 0) & (times_us < clocked.newest_us - model.retention_us)] = _REASONS.index("too_old")
    return _Times(column=column, times_us=times_us, fate=fate)


def _deltas(model: LiveModel, version: LiveVersion, rows: _Rows, invalid: _Invalid) -> list[Delta]:
    if version.learning:
        return [_learned(model, version, rows)]
    which = version.which(rows.times_us)
    deltas: list[Delta] = []
    for number in np.unique(which).tolist():
        chosen = which == number
        everything = bool(chosen.all())
        some = rows if everything else _some(rows, chosen)
        numbers = np.arange(chosen.size) if everything else np.flatnonzero(chosen)
        deltas += _counted(model, version, version.since[number].reference, some, numbers=numbers, invalid=invalid)
    return deltas


def _some(rows: _Rows, chosen: BoolArray) -> _Rows:
    return _Rows(
        columns={name: selected(values, chosen) for name, values in rows.columns.items()},
        times_us=rows.times_us[chosen],
        late=rows.late[chosen],
    )


def _learned(model: LiveModel, version: LiveVersion, rows: _Rows) -> Delta:
    sketch = Sketch.of(rows.columns, rows.times_us.size, model.roles)
    pane = LEARNING_PANE_US + int(rows.times_us.min()) // US_PER_DAY
    return Delta(
        version=version.version,
        reference_id=LEARNING,
        pane_start_us=pane,
        window_start_us=pane,
        rows=rows.times_us.size,
        late=0,
        payload=wrap_sketch(sketch.to_bytes()),
    )


def _counted(
    model: LiveModel,
    version: LiveVersion,
    live: LiveReference,
    rows: _Rows,
    *,
    numbers: IndexArray,
    invalid: _Invalid,
) -> list[Delta]:
    panes, part = _panes(model.grid.pane_starts(rows.times_us))
    windows = model.grid.base_starts(panes)
    payloads = _payloads(live, rows, part, panes.size, numbers=numbers, invalid=invalid)
    n_rows = np.bincount(part, minlength=panes.size).tolist()
    n_late = np.bincount(part[rows.late], minlength=panes.size).tolist()
    return [
        Delta(
            version=version.version,
            reference_id=live.id,
            pane_start_us=pane,
            window_start_us=window,
            rows=n,
            late=late,
            payload=payload,
        )
        for pane, window, n, late, payload in zip(
            panes.tolist(), windows.tolist(), n_rows, n_late, payloads, strict=True
        )
    ]


def _panes(starts_us: UsArray) -> tuple[UsArray, IndexArray]:
    # Nearly always all rows of a block fall in one pane, and then nothing needs sorting.
    if starts_us[0] == starts_us[-1] and bool((starts_us == starts_us[0]).all()):
        return starts_us[:1], np.zeros(starts_us.size, dtype=np.intp)
    panes, part = np.unique(starts_us, return_inverse=True)
    return panes, part.astype(np.intp)


def _payloads(
    live: LiveReference, rows: _Rows, part: IndexArray, n_parts: int, *, numbers: IndexArray, invalid: _Invalid
) -> list[bytes]:
    binner = live.binner
    total = binner.layout.n_bins_total
    positions = []
    for index, bins, observed in _observed(binner, rows):
        wrong = np.flatnonzero(bins == binner.layout.value_bins[index] + 1)
        if wrong.size:
            invalid.note(binner.columns[index].name, numbers[wrong])
        flat = bins + binner.layout.offsets[index]
        if n_parts > 1:
            flat += part * total
        positions.append(flat if observed is None else flat[observed])
    if not positions:
        return [encode_sparse(np.empty(0, np.intp), np.empty(0, np.int64), total)] * n_parts
    flat = np.concatenate(positions)
    if n_parts * total <= _DENSE_COUNTS_MAX and flat.size * 8 > n_parts * total:
        dense = np.bincount(flat, minlength=n_parts * total).reshape(n_parts, total)
        return [encode_dense(vector) for vector in dense]
    places, counts = np.unique(flat, return_counts=True)
    bounds = np.searchsorted(places, np.arange(n_parts + 1) * total).tolist()
    return [
        encode_sparse(places[low:high] - number * total, counts[low:high], total)
        for number, (low, high) in enumerate(pairwise(bounds))
    ]


def _observed(binner: Binner, rows: _Rows) -> list[tuple[int, IndexArray, BoolArray | None]]:
    try:
        return binner.observed_bins(rows.columns, rows.times_us.size)
    except Exception:  # noqa: BLE001 - one column that breaks must not cost the others their rows
        return _observed_one_by_one(binner, rows)


def _observed_one_by_one(binner: Binner, rows: _Rows) -> list[tuple[int, IndexArray, BoolArray | None]]:
    places = {column.name: index for index, column in enumerate(binner.columns)}
    sound: dict[str, Values] = {}
    broken: list[tuple[int, IndexArray, BoolArray | None]] = []
    for name, values in rows.columns.items():
        index = places.get(name)
        if index is None:
            continue
        try:
            binner.bins(index, values)
        except Exception:  # noqa: BLE001 - whatever it is, its cells are not what the column wants
            wrong = np.full(rows.times_us.size, binner.layout.value_bins[index] + 1, dtype=np.intp)
            broken.append((index, wrong, None if values.absent is None else ~values.absent))
        else:
            sound[name] = values
    taken = {index for index, _, _ in broken}
    counted = binner.observed_bins(sound, rows.times_us.size)
    return [item for item in counted if item[0] not in taken] + broken


def _answers(block: Block, times: _Times, kept: BoolArray, late: BoolArray, invalid: _Invalid) -> list[Answer]:
    if kept.all() and not late.any() and not invalid.cells:
        return [_answer(span, span.rows, 0, {}, []) for span in block.spans]
    ends = np.cumsum([span.rows for span in block.spans])
    starts = ends - [span.rows for span in block.spans]
    row_of_counted = np.flatnonzero(kept)
    wrong = sorted((int(row_of_counted[row]), column) for row, column in invalid.cells)
    answers = []
    for span, start, end in zip(block.spans, starts.tolist(), ends.tolist(), strict=True):
        fate = times.fate[start:end]
        refused = np.flatnonzero(fate >= 0)
        reasons = {_REASONS[code]: int(n) for code, n in enumerate(np.bincount(fate[refused], minlength=4)) if n}
        errors = [
            RowError(row=span.numbers[row], column=times.column, reason=_WORDS[_REASONS[int(fate[row])]])
            for row in refused[:ERRORS_MAX].tolist()
        ]
        errors += [
            RowError(row=span.numbers[row - start], column=column, reason=_INVALID)
            for row, column in wrong
            if start <= row < end
        ]
        answers.append(
            _answer(span, int(np.count_nonzero(kept[start:end])), int(late[start:end].sum()), reasons, errors)
        )
    return answers


def _answer(span: Span, accepted: int, late: int, reasons: dict[str, int], errors: list[RowError]) -> Answer:
    if span.rejected:
        reasons = {**reasons, "unreadable": span.rejected}
    if span.errors or errors:
        errors = sorted([*span.errors, *errors], key=lambda error: error.row)[:ERRORS_MAX]
    return Answer(
        accepted=accepted,
        rejected=sum(reasons.values()),
        late=late,
        errors=errors,
        ignored=span.ignored,
        reasons=reasons,
    )
