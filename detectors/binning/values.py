"""What arrives for one column, in the shapes it comes in.

===================  =====================================================================================
`ColumnValues`       a numpy array: floats, integers, booleans, fixed-width text, or Python objects of any type
`DictionaryValues`   codes into a dictionary, as Arrow sends categories
`TextValues`         cells of a text format (CSV), whose type only the column's kind decides
`Numbers`            any of them, already read as numbers
===================  =====================================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import compress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray

__all__ = [
    "BigIntegers",
    "ColumnValues",
    "DictionaryValues",
    "Numbers",
    "TextValues",
    "Values",
    "is_null",
    "selected",
    "size_of",
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnValues:
    """One column of a batch as a numpy array.

    Parameters
    ----------
    values : ndarray, shape [n_rows]
        Of any dtype.
    missing : ndarray of bool, shape [n_rows], optional
        Nulls that `values` itself cannot say, as in nullable integers.
    absent : ndarray of bool, shape [n_rows], optional
        Rows whose event does not have the column at all.
    """

    values: npt.NDArray[Any]
    missing: BoolArray | None = None
    absent: BoolArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DictionaryValues:
    """One column of a batch as codes into a dictionary.

    Parameters
    ----------
    codes : ndarray of integers, shape [n_rows]
        Negative is missing.
    dictionary : sequence of objects
    absent : ndarray of bool, shape [n_rows], optional
    """

    codes: npt.NDArray[np.integer[Any]]
    dictionary: Sequence[object]
    absent: BoolArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextValues:
    """One column of a batch as cells of a text format.

    Parameters
    ----------
    cells : sequence of str, length n_rows
    absent : ndarray of bool, shape [n_rows], optional
    """

    cells: Sequence[str]
    absent: BoolArray | None = None


def size_of(values: "Values") -> int:
    """Number of rows."""
    match values:
        case ColumnValues() | Numbers():
            return int(values.values.shape[0])
        case DictionaryValues():
            return int(values.codes.shape[0])
        case TextValues():  # pragma: no branch - nothing else is left
            return len(values.cells)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BigIntegers:
    """Integers beyond 2**53 among numbers that no integer type holds, such as fractions.

    Parameters
    ----------
    rows : ndarray of bool, shape [n_rows]
        Where they are.
    values : ndarray of int64 or uint64, shape [n_rows]
        Elsewhere its entries mean nothing.
    """

    rows: BoolArray
    values: npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbers:
    """A column read as numbers.

    Parameters
    ----------
    values : ndarray of float64, int64 or uint64, shape [n_rows]
        NaN in a float array is missing. Integer arrays only where some value is beyond 2**53.
    missing, invalid : ndarray of bool, shape [n_rows], optional
        Rows whose entry in `values` means nothing.
    absent : ndarray of bool, shape [n_rows], optional
        Rows whose event does not have the column at all; a subset of `missing`.
    big : tuple of BigIntegers
        Where `values` has only the nearest double of an integer: the integer, so that the rows beside it do not change
        its bin. At most one of each type.
    """

    values: npt.NDArray[Any]
    missing: BoolArray | None = None
    invalid: BoolArray | None = None
    absent: BoolArray | None = None
    big: tuple[BigIntegers, ...] = ()

    @property
    def present(self) -> BoolArray:
        """Rows with a number; shape [n_rows]."""
        present = ~np.isnan(self.values) if self.values.dtype == np.float64 else np.ones(self.values.shape, np.bool_)
        for mask in (self.missing, self.invalid):
            if mask is not None:
                present &= ~mask
        return present


Values: TypeAlias = ColumnValues | DictionaryValues | TextValues | Numbers


def selected(values: Values, rows: BoolArray) -> Values:
    """The values of some rows.

    Parameters
    ----------
    values : Values
    rows : ndarray of bool, shape [n_rows]

    Returns
    -------
    Values
        Of the same shape of storage.
    """

    def some(mask: BoolArray | None) -> BoolArray | None:
        return None if mask is None else mask[rows]

    absent = some(values.absent)
    match values:
        case ColumnValues():
            return ColumnValues(values=values.values[rows], missing=some(values.missing), absent=absent)
        case Numbers():
            missing, invalid = some(values.missing), some(values.invalid)
            big = tuple(BigIntegers(rows=part.rows[rows], values=part.values[rows]) for part in values.big)
            return Numbers(values=values.values[rows], missing=missing, invalid=invalid, absent=absent, big=big)
        case DictionaryValues():
            return DictionaryValues(codes=values.codes[rows], dictionary=values.dictionary, absent=absent)
        case TextValues():  # pragma: no branch - nothing else is left
            return TextValues(cells=list(compress(values.cells, rows.tolist())), absent=absent)


def is_null(value: object) -> bool:
    """Whether a Python object says that there is no value: None, NaN, NaT, the null of pandas."""
    if value is None:
        return True
    if isinstance(value, Decimal):
        return value.is_nan()  # a signalling NaN must not be compared
    if isinstance(value, float | np.floating):
        return bool(value != value)  # noqa: PLR0124 - NaN is what differs from itself
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return type(value).__name__ in {"NAType", "NaTType"}  # without importing pandas
