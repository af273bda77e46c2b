"""Rows of data files with their event times: what both passes of a build, and a check, read."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from detectors.binning import Values
from detectors.binning.values import selected
from service.formats import Source
from service.windows.event_times import event_times

__all__ = ["Span", "TimedRows", "timed_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which rows to take, by event time.

    Parameters
    ----------
    time_column : str or None
    needed : bool
        Whether rows of a file without that column are rejected; else they are taken without times.
    time_zone : ZoneInfo
        Of times without a zone.
    since_us, until_us : int or None
        From and before; microseconds since the epoch.
    """

    time_column: str | None
    time_zone: ZoneInfo
    needed: bool = True
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedRows:
    """Some rows.

    Parameters
    ----------
    rows : int
    columns : mapping of str to Values
    times_us : ndarray of int64, shape [rows], or None
        Event times, microseconds since the epoch; None without a time column.
    rejected : int
        Rows that were left out because they, or their times, could not be read.
    file : str or None
        Name of the file that the rows come from.
    """

    rows: int
    columns: Mapping[str, Values]
    times_us: npt.NDArray[np.int64] | None
    rejected: int
    file: str | None


def timed_rows(
    source: Source,
    span: Span,
    wanted: Collection[str] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[TimedRows]:
    """Read the rows of a span.

    Parameters
    ----------
    source : Source
    span : Span
    wanted : collection of str, optional
        Columns to read beside the time; all by default.
    on_progress : callable, optional
        Called with the bytes of input read so far.

    Yields
    ------
    TimedRows
    """
    names = None if wanted is None else {*wanted, *([span.time_column] if span.time_column else [])}
    for batch in source.batches(names, on_progress):
        if span.time_column is None or (not span.needed and span.time_column not in batch.columns):
            yield TimedRows(
                rows=batch.rows, columns=batch.columns, times_us=None, rejected=batch.rejected, file=batch.file
            )
            continue
        times = batch.columns.get(span.time_column)
        if times is None:  # declared but not in this file: not a row of it has a time
            yield TimedRows(
                rows=0,
                columns={},
                times_us=np.empty(0, np.int64),
                rejected=batch.rejected + batch.rows,
                file=batch.file,
            )
            continue
        times_us, readable = event_times(times, span.time_column in batch.zoned, span.time_zone)
        keep = readable.copy()
        if span.since_us is not None:
            keep &= times_us >= span.since_us
        if span.until_us is not None:
            keep &= times_us < span.until_us
        columns = {name: values for name, values in batch.columns.items() if name != span.time_column}
        if not keep.all():
            columns = {name: selected(values, keep) for name, values in columns.items()}
        unreadable = int(np.count_nonzero(~readable))
        yield TimedRows(
            rows=int(np.count_nonzero(keep)),
            columns=columns,
            times_us=times_us[keep],
            rejected=batch.rejected + unreadable,
            file=batch.file,
        )
