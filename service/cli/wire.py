"""Rows of data files as the lines of a request, each value exactly as it is.

What comes from CSV goes as CSV: what a cell means is decided by the kind of its column, which only the service knows. All
else goes as NDJSON:

=================================  =========================================================================
integers, also beyond 2**53        their digits
floats                             the shortest digits that read back as the same double; infinite ones 1e999
NaN, NaT, null                     null
booleans                           true, false
text, UUIDs, decimals              strings; decimals of Arrow files are doubles, as they are in a reference
times (in other columns than       strings, by the same name that a category of a reference has
the time)
the time                           as it is, or RFC 3339
a column that an event lacks       absent
lists, objects, durations, bytes   an empty list: what is neither a number nor a category is invalid
that are no text, broken text
=================================  =========================================================================

So a replayed file counts as it does in `driftline check`. A 32-bit float is sent as the double it is, and as the value of
a categorical column has that double's name.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isinf
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.binning import ColumnValues, DictionaryValues, TextValues, Values
from detectors.binning.categories import MISSING, category_of

__all__ = ["Form", "lines_of"]

_SLICE_CELLS: Final = 1 << 17  # rows as Python objects take a hundred bytes a cell
_ABSENT: Final = msgspec.UNSET
_INFINITE: Final = {True: msgspec.Raw(b"1e999"), False: msgspec.Raw(b"-1e999")}
_NEITHER: Final[tuple[()]] = ()  # a list of nothing
_CSV: Final = "text/csv"
_NDJSON: Final = "application/x-ndjson"

_encode_lines = msgspec.json.Encoder().encode_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What lines of one request have in common.

    Parameters
    ----------
    content_type : str
    head : bytes
        Line before the first one: the header of CSV.
    """

    content_type: str
    head: bytes


def lines_of(
    columns: Mapping[str, Values], rows: int, *, time_column: str, zoned: bool
) -> Iterator[tuple[Form, int, list[bytes]]]:
    """Write rows as lines, some at a time.

    Parameters
    ----------
    columns : mapping of str to Values, each of length `rows`
    rows : int
    time_column : str
        Its name among the columns.
    zoned : bool
        Whether datetime64 values of the time column are instants in UTC.

    Yields
    ------
    Form
    int
        Number of the first of the rows.
    list of bytes
        A line a row, with its end.
    """
    if all(isinstance(values, TextValues) and values.absent is None for values in columns.values()):
        cells = [values.cells for values in columns.values() if isinstance(values, TextValues)]
        yield Form(content_type=_CSV, head=_csv([list(columns)])[0]), 0, _csv(zip(*cells, strict=True))
        return
    step = max(1, _SLICE_CELLS // len(columns))
    for start in range(0, rows, step):
        some = slice(start, start + step)
        table = [
            _time_cells(values, some, zoned=zoned) if name == time_column else _cells(values, some)
            for name, values in columns.items()
        ]
        yield Form(content_type=_NDJSON, head=b""), start, _json(list(columns), table)


class _Collected(list[str]):
    write = list.append  # a file to the csv module: it writes a row at a time


def _csv(rows: Any) -> list[bytes]:
    collected = _Collected()
    # This end of line also makes it quote cells that hold a carriage return.
    csv.writer(collected, lineterminator="\r\n").writerows(rows)
    return [line.encode() for line in collected]


def _json(names: Sequence[str], cells: Sequence[Sequence[Any]]) -> list[bytes]:
    # Fields that are UNSET are left out of structs, not of dictionaries.
    gaps = any(_ABSENT in column for column in cells if type(column) is _Gapped)
    table = zip(*cells, strict=True)
    if gaps:
        rows = [{name: cell for name, cell in zip(names, row, strict=True) if cell is not _ABSENT} for row in table]
    else:
        rows = [dict(zip(names, row, strict=True)) for row in table]
    return _encode_lines(rows).splitlines(keepends=True)


class _Gapped(list[Any]):
    """Cells of a column that some events lack."""


def _cells(values: Values, some: slice) -> list[Any]:
    match values:
        case ColumnValues():
            cells = _of_array(values.values[some])
            missing = None if values.missing is None else values.missing[some]
            if missing is not None:
                cells = [None if null else cell for cell, null in zip(cells, missing.tolist(), strict=True)]
        case DictionaryValues():
            entries = [*map(_of_object, values.dictionary), None]
            cells = [entries[code] for code in np.where(values.codes[some] < 0, -1, values.codes[some]).tolist()]
        case TextValues():
            cells = list(map(_of_object, values.cells[some]))
        case _:  # pragma: no cover - readers give nothing else
            raise TypeError(type(values).__name__)
    if values.absent is None:
        return cells
    return _Gapped(_ABSENT if gone else cell for cell, gone in zip(cells, values.absent[some].tolist(), strict=True))


def _time_cells(values: Values, some: slice, *, zoned: bool) -> list[Any]:
    if isinstance(values, ColumnValues) and values.values.dtype.kind == "M":
        written = np.datetime_as_string(values.values[some].astype("datetime64[us]"), unit="us").tolist()
        return [text + "Z" for text in written] if zoned else list(written)
    return _cells(values, some)


def _of_array(array: npt.NDArray[Any]) -> list[Any]:
    match array.dtype.kind:
        case "f":
            cells: list[Any] = array.astype(np.float64, copy=False).tolist()  # NaN is written as null
            for row in np.flatnonzero(np.isinf(array)).tolist():
                cells[row] = _INFINITE[cells[row] > 0]
            return cells
        case "i" | "u" | "b":
            return list(array.tolist())
        case "M":
            times = array.astype("datetime64[us]")
            written = np.datetime_as_string(times, unit="us").tolist()
            return [None if null else text for text, null in zip(written, np.isnat(times).tolist(), strict=True)]
        case "m":
            return [None if null else _NEITHER for null in np.isnat(array).tolist()]
        case _:
            return list(map(_of_object, array.tolist()))


def _of_object(value: Any) -> Any:
    kind = type(value)
    if kind is float:
        return _INFINITE[value > 0] if isinf(value) else value
    if kind is int or kind is bool or value is None:
        return value
    if kind is str and value.isascii():
        return value
    name = category_of(value)
    return name if isinstance(name, str) else None if name == MISSING else _NEITHER
