"""What arrives for one column, in the shapes it comes in, and its reading as numbers.

===================  =====================================================================================
`ColumnValues`       a numpy array: floats, integers, booleans, fixed-width text, or Python objects of any type
`DictionaryValues`   codes into a dictionary, as Arrow sends categories
`TextValues`         cells of a text format (CSV), whose type only the column's kind decides
`Numbers`            any of them, already read as numbers
===================  =====================================================================================

What counts as what, in a numeric column: floats, integers and booleans (as 0 and 1) are numbers, without loss also beyond
2**53; NaN, None and the null objects of pandas are missing; anything else, such as text, is invalid. A text cell that reads
as a number is one; an empty cell or a common null token is missing; the rest is invalid.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import compress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, FloatArray

__all__ = [
    "ColumnValues",
    "DictionaryValues",
    "Numbers",
    "TextValues",
    "Values",
    "as_numbers",
    "is_null",
    "selected",
    "size_of",
]

NULL_TOKENS = frozenset({"", "NA", "N/A", "#N/A", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None", "<NA>", "n/a"})
"""Text that a numeric column reads as missing: what pandas, R and spreadsheets write."""

_EXACT = 1 << 53  # every integer up to here is a double


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
    """

    values: npt.NDArray[Any]
    missing: BoolArray | None = None
    invalid: BoolArray | None = None
    absent: BoolArray | None = None

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
            return Numbers(values=values.values[rows], missing=missing, invalid=invalid, absent=absent)
        case DictionaryValues():
            return DictionaryValues(codes=values.codes[rows], dictionary=values.dictionary, absent=absent)
        case TextValues():  # pragma: no branch - nothing else is left
            return TextValues(cells=list(compress(values.cells, rows.tolist())), absent=absent)


def as_numbers(values: Values) -> Numbers:
    """Read a column as numbers.

    Parameters
    ----------
    values : Values
        Not written to. Contiguous float64 is passed on without a copy.

    Returns
    -------
    Numbers
    """
    match values:
        case Numbers():
            return values
        case ColumnValues():
            numbers = _with_missing(_from_array(values.values), values.missing)
        case DictionaryValues():
            numbers = _from_dictionary(_from_objects(list(values.dictionary)), values.codes)
        case TextValues():  # pragma: no branch - nothing else is left
            numbers = _from_text(values.cells)
    if values.absent is None:
        return numbers
    return replace(_with_missing(numbers, values.absent), absent=values.absent)


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


def _from_array(array: npt.NDArray[Any]) -> Numbers:
    kind = array.dtype.kind
    if kind == "f":
        if array.dtype.itemsize > np.dtype(np.float64).itemsize:  # longdouble: to the nearest double
            with np.errstate(over="ignore"):
                return Numbers(values=array.astype(np.float64))
        return Numbers(values=np.ascontiguousarray(array, dtype=np.float64))
    if kind == "b":
        return Numbers(values=array.astype(np.float64))
    if kind in "iu":
        return Numbers(values=_narrowed(np.ascontiguousarray(array)))
    if kind == "O":
        return _from_objects(array.tolist())
    invalid = np.ones(array.shape, dtype=np.bool_)
    missing = None
    if kind in "mM":
        missing = np.isnat(array)
        invalid &= ~missing
    return Numbers(values=np.full(array.shape, np.nan), missing=missing, invalid=invalid)


