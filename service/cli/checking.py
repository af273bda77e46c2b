"""Data files against a reference, window by window."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from detectors.arrays import Counts
from detectors.reference import Reference
from service.calibration.calibrated import calibrated
from service.calibration.settings import DEFAULT_SCALES, CalibrationSettings
from service.domain import Evaluation, Window
from service.domain.durations import zone_of
from service.errors import DeclarationError, InputError
from service.evaluation.counting import WindowCounts
from service.evaluation.evaluate import Evaluator
from service.evaluation.judging import parts_of
from service.formats import Source
from service.references.rows import Span, timed_rows
from service.windows.times import format_duration, parse_duration_s, window_end, window_starts

__all__ = ["WHOLE", "WINDOWS_MAX", "CheckRequest", "Checked", "check_data"]

WHOLE = "all"

WINDOWS_MAX = 100_000
"""A year of windows of five minutes and a little; of more nobody reads the lines."""

# Windows without a row are reported too, as undecided, unless times are so far apart that nobody would read them.
_WINDOWS_FILLED_MAX = 20_000

Part: TypeAlias = tuple[int, int, Counts]
"""Start, rows and counts of what was counted together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """What to compare.

    Parameters
    ----------
    window : str
        `all`, or a duration.
    time_column : str, optional
        By default the reference's; or `timestamp`, where times are needed and the reference has none.
    since_us, until_us : int, optional
        From and before; microseconds since the epoch.
    """

    window: str = WHOLE
    time_column: str | None = None
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """Counts of a file per window, ready to be evaluated.

    Parameters
    ----------
    evaluator : Evaluator
    counts : WindowCounts
        By base window of the reference, if it is calibrated and there are times; else by window.
    counted_s : int or None
        Length of what is counted by; None for all rows at once.
    request : CheckRequest
    size_s : int or None
        Length of a window; None for all rows at once.
    zone : ZoneInfo
    span_us : tuple of int or None
        Event times of the first and the last row.
    rejected : int
        Rows that could not be read, or had no readable time.
    """

    evaluator: Evaluator
    counts: WindowCounts
    counted_s: int | None
    request: CheckRequest
    size_s: int | None
    zone: ZoneInfo
    span_us: tuple[int | None, int | None]
    rejected: int

    @property
    def ignored(self) -> list[str]:
        """Columns of the data that the reference does not have."""
        return sorted(self.counts.ignored)

    def evaluations(self) -> Iterator[Evaluation]:
        """Evaluate one window after the other, in time order; each is made when it is asked for."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        reference = self.evaluator.reference
        for start_us, parts in self._filled():
            rows = sum(rows for _, rows, _ in parts)
            total = np.zeros(reference.layout.n_bins_total, dtype=np.int64)
            for _, _, counts in parts:
                total += counts
            yield self.evaluator.evaluate(
                Counts(total),
                rows,
                self._window(start_us, rows),
                now,
                errors=self.counts.errors,
                parts=parts_of(reference, [(start, counts) for start, _, counts in parts], self._scale),
            )

    @property
    def _scale(self) -> int | None:
        """So many base windows of the reference a window has."""
        if self.size_s is None or self.counted_s is None:
            return None
        windows = self.size_s // self.counted_s
        return windows if windows in DEFAULT_SCALES else None

    def _filled(self) -> Iterator[tuple[int, Sequence[Part]]]:
        """The windows with rows, and those in between that have none."""
        first_us, last_us = self.span_us
        fill = self.size_s is not None and first_us is not None and last_us is not None
        if fill and self.size_s and (last_us or 0) - (first_us or 0) > _WINDOWS_FILLED_MAX * self.size_s * 1_000_000:
            fill = False
        expected: int | None = None
        for start_us, parts in self._windows():
            while fill and expected is not None and expected < start_us:
                yield expected, ()
                expected = window_end(expected, self.size_s or 0, self.zone)
            yield start_us, parts
            expected = window_end(start_us, self.size_s, self.zone) if fill and self.size_s else None
        if not len(self.counts):
            yield 0, ()

    def _windows(self) -> Iterator[tuple[int, Sequence[Part]]]:
        """What was counted, by window."""
        for start_us, parts in groupby(self.counts.windows(), key=lambda part: self._start_us(part[0])):
            yield start_us, list(parts)

    def _start_us(self, counted_us: int) -> int:
        if self.size_s is None or self.size_s == self.counted_s:
            return counted_us if self.size_s is not None else 0
        return int(window_starts(np.array([counted_us], dtype=np.int64), self.size_s, self.zone)[0])

    def _window(self, start_us: int, rows: int) -> Window:
        if self.size_s is not None and (rows or len(self.counts)):
            end_us = window_end(start_us, self.size_s, self.zone)
            return Window(start_us=start_us, end_us=end_us, size=format_duration(self.size_s))
        first_us, last_us = self.span_us
        since_us, until_us = self.request.since_us, self.request.until_us
        return Window(
            start_us=first_us if since_us is None else since_us,
            end_us=last_us if until_us is None else until_us,
            size=self.request.window,
        )


def check_data(
    source: Source, reference: Reference, request: CheckRequest, on_progress: Callable[[int], None] | None = None
) -> Checked:
    """Count data in the bins of a reference, window by window.

    Parameters
    ----------
    source : Source
    reference : Reference
    request : CheckRequest
    on_progress : callable, optional
        Called with the bytes of input read so far.

    Returns
    -------
    Checked

    Raises
    ------
    DeclarationError
        The window does not fit the reference, or times are asked for that the data does not have.
    InputError
        The data cannot be read, or has no column of the reference.
    """
    zone = zone_of(reference.time_zone)
    size_s = None if request.window == WHOLE else _window_size_s(request.window, reference)
    span = _span(reference, request, size_s, zone)
    base_s = None if reference.blocks is None else parse_duration_s(reference.window)
    counts = WindowCounts(reference)
    windows: set[int] = set()
    rejected = n_rows = 0
    times_seen = False
    first_us: int | None = None
    last_us: int | None = None
    for some in timed_rows(source, span, None, on_progress):
        rejected += some.rejected
        n_rows += some.rows
        if some.times_us is not None:
            times_seen = times_seen or bool(some.columns) or some.rows > 0
            if some.rows:
                low, high = int(some.times_us.min()), int(some.times_us.max())
                first_us, last_us = min(low, first_us or low), max(high, last_us or high)
        counted_s = base_s or size_s
        if counted_s is None or some.times_us is None:
            starts_us = np.zeros(some.rows, dtype=np.int64)
        else:
            starts_us = window_starts(some.times_us, counted_s, zone)
        counts.add(some.columns, some.rows, starts_us)
        if size_s is not None and some.times_us is not None:
            windows.update(np.unique(window_starts(some.times_us, size_s, zone)).tolist())
        if len(windows) > WINDOWS_MAX:
            raise DeclarationError(f"--window {request.window}: more than {WINDOWS_MAX:,} windows; take larger ones")
    if span.needed and span.time_column is not None and not times_seen and rejected:
        raise DeclarationError(f"no time column in the data: wanted '{span.time_column}'")
    if n_rows and not counts.known:
        raise InputError("the data has no column of the reference; is it of another model?")
    # Without times, a file is like one base window of any hour.
    settings = CalibrationSettings(season="auto" if times_seen else "none", time_zone=reference.time_zone)
    return Checked(
        evaluator=Evaluator(
            reference, calibration=None if base_s is None else calibrated(reference, settings, zone, base_s)
        ),
        counts=counts,
        counted_s=(base_s or size_s) if times_seen else None,
        request=request,
        size_s=size_s,
        zone=zone,
        span_us=(first_us, last_us),
        rejected=rejected,
    )


def _window_size_s(window: str, reference: Reference) -> int:
    size_s = parse_duration_s(window)
    base_s = parse_duration_s(reference.window)
    if reference.blocks is not None and size_s % base_s:
        raise DeclarationError(
            f"--window {window}: not a whole multiple of the reference's base window, {reference.window}"
        )
    return size_s


def _span(reference: Reference, request: CheckRequest, size_s: int | None, zone: ZoneInfo) -> Span:
    since_us, until_us = request.since_us, request.until_us
    if since_us is not None and until_us is not None and since_us >= until_us:
        raise DeclarationError("--since is not before --until")
    needed = request.time_column is not None or size_s is not None or since_us is not None or until_us is not None
    time_column = request.time_column or reference.time_column or ("timestamp" if needed else None)
    if time_column in {column.name for column in reference.columns}:
        raise DeclarationError(
            f"'{time_column}' is a column that the reference monitors; it cannot be the time as well"
        )
    return Span(time_column=time_column, time_zone=zone, needed=needed, since_us=since_us, until_us=until_us)
