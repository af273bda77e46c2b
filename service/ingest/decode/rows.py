"""What decoding gives: rows as tuples, or rows in columns; and what was refused on the way.

Rows are counted from 1, in the order of the request, refused ones included; in NDJSON the number is that of the line.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

from detectors.binning import Values
from service.errors import RowError

__all__ = [
    "ERRORS_MAX",
    "IGNORED_MAX",
    "NOTHING",
    "Cells",
    "DecodedColumns",
    "DecodedRows",
    "Rejections",
    "picker",
    "rows_within",
]

ERRORS_MAX = 10
"""Refused rows that are described; the others are only counted."""

IGNORED_MAX = 256
"""Names of ignored columns that are kept; the cells of all of them are counted."""

NOTHING: frozenset[str] = frozenset()

_CELLS_MAX = 1 << 22  # 32 MiB of references

Cells: TypeAlias = tuple[Any, ...]
"""One row: a cell a column, `msgspec.UNSET` where it lacks the column."""


class DecodedRows(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Rows of a request, or of a chunk of one, that are not yet columns.

    Parameters
    ----------
    names : tuple of str
        What the cells belong to. Of an open schema it grows; rows with the same names can be gathered.
    cells : sequence of tuple
    numbers : sequence of int
        Number in the request of each row.
    errors : sequence of RowError
    rejected : int
        Rows that are no rows; they are not among the others.
    ignored : frozenset of str
        Columns that the schema does not know.
    ignored_cells : int
        How many cells they had.
    digest : bytes
        Of the lines that a chunk of a stream was decoded from, where that was asked for.
    """

    names: tuple[str, ...]
    cells: Sequence[Cells]
    numbers: Sequence[int]
    errors: Sequence[RowError] = ()
    rejected: int = 0
    ignored: frozenset[str] = NOTHING
    ignored_cells: int = 0
    digest: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecodedColumns:
    """Rows of a request, or of a chunk of one, in columns; what is not said here is as in `DecodedRows`.

    Parameters
    ----------
    rows : int
    columns : mapping of str to Values
        Each of length `rows`.
    zoned : frozenset of str
        Columns whose datetime64 values are instants in UTC; in the others they are wall-clock times.
    """

    rows: int
    columns: Mapping[str, Values]
    numbers: Sequence[int]
    zoned: frozenset[str] = frozenset()
    errors: Sequence[RowError] = ()
    rejected: int = 0
    ignored: frozenset[str] = NOTHING
    ignored_cells: int = 0


def picker(places: Sequence[int]) -> Callable[[Any], Any]:
    """What takes some places of a row, at the speed of C."""
    first = places[0] if places else 0
    if list(places) == list(range(first, first + len(places))):  # of one place an itemgetter would give no tuple
        return itemgetter(slice(first, first + len(places)))
    return itemgetter(*places)


def rows_within(columns: int) -> int:
    """How many rows of so many columns are held at a time."""
    return max(1, _CELLS_MAX // max(1, columns))


class Rejections:
    """Refused rows: all counted, the first described."""

    def __init__(self) -> None:
        self.count = 0
        self.errors: list[RowError] = []

    def add(self, row: int, reason: str) -> None:
        """Refuse a row."""
        self.count += 1
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(RowError(row=row, reason=reason))
