"""A log in the order of its event times, larger than memory.

A first pass reads only the times. Files that are in order, one after the other, are then streamed as they are: that is how
logs are written. Otherwise the rows are sorted in runs that fit in memory, which go to a temporary file without a name and are
merged from there: the disk has to hold the log once more, as the lines that are sent. Rows of the same time keep their order.
"""

import heapq
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from struct import Struct
from typing import IO, Final, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np

from detectors.arrays import BoolArray
from detectors.binning.values import selected
from service.cli.wire import Form, lines_of
from service.domain import Batch
from service.errors import DeclarationError, InputError
from service.formats import DataFile, Source
from service.windows.event_times import event_times
from service.windows.zones import UsArray

__all__ = ["Log", "Surveyed", "TimedLine", "rows_in_order", "survey"]

RUN_BYTES_MAX: Final = 64 << 20
_READ_BYTES: Final = 1 << 16  # of each run while they are merged: 64 GiB of log are a thousand runs
_RECORD: Final = Struct("<qII")  # time, number of the form, bytes of the line

TimedLine: TypeAlias = tuple[int, Form, bytes]
"""Event time in microseconds, and a line with its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is to be replayed.

    Parameters
    ----------
    source : Source
    time_column : str
        In the data.
    sent_as : str
        What the service calls it.
    time_zone : ZoneInfo
        Of times without a zone.
    since_us, until_us : int or None
        From and before; microseconds since the epoch.
    """

    source: Source
    time_column: str
    sent_as: str
    time_zone: ZoneInfo
    since_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What the first pass has found.

    Parameters
    ----------
    files : tuple of DataFile
        Those with rows in the span, in the order of their first rows.
    rows : int
        In the span.
    rejected : int
        Rows that could not be read, or have no readable time.
    first_us, last_us : int
    in_order : bool
        Whether the files, read one after the other, give the rows in the order of time.
    """

    files: tuple[DataFile, ...]
    rows: int
    rejected: int
    first_us: int
    last_us: int
    in_order: bool


@dataclass(slots=True)
class _FileTimes:
    file: DataFile
    has_column: bool = False
    rows: int = 0
    rejected: int = 0
    first_us: int = 0
    last_us: int = 0
    in_order: bool = True

    def add(self, times_us: UsArray) -> None:
        if not times_us.size:
            return
        low, high = int(times_us.min()), int(times_us.max())
        after = not self.rows or int(times_us[0]) >= self.last_us
        self.in_order &= after and bool((times_us[1:] >= times_us[:-1]).all())
        self.first_us = min(low, self.first_us) if self.rows else low
        self.last_us = max(high, self.last_us) if self.rows else high
        self.rows += times_us.size


def survey(log: Log, on_progress: Callable[[int], None]) -> Surveyed:
    """Read the times of a log.

    Raises
    ------
    InputError
        It cannot be read, or has no row with a time in the span.
    DeclarationError
        No file has the time column, or one has two that would be sent under its name.
    """
    found: list[_FileTimes] = []
    done_bytes = 0
    for file in log.source.files:
        found.append(_times_of(log, file, lambda done, before=done_bytes: on_progress(before + done)))  # type: ignore[misc]
        done_bytes += file.size_bytes
    rejected = sum(one.rejected for one in found)
    if not any(one.has_column for one in found):
        raise DeclarationError(f"no column '{log.time_column}' in the data; --time-column names the one with the time")
    filled = sorted((one for one in found if one.rows), key=lambda one: (one.first_us, one.last_us))
    if not filled:
        why = f"{rejected:,} have no readable time" if rejected else "none is in the span"
        raise InputError(f"no row to replay: {why}")
    return Surveyed(
        files=tuple(one.file for one in filled),
        rows=sum(one.rows for one in filled),
        rejected=rejected,
        first_us=filled[0].first_us,
        last_us=max(one.last_us for one in filled),
        in_order=all(one.in_order for one in filled) and all(a.last_us <= b.first_us for a, b in pairwise(filled)),
    )


def rows_in_order(
    log: Log,
    surveyed: Surveyed,
    on_sorted: Callable[[int], None] = lambda _: None,
    *,
    run_bytes: int = RUN_BYTES_MAX,
    folder: Path | None = None,
) -> Iterator[TimedLine]:
    """Read the rows of a log in the order of their times.

    Parameters
    ----------
    log : Log
    surveyed : Surveyed
    on_sorted : callable
        While they are sorted: called with the number of rows so far.
    run_bytes : int
        Lines that are sorted in memory at a time.
    folder : Path, optional
        Where the temporary file is; by default where temporary files are.

    Raises
    ------
    InputError
        The log cannot be read, or there is no room to sort it.
    """
    lines = _lines(log, surveyed.files)
    return lines if surveyed.in_order else _sorted(lines, on_sorted, run_bytes, folder)


def _times_of(log: Log, file: DataFile, on_progress: Callable[[int], None]) -> _FileTimes:
    found = _FileTimes(file)
    for batch in Source(files=(file,)).batches({log.time_column}, on_progress):
        found.has_column |= log.time_column in batch.columns
        times_us, kept, unreadable = _times(log, batch)
        found.rejected += unreadable
        found.add(times_us[kept])
    return found


def _times(log: Log, batch: Batch) -> tuple[UsArray, BoolArray, int]:
    """Times of the rows of a batch, which of them are in the span, and how many rows could not be read."""
    values = batch.columns.get(log.time_column)
    if values is None:
        return np.zeros(batch.rows, np.int64), np.zeros(batch.rows, np.bool_), batch.rows + batch.rejected
    times_us, readable = event_times(values, log.time_column in batch.zoned, log.time_zone)
    kept = readable.copy()
    if log.since_us is not None:
        kept &= times_us >= log.since_us
    if log.until_us is not None:
        kept &= times_us < log.until_us
    return times_us, kept, int(np.count_nonzero(~readable)) + batch.rejected


def _lines(log: Log, files: Sequence[DataFile]) -> Iterator[TimedLine]:
    for batch in Source(files=tuple(files)).batches():
        times_us, kept, _ = _times(log, batch)
        rows = int(np.count_nonzero(kept))
        if not rows:
            continue
        if log.sent_as != log.time_column and log.sent_as in batch.columns:
            raise DeclarationError(
                f"{batch.file}: the service takes '{log.sent_as}' for the time, and the data has a column of this name "
                f"beside '{log.time_column}'"
            )
        columns = {
            log.sent_as if name == log.time_column else name: values if rows == batch.rows else selected(values, kept)
            for name, values in batch.columns.items()
        }
        kept_us = times_us[kept].tolist()
        zoned = log.time_column in batch.zoned
        for form, first, lines in lines_of(columns, rows, time_column=log.sent_as, zoned=zoned):
            for time_us, line in zip(kept_us[first : first + len(lines)], lines, strict=True):
                yield time_us, form, line


def _sorted(
    lines: Iterator[TimedLine], on_sorted: Callable[[int], None], run_bytes: int, folder: Path | None
) -> Iterator[TimedLine]:
    try:
        with tempfile.TemporaryFile(buffering=1 << 20, dir=folder) as file:
            runs = _Runs(file)
            last = _write_runs(runs, lines, on_sorted, run_bytes)
            yield from heapq.merge(*runs.read(), last, key=itemgetter(0))
    except OSError as error:
        room = f"sorting the log takes room for its rows in {folder or tempfile.gettempdir()} (TMPDIR)"
        raise InputError(f"{room}: {error.strerror}") from error


def _write_runs(
    runs: "_Runs", lines: Iterator[TimedLine], on_sorted: Callable[[int], None], run_bytes: int
) -> list[TimedLine]:
    """Write sorted runs; the last one need not go to the disk."""
    waiting: list[TimedLine] = []
    waiting_bytes = rows = 0
    for line in lines:
        waiting.append(line)
        waiting_bytes += len(line[2])
        if waiting_bytes >= run_bytes:
            rows += len(waiting)
            runs.write(waiting)
            on_sorted(rows)
            waiting, waiting_bytes = [], 0
    runs.finish()
    waiting.sort(key=itemgetter(0))
    return waiting


class _Runs:
    """Sorted runs of lines in one file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ends = [0]
        self._forms: dict[Form, int] = {}

    def write(self, lines: list[TimedLine]) -> None:
        lines.sort(key=itemgetter(0))
        for time_us, form, line in lines:
            number = self._forms.setdefault(form, len(self._forms))
            self._file.write(_RECORD.pack(time_us, number, len(line)))
            self._file.write(line)
        self._ends.append(self._file.tell())

    def finish(self) -> None:
        self._file.flush()

    def read(self) -> list[Iterator[TimedLine]]:
        forms = list(self._forms)
        return [self._read(forms, start, end) for start, end in pairwise(self._ends)]

    def _read(self, forms: Sequence[Form], start: int, end: int) -> Iterator[TimedLine]:
        # Each run at its own place of the one file.
        buffer, at = b"", 0
        while start < end or at < len(buffer):
            if len(buffer) - at < _RECORD.size or len(buffer) - at < _RECORD.size + _RECORD.unpack_from(buffer, at)[2]:
                more = os.pread(self._file.fileno(), min(_READ_BYTES, end - start), start)
                start += len(more)
                buffer, at = buffer[at:] + more, 0
                continue
            time_us, number, size = _RECORD.unpack_from(buffer, at)
            at += _RECORD.size
            yield time_us, forms[number], buffer[at : at + size]
            at += size
