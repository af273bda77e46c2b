"""Cells of rows to columns of values.

What a cell means must not depend on the rows beside it, so a column becomes an array of numbers only where that changes
nothing: floats, whole numbers that are floats without loss, and null, which both numbers and categories read as they read
NaN. Booleans are a category `true` and the number 1, so they are never mixed into floats; larger integers stay integers;
everything else stays the Python object it is.
"""

from collections.abc import Sequence
from itertools import repeat, starmap
from operator import is_
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is lower-case there
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import UNSET, UnsetType

from detectors.arrays import FloatArray
from detectors.binning import ColumnValues, Values
from service.ingest.decode.rows import Cells, picker

__all__ = ["columns_of", "number_matrix", "values_of_cells"]

_EXACT: Final = 2.0**53  # below, every integer is a double, and no other integer rounds to one
_PACKED_FROM: Final = 16  # cells; for fewer, np.array is quicker
_UNTYPED_FROM: Final = 128  # cells; for fewer, looking at the types is quicker than at the numbers
_NONE: Final = type(None)
_REAL: Final = frozenset({float, int, _NONE, UnsetType})
_NAN: Final = float("nan")


def columns_of(cells: Sequence[Cells], names: Sequence[str]) -> dict[str, Values]:
    """Turn rows into columns; those that are absent everywhere are left out.

    Parameters
    ----------
    cells : sequence of tuple, each of length n_names
    names : sequence of str

    Returns
    -------
    dict of str to Values
    """
    columns: dict[str, Values] = {}
    for name, column in zip(names, zip(*cells, strict=True), strict=False):
        values = values_of_cells(column)
        if values.absent is None or not values.absent.all():
            columns[name] = values
    return columns


def values_of_cells(column: Sequence[Any]) -> ColumnValues:
    """Values of one column."""
    packed = _packed_column(column) if len(column) >= _UNTYPED_FROM else None
    if packed is not None and not _in_doubt(packed):
        return ColumnValues(values=packed)
    types = set(map(type, column))
    if types == {bool}:
        return ColumnValues(values=np.array(column, dtype=np.bool_))
    absent = None
    if UnsetType in types:
        absent = np.fromiter(map(is_, column, repeat(UNSET)), dtype=np.bool_, count=len(column))
        column = [None if cell is UNSET else cell for cell in column]
    values = _numbers(column, types) if types <= _REAL and types & {float, int} else None
    if values is None:
        values = np.fromiter(column, dtype=np.object_, count=len(column))  # np.array would look into lists
    return ColumnValues(values=values, absent=absent)


def _packed_column(column: Sequence[Any]) -> FloatArray | None:
    # Takes floats, integers and booleans; 10 ns a cell where np.array takes 30, and the types another 30.
    try:
        return np.frombuffer(Struct(f"{len(column)}d").pack(*column), dtype=np.float64)
    except (StructError, OverflowError):
        return None


def _in_doubt(floats: FloatArray) -> bool:
    # Only zeros and ones may have been booleans, and only large numbers integers that are no doubles.
    return bool(((floats == 0) | (floats == 1) | (np.abs(floats) >= _EXACT)).any())


def _numbers(column: Sequence[Any], types: set[type]) -> npt.NDArray[Any] | None:
    floats = _packed_column(column) if len(column) >= _PACKED_FROM and _NONE not in types else None
    try:
        floats = np.array(column, dtype=np.float64) if floats is None else floats  # None becomes NaN
    except OverflowError:  # an integer beyond 1.8e308
        return None
    if int not in types or not (np.abs(floats) >= _EXACT).any():
        return floats
    if types == {int}:
        try:
            return np.array(column, dtype=np.int64)
        except OverflowError:
            pass
    return None


def number_matrix(cells: Sequence[Cells], places: Sequence[int]) -> FloatArray | None:
    """Numeric columns of rows as one block, if every cell of them is a number or null.

    Parameters
    ----------
    cells : sequence of tuple
    places : sequence of int
        Of the columns in each tuple.

    Returns
    -------
    ndarray of float64, shape [n_rows, n_places], or None
        NaN is missing. None where a cell is absent, of another type, or an integer that is no double.
    """
    if not cells or not places:
        return np.empty((len(cells), len(places)))
    every = list(places) == list(range(len(cells[0])))
    rows = cells if every else list(map(picker(places), cells))
    struct = Struct(f"{len(places)}d")
    try:
        packed = _packed(struct, rows)
    except (StructError, OverflowError):
        return None
    matrix = np.frombuffer(packed, dtype=np.float64).reshape(len(cells), len(places))
    large = np.abs(matrix) >= _EXACT
    for row, place in np.argwhere(large).tolist() if large.any() else ():
        cell = rows[row][place]
        if isinstance(cell, int) and int(float(cell)) != cell:
            return None
    return matrix


def _packed(struct: Struct, rows: Sequence[Cells]) -> bytes:
    # 10 ns a cell where np.array takes 30 and looks at no types: it would read "12" as a number.
    try:
        return b"".join(starmap(struct.pack, rows))
    except StructError:
        return b"".join([struct.pack(*[_NAN if cell is None else cell for cell in row]) for row in rows])