def _narrowed(integers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # Floats are the common case and lose nothing up to 2**53; beyond, comparisons must be made between integers.
    small = integers.dtype.itemsize < np.dtype(np.int64).itemsize
    if small or not integers.size or (integers.min() >= -_EXACT and integers.max() <= _EXACT):
        return integers.astype(np.float64)
    wide = np.uint64 if integers.dtype.kind == "u" else np.int64
    return integers.astype(wide, copy=False)


def _with_missing(numbers: Numbers, missing: BoolArray | None) -> Numbers:
    if missing is None:
        return numbers
    invalid = None if numbers.invalid is None else numbers.invalid & ~missing
    missing = missing if numbers.missing is None else missing | numbers.missing
    return Numbers(values=numbers.values, missing=missing, invalid=invalid)


def _from_dictionary(entries: Numbers, codes: npt.NDArray[np.integer[Any]]) -> Numbers:
    null = codes < 0
    if not entries.values.size:
        return Numbers(values=np.full(codes.shape, np.nan), missing=null, invalid=None)
    index = np.where(null, 0, codes)
    invalid = None if entries.invalid is None else entries.invalid[index] & ~null
    missing = null if entries.missing is None else null | entries.missing[index]
    return Numbers(values=entries.values[index], missing=missing, invalid=invalid)


def _from_objects(objects: list[Any]) -> Numbers:
    types = set(map(type, objects))
    if types <= {float, bool} or types <= {int, bool}:
        return _from_plain(objects)
    missing = np.zeros(len(objects), dtype=np.bool_)
    invalid = np.zeros(len(objects), dtype=np.bool_)
    numbers: list[int | float] = [0] * len(objects)
    for row, value in enumerate(objects):
        number = _number(value)
        if number is not None and number == number:  # noqa: PLR0124 - NaN, as pandas writes a null among integers
            numbers[row] = number
        elif is_null(value):
            missing[row] = True
        else:
            invalid[row] = True
    return Numbers(values=_from_plain(numbers).values, missing=missing, invalid=invalid)


def _number(value: object) -> int | float | None:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, np.integer | np.bool_):
        return int(value)
    if isinstance(value, np.floating) or (isinstance(value, Decimal) and not value.is_nan()):
        return float(value)
    return None


def _from_plain(numbers: list[int | float]) -> Numbers:
    big = [n for n in numbers if isinstance(n, int) and not -_EXACT <= n <= _EXACT]
    if not big:
        return Numbers(values=np.array(numbers, dtype=np.float64))
    whole = not any(isinstance(n, float) and n != int(n) for n in numbers if _finite(n)) and all(map(_finite, numbers))
    for dtype in (np.int64, np.uint64) if whole else ():
        info = np.iinfo(dtype)
        if all(info.min <= n <= info.max for n in numbers):
            return Numbers(values=np.array([int(n) for n in numbers], dtype=dtype))
    # Huge integers beside fractions: no one type holds both. The nearest double keeps the order, and the bin wherever
    # no reference point lies between the integer and its double.
    return Numbers(values=np.array([_as_double(n) for n in numbers], dtype=np.float64))


def _finite(number: float) -> bool:
    return isinstance(number, int) or bool(np.isfinite(number))


def _as_double(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # beyond 1.8e308: out of any range
        return float("inf") if number > 0 else float("-inf")


def _from_text(cells: Sequence[str]) -> Numbers:
    values, invalid = _parsed(cells)
    if invalid is None and not _has_big(values):
        return Numbers(values=values)
    if _has_big(values):  # read again as Python numbers: doubles have lost the last digits
        return _from_objects([_cell_number(cell) for cell in cells])
    return Numbers(values=values, invalid=invalid)


def _has_big(values: FloatArray) -> bool:
    with np.errstate(invalid="ignore"):
        big = (np.abs(values) >= _EXACT) & (np.abs(values) <= 2.0**64)
    return bool(big.any())


def _parsed(cells: Sequence[str]) -> tuple[FloatArray, BoolArray | None]:
    # float() is the fast way; it also takes digits with underscores, which no data format writes for a number.
    if "_" not in "".join(cells):
        try:
            return np.fromiter(map(float, cells), dtype=np.float64, count=len(cells)), None
        except ValueError:
            pass
    read = [_cell_number(cell) for cell in cells]
    invalid = np.fromiter((isinstance(value, str) for value in read), dtype=np.bool_, count=len(read))
    floats = [float("nan") if value is None or isinstance(value, str) else _as_double(value) for value in read]
    return np.array(floats, dtype=np.float64), invalid


def _cell_number(cell: str) -> int | float | str | None:
    text = cell.strip()
    if text in NULL_TOKENS:
        return None
    if "_" in text:
        return text
    try:
        return int(text) if text.lstrip("+-").isdecimal() and len(text) < 400 else float(text)  # noqa: PLR2004 - 1e308
    except ValueError:
        return text
