"""A column read as numbers.

Floats, integers and booleans (as 0 and 1) are numbers, without loss also beyond 2**53; NaN, None and the null objects of
pandas are missing; anything else, such as text, is invalid. A text cell that reads as a number is one; an empty cell or a
common null token is missing; the rest is invalid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, FloatArray
from detectors.binning.values import BigIntegers, ColumnValues, DictionaryValues, Numbers, TextValues, Values, is_null

__all__ = ["NULL_TOKENS", "as_numbers"]

NULL_TOKENS = frozenset({"", "NA", "N/A", "#N/A", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None", "<NA>", "n/a"})
"""Text that a numeric column reads as missing: what pandas, R and spreadsheets write."""

_EXACT = 1 << 53  # every integer up to here is a double


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
    return replace(numbers, missing=missing, invalid=invalid)


def _from_dictionary(entries: Numbers, codes: npt.NDArray[np.integer[Any]]) -> Numbers:
    null = codes < 0
    if not entries.values.size:
        return Numbers(values=np.full(codes.shape, np.nan), missing=null, invalid=None)
    index = np.where(null, 0, codes)
    invalid = None if entries.invalid is None else entries.invalid[index] & ~null
    missing = null if entries.missing is None else null | entries.missing[index]
    big = tuple(BigIntegers(rows=part.rows[index] & ~null, values=part.values[index]) for part in entries.big)
    return Numbers(values=entries.values[index], missing=missing, invalid=invalid, big=big)


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
    return replace(_from_plain(numbers), missing=missing, invalid=invalid)


def _number(value: object) -> int | float | None:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, np.timedelta64):  # to numpy an integer
        return None
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
    # Huge integers beside fractions: no one type holds both. Alone each would be compared as what it is; so it is here.
    return Numbers(values=np.array([_as_double(n) for n in numbers], dtype=np.float64), big=tuple(_big_parts(numbers)))


def _big_parts(numbers: list[int | float]) -> Iterator[BigIntegers]:
    ends = {np.int64: (-(1 << 63), (1 << 63) - 1), np.uint64: (1 << 63, (1 << 64) - 1)}
    for dtype, (low, high) in ends.items():
        own = [n if isinstance(n, int) and abs(n) > _EXACT and low <= n <= high else 0 for n in numbers]
        if any(own):
            values = np.array(own, dtype=dtype)
            yield BigIntegers(rows=values != 0, values=values)


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
