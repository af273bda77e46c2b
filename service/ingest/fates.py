"""What becomes of each row: its event time, whether it is kept, and what its sender is told. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, IndexArray
from service.ingest.blocks import Block, Span
from service.ingest.decode import RowError
from service.ingest.pending import ERRORS_MAX, Answer
from service.registry.models import LiveModel, LiveVersion
from service.windows.event_times import event_times
from service.windows.zones import MIN_US, US_PER_DAY, UsArray

__all__ = ["EARLIEST_US", "REASONS", "Clocked", "Fates", "Invalid", "answers_of", "fates_of", "time_column_of"]

REASONS: Final = ("no_time", "unreadable_time", "future", "too_old")
_WORDS: Final = {
    "no_time": "no time, though the column is declared to be the time",
    "unreadable_time": "not a time; wanted RFC 3339 or seconds since the epoch",
    "future": "later than now: more than the clock skew allowed",
    "too_old": "older than the retention",
}
EARLIEST_US: Final = MIN_US + 36_525 * US_PER_DAY
"""A century, the longest retention, after the first instant that can be written: no window begins before that."""

_INVALID: Final = "wrong type for its column; counted as invalid"


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fates:
    """Event times of a block's rows, and which are kept.

    Parameters
    ----------
    column : str or None
        Where the times stand.
    times_us : ndarray of int64, shape [rows]
    refused : ndarray of int8, shape [rows], or None
        Number of a reason, -1 where a row is kept; None if all are.
    late : ndarray of bool, shape [rows], or None
        Kept rows that are late; None if there are none.
    """

    column: str | None
    times_us: UsArray
    refused: npt.NDArray[np.int8] | None
    late: BoolArray | None

    @property
    def kept(self) -> BoolArray | None:
        """Rows that are kept; None for all."""
        return None if self.refused is None else self.refused < 0


class Invalid:
    """Where cells of a wrong type were: numbers of kept rows, by column."""

    def __init__(self) -> None:
        self._cells: list[tuple[str, IndexArray]] = []

    def __bool__(self) -> bool:
        return bool(self._cells)

    def note(self, column: str, rows: IndexArray) -> None:
        """Remember them; `rows` in order."""
        self._cells.append((column, rows))

    def by_span(self, kept: BoolArray | None, ends: IndexArray) -> dict[int, list[tuple[int, str]]]:
        """The first of each span and column, as rows of the block.

        Parameters
        ----------
        kept : ndarray of bool, shape [rows], or None
        ends : ndarray of intp, shape [spans]
            Row behind the last one of each span.
        """
        found: dict[int, list[tuple[int, str]]] = {}
        row_of_kept = None if kept is None else np.flatnonzero(kept)
        for column, numbers in self._cells:
            rows = numbers if row_of_kept is None else row_of_kept[numbers]
            spans = np.searchsorted(ends, rows, side="right")
            first = np.arange(rows.size) - np.searchsorted(spans, spans) < ERRORS_MAX
            for span, row in zip(spans[first].tolist(), rows[first].tolist(), strict=True):
                found.setdefault(span, []).append((row, column))
        return found


def time_column_of(model: LiveModel, version: LiveVersion) -> tuple[str | None, bool]:
    """The column with the event time, and whether a row must have it.

    A time column that was only found in the training data need not be in the traffic.
    """
    declared = model.configuration.time_column
    if declared is not None:
        return declared, True
    return (version.active.reference.time_column if version.active is not None else None), False


def fates_of(model: LiveModel, version: LiveVersion, block: Block, clocked: Clocked) -> Fates:
    """Find the event times of a block's rows, and refuse those that have none, or one out of range."""
    column, required = time_column_of(model, version)
    times_us = _received(block)
    values = block.column(column) if column is not None else None
    refused: npt.NDArray[np.int8] | None = None
    if column is not None and values is not None:
        written_us, readable = event_times(values, column in block.zoned, model.grid.time_zone)
        times_us = np.where(readable, written_us, times_us)
        if not readable.all():
            refused = np.full(block.rows, -1, dtype=np.int8)
            absent = values.absent if values.absent is not None else np.zeros(block.rows, dtype=np.bool_)
            refused[~readable & ~absent] = REASONS.index("unreadable_time")
            if required:
                refused[absent] = REASONS.index("no_time")
    elif required:
        refused = np.full(block.rows, REASONS.index("no_time"), dtype=np.int8)
    latest_us, earliest_us = clocked.now_us + model.clock_skew_us, EARLIEST_US
    if clocked.newest_us is not None:
        # Of what was committed before: a year of logs in one body is a year, not its last month.
        earliest_us = max(earliest_us, clocked.newest_us - model.retention_us)
    refused = _refuse(refused, times_us > latest_us, "future")
    refused = _refuse(refused, times_us < earliest_us, "too_old")
    late = None if clocked.watermark_us is None else times_us < clocked.watermark_us
    if late is not None and refused is not None:
        late &= refused < 0
    return Fates(
        column=column,
        times_us=times_us,
        refused=refused if refused is not None and (refused >= 0).any() else None,
        late=late if late is not None and late.any() else None,
    )


def answers_of(block: Block, fates: Fates, invalid: Invalid) -> list[Answer]:
    """What the sender of each span is told."""
    if fates.refused is None and fates.late is None and not invalid:
        return [
            Answer(accepted=span.rows)
            if not (span.rejected or span.ignored)
            else _answer(span, span.rows, 0, dict[str, int](), [])
            for span in block.spans
        ]
    late = fates.late if fates.late is not None else np.zeros(block.rows, dtype=np.bool_)
    refused = fates.refused if fates.refused is not None else np.full(block.rows, -1, dtype=np.int8)
    ends = np.cumsum([span.rows for span in block.spans])
    wrong = invalid.by_span(fates.kept, ends)
    answers, start = [], 0
    for place, (span, end) in enumerate(zip(block.spans, ends.tolist(), strict=True)):
        fate = refused[start:end]
        rows = np.flatnonzero(fate >= 0)
        reasons = {
            REASONS[code]: n for code, n in enumerate(np.bincount(fate[rows], minlength=len(REASONS)).tolist()) if n
        }
        errors = [
            RowError(row=span.numbers[row], column=fates.column, reason=_WORDS[REASONS[int(fate[row])]])
            for row in rows[:ERRORS_MAX].tolist()
        ]
        errors += [
            RowError(row=span.numbers[row - start], column=column, reason=_INVALID)
            for row, column in sorted(wrong.get(place, ()))
        ]
        n_late = int(np.count_nonzero(late[start:end]))
        answers.append(_answer(span, span.rows - rows.size, n_late, reasons, errors))
        start = end
    return answers


def _received(block: Block) -> UsArray:
    if len(block.spans) == 1:
        return np.full(block.rows, block.spans[0].received_us, dtype=np.int64)
    received_us = np.array([span.received_us for span in block.spans], dtype=np.int64)
    return np.repeat(received_us, [span.rows for span in block.spans])


def _refuse(refused: npt.NDArray[np.int8] | None, which: BoolArray, reason: str) -> npt.NDArray[np.int8] | None:
    if not which.any():
        return refused
    refused = np.full(which.size, -1, dtype=np.int8) if refused is None else refused
    refused[which & (refused < 0)] = REASONS.index(reason)
    return refused


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
