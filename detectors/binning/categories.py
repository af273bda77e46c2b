"""Values to categories.

A category is text. So that one thing has one name whatever carried it: booleans are `true` and `false`, integers their
digits, floats that are whole the same digits (a column of integers with gaps arrives as floats from pandas), other floats
their shortest decimal form. None, NaN and empty CSV cells are missing. Lists, objects and bytes that are not UTF-8 are
invalid. A column whose categories are `true` and `false` also takes `True` and `TRUE`, as CSV files write them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import islice, repeat
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import IndexArray
from detectors.binning.values import ColumnValues, DictionaryValues, Numbers, TextValues, Values, is_null
from detectors.columns import CategoricalColumn

__all__ = ["INVALID", "MISSING", "CategoryBins", "category_of", "digest", "tally"]

MISSING: Final = -1
INVALID: Final = -2
_UNKNOWN: Final = -3

# Names whose digest is remembered: a digest costs a microsecond, and hostile traffic must not fill the memory.
_RESOLVED_MAX = 1 << 16

_BOOLEANS = frozenset({"true", "false"})


def category_of(value: object) -> str | int:  # noqa: PLR0911 - a type, an answer
    """Name of the category that a Python value belongs to, or `MISSING` or `INVALID`."""
    if isinstance(value, str):
        return str(value) if value.isascii() or _is_unicode(value) else INVALID
    if is_null(value):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, np.timedelta64):  # to numpy an integer
        return INVALID
    if isinstance(value, int | np.integer):
        return str(int(value)) if abs(int(value)) < 10**300 else INVALID
    if isinstance(value, float | np.floating):
        number = float(str(value)) if isinstance(value, np.floating) else value  # float32 0.1 is 0.1
        return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)  # noqa: PLR2004
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return INVALID
    if isinstance(value, np.datetime64):
        return str(value.astype("datetime64[us]"))
    return str(value) if type(value).__name__ in {"Decimal", "date", "datetime", "UUID"} else INVALID


def _is_unicode(text: str) -> bool:
    """False for lone surrogates, which JSON can say and no text can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def digest(category: str) -> int:
    """64-bit digest under which the reference remembers a category that it does not list."""
    return int.from_bytes(blake2b(category.encode(), digest_size=8).digest(), "little")


def tally(values: Values) -> Counter[str]:
    """How often each category occurs; missing and invalid values are left out.

    Parameters
    ----------
    values : Values

    Returns
    -------
    Counter of str
    """
    found: Counter[str] = Counter()
    for value, count in _distinct(values):
        name = category_of(value)
        if isinstance(name, str) and count:
            found[name] += count
    return found


def _distinct(values: Values) -> Iterable[tuple[object, int]]:
    match values:
        case TextValues():
            counts = Counter(values.cells)
            del counts[""]
            return counts.items()
        case DictionaryValues():
            codes = values.codes[values.codes >= 0]
            return zip(values.dictionary, np.bincount(codes, minlength=len(values.dictionary)).tolist(), strict=True)
        case ColumnValues() | Numbers():  # pragma: no branch - nothing else is left
            array = values.values if values.missing is None else values.values[~values.missing]
            if array.dtype.kind not in "OU":
                distinct, counts_ = np.unique(array, return_counts=True)
                return zip(distinct, counts_.tolist(), strict=True)
            objects = array.tolist()
            if set(map(type, objects)) <= {str}:
                return Counter(objects).items()
            return Counter(name for name in map(category_of, objects) if isinstance(name, str)).items()


class CategoryBins:
    """Finds the bins of a categorical column's values.

    Parameters
    ----------
    column : CategoricalColumn
    """

    def __init__(self, column: CategoricalColumn) -> None:
        self._bins: dict[object, int] = {name: i for i, name in enumerate(column.categories[: column.own])}
        listed = iter(column.categories[column.own :])
        for start, size in zip(column.pool_starts, column.pools, strict=True):
            self._bins |= {name: start + i for i, name in enumerate(islice(listed, size))}
        if self._bins.keys() <= _BOOLEANS:
            for name in tuple(self._bins):
                for alias in (str(name).capitalize(), str(name).upper()):
                    self._bins[alias] = self._bins[name]
        self._unseen_of_pool = column.unseen_bins
        self._missing, self._invalid = column.value_bins, column.value_bins + 1
        self._others = column.others
        self._others_complete = column.others_complete
        self._resolved: dict[str, int] = {}

    def bins(self, values: Values) -> IndexArray:
        """Bin of each row.

        Parameters
        ----------
        values : Values

        Returns
        -------
        ndarray of intp, shape [n_rows]
            Local bins, as `CategoricalColumn` lays them out.
        """
        match values:
            case TextValues():
                return self._of_objects(values.cells, empty_is_missing=True)
            case DictionaryValues():
                entries = np.array([*map(self._bin, values.dictionary), self._missing], dtype=np.intp)
                return entries[np.where(values.codes < 0, -1, values.codes)]
            case ColumnValues() | Numbers():  # pragma: no branch - nothing else is left
                found = self._of_array(values.values)
                if values.missing is not None:
                    found[values.missing] = self._missing
                return found

    def _of_array(self, array: npt.NDArray[Any]) -> IndexArray:
        if array.dtype.kind in "OU":
            return self._of_objects(array.tolist(), empty_is_missing=False)
        distinct, inverse = np.unique(array, return_inverse=True)
        return np.array([self._bin(value) for value in distinct], dtype=np.intp)[inverse.reshape(array.shape)]

    def _of_objects(self, objects: Sequence[Any], *, empty_is_missing: bool) -> IndexArray:
        # Only text may go straight to the dictionary: 1, 1.0 and True are one key to Python, and "1" is another.
        if set(map(type, objects)) <= {str}:
            found = np.fromiter(map(self._bins.get, objects, repeat(_UNKNOWN)), dtype=np.intp, count=len(objects))
            rows = np.flatnonzero(found == _UNKNOWN).tolist()
        else:
            found = np.empty(len(objects), dtype=np.intp)
            rows = list(range(len(objects)))
        seen: dict[tuple[type, object], int] = {}
        for row in rows:
            value = objects[row]
            if value == "" and empty_is_missing:
                found[row] = self._missing
                continue
            try:
                key = type(value), value
                if key not in seen:
                    seen[key] = self._bin(value)
                found[row] = seen[key]
            except TypeError:  # lists and other things that cannot be a key
                found[row] = self._invalid
        return found

    def _bin(self, value: object) -> int:
        name = category_of(value)
        if name == MISSING:
            return self._missing
        if name == INVALID:
            return self._invalid
        listed = self._bins.get(name)
        return self._unlisted(str(name)) if listed is None else listed

    def _unlisted(self, name: str) -> int:
        if name not in self._resolved:
            if len(self._resolved) >= _RESOLVED_MAX:
                self._resolved.clear()
            value = digest(name)
            place = int(np.searchsorted(self._others, np.uint64(value)))
            known = place < self._others.size and int(self._others[place]) == value
            unseen = self._unseen_of_pool[value % len(self._unseen_of_pool)]
            self._resolved[name] = unseen - 1 if known or not self._others_complete else unseen
        return self._resolved[name]
