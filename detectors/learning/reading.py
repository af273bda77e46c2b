"""One column of a batch, read both ways: as numbers and as categories.

What a column is turns out only when enough of it has been seen, so nothing may be lost that either reading needs:

==========================  ==========================  =========================================================
value                       as a number                 as a category
==========================  ==========================  =========================================================
number                      itself, a double            the name of that double, else its own (see below)
text cell that is a number  itself, a double            the same
boolean                     0 or 1                      `true` or `false`
text                        invalid                     itself
null token in a text cell   missing                     itself
list, object, bad UTF-8     invalid                     invalid
None, NaN, empty text cell  missing                     missing
==========================  ==========================  =========================================================

Most numbers have the name of their double, so that counting doubles counts names too. The others are *spelled*: `007` and
`1.50` in CSV, integers beyond 2**53. Those are kept with their names, as long as they are few. Fractions in less than double
precision are not named at all (the digits of 0.1 in single precision take 6 microseconds to find): no categories are made
of a column that has one.
How a value is read depends on nothing but the value and the shape it came in, never on its neighbours.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray
from detectors.binning.categories import MISSING, category_of
from detectors.binning.numbers import as_numbers
from detectors.binning.values import ColumnValues, DictionaryValues, Numbers, TextValues, Values

__all__ = ["Reading", "Spelling", "reading_of"]

Spelling = tuple[str, float]
"""Name of a number as a category, and the double that it is as a number."""

_Ints = npt.NDArray[np.int64]

_EXACT: Final = 2.0**53  # every integer up to here is a double
_WHOLE_IN_ANY: Final = 2.0**11  # and up to here a number of any precision, with all its digits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """What a column of a batch holds, both ways.

    Parameters
    ----------
    numbers : ndarray of float64, shape [n]
        Without NaN.
    weights : ndarray of int64, shape [n], optional
        How often each occurs, if not once.
    names : mapping of str to int
        Text, null tokens of text cells included.
    spelled : mapping of (str, float) to int, or None
        Numbers whose name is not that of their double; they are among `numbers` too. None where some cannot be named.
    missing : int
        Missing both ways.
    nulls : int
        Null tokens of text cells; they are among `names` too.
    trues, falses : int
    others : int
        Invalid both ways.
    lossy : bool
        Whether there was an integer that no double holds.
    """

    numbers: FloatArray = field(default_factory=lambda: np.empty(0))
    weights: _Ints | None = None
    names: Mapping[str, int] = field(default_factory=dict)
    spelled: Mapping[Spelling, int] | None = field(default_factory=dict)
    missing: int = 0
    nulls: int = 0
    trues: int = 0
    falses: int = 0
    others: int = 0
    lossy: bool = False


def reading_of(values: Values) -> Reading:
    """Read a column both ways.

    Parameters
    ----------
    values : Values
        Without rows that lack the column.

    Returns
    -------
    Reading
    """
    match values:
        case TextValues():
            return _of_cells(Counter(values.cells))
        case DictionaryValues():
            often = np.bincount(values.codes[values.codes >= 0], minlength=len(values.dictionary)).astype(np.int64)
            entries = np.fromiter(values.dictionary, dtype=np.object_, count=len(values.dictionary))
            return _of_objects(entries[often > 0], often[often > 0], int(np.count_nonzero(values.codes < 0)))
        case Numbers():
            present = values.present
            others = 0 if values.invalid is None else int(np.count_nonzero(values.invalid))
            return _of_numbers(values.values[present], int(np.count_nonzero(~present)) - others, others)
        case ColumnValues():  # pragma: no branch - nothing else is left
            array = values.values if values.missing is None else values.values[~values.missing]
            return _of_array(array, values.values.size - array.size)


def _of_array(array: npt.NDArray[Any], missing: int) -> Reading:
    match array.dtype.kind:
        case "f" | "i" | "u":
            return _of_numbers(array, missing, 0)
        case "b":
            trues = int(np.count_nonzero(array))
            return Reading(missing=missing, trues=trues, falses=array.size - trues)
        case "O":
            return _of_objects(array, None, missing)
        case _:
            distinct, often = np.unique(array, return_counts=True)
            names, null, others = _named(zip(distinct, often.tolist(), strict=True))
            return Reading(names=names, missing=missing + null, others=others)


def _of_numbers(array: npt.NDArray[Any], missing: int, others: int) -> Reading:
    with np.errstate(over="ignore"):  # beyond 1.8e308 is out of any range
        numbers = array.astype(np.float64, copy=False)
    if array.dtype.kind == "f":
        present = ~np.isnan(numbers)
        if not present.all():
            missing += int(np.count_nonzero(~present))
            array, numbers = array[present], numbers[present]
        if array.dtype == np.float64:
            return Reading(numbers=numbers, missing=missing, others=others)
        # In less precision a number has fewer digits than its double, unless it is whole and small.
        odd = (np.abs(numbers) > _WHOLE_IN_ANY) | (numbers != np.trunc(numbers))
        return Reading(numbers=numbers, spelled=None if odd.any() else {}, missing=missing, others=others)
    wide, often = np.unique(array[np.abs(numbers) > _EXACT], return_counts=True)
    return Reading(
        numbers=numbers,
        spelled=_spelled(wide.tolist(), often.tolist()),
        missing=missing,
        others=others,
        lossy=any(map(_is_lossy, wide.tolist())),
    )


def _of_objects(array: npt.NDArray[np.object_], weights: _Ints | None, missing: int) -> Reading:
    objects = array.tolist()
    types = set(map(type, objects))
    if types <= {str, type(None)}:
        counts = Counter(objects).items() if weights is None else zip(objects, weights.tolist(), strict=True)
        names, null, others = _named(counts)
        return Reading(names=names, missing=missing + null, others=others)
    if weights is None and types <= {float, int, type(None)}:
        numbers = _plain(array, types)
        if numbers is not None:
            present = ~np.isnan(numbers)
            return Reading(numbers=numbers[present], missing=missing + int(np.count_nonzero(~present)))
    return _of_mixed(objects, np.ones(array.size, dtype=np.int64) if weights is None else weights, missing)


def _plain(array: npt.NDArray[np.object_], types: set[type]) -> FloatArray | None:
    """Doubles of numbers, NaN where there is None; None when some integer is too large to be one."""
    try:
        numbers: FloatArray = array.astype(np.float64)
    except OverflowError:
        return None
    return None if int in types and bool((np.abs(numbers) > _EXACT).any()) else numbers


def _of_mixed(objects: list[Any], often: _Ints, missing: int) -> Reading:
    # An array of objects cell by cell: np.array would make two dimensions of lists.
    read = as_numbers(ColumnValues(values=np.fromiter(objects, dtype=np.object_, count=len(objects))))
    boolean = np.fromiter((isinstance(o, bool | np.bool_) for o in objects), dtype=np.bool_, count=len(objects))
    true = np.fromiter((is_one and bool(o) for o, is_one in zip(objects, boolean.tolist(), strict=True)), np.bool_)
    number = read.present & ~boolean
    rest = ~(number | boolean)
    names, null, others = _named(zip(compress(objects, rest.tolist()), often[rest].tolist(), strict=True))
    numbers = list(compress(objects, number.tolist()))
    return Reading(
        numbers=read.values[number].astype(np.float64),
        weights=often[number],
        names=names,
        spelled=_spelled(numbers, often[number].tolist()),
        missing=missing + null,
        trues=int(often[true].sum()),
        falses=int(often[boolean & ~true].sum()),
        others=others,
        lossy=any(map(_is_lossy, numbers)),
    )


def _of_cells(counts: Counter[str]) -> Reading:
    missing = counts.pop("", 0)
    cells, often = list(counts), np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    read = as_numbers(TextValues(cells=cells))
    number = read.present
    null = ~number if read.invalid is None else ~(number | read.invalid)
    names, _, others = _named(compress(counts.items(), (~number).tolist()))
    doubles = read.values[number].astype(np.float64)
    spelled = {
        (cell, double): counts[cell]
        for cell, double in zip(compress(cells, number.tolist()), doubles.tolist(), strict=True)
        # Nearly all are written as Python would write them; naming the others takes ten times as long.
        if (cell != (text := repr(double)) or text.endswith(".0")) and cell != category_of(double)
    }
    return Reading(
        numbers=doubles,
        weights=often[number],
        names=names,
        spelled=spelled,
        missing=missing,
        nulls=int(often[null].sum()),
        others=others,
        lossy=any(abs(double) > _EXACT and _is_lossy(_integer(cell)) for cell, double in spelled),
    )


def _named(counts: Iterable[tuple[object, int]]) -> tuple[dict[str, int], int, int]:
    """Names with their counts, and how many rows were null, and how many have no name."""
    names: dict[str, int] = {}
    null = others = 0
    for value, count in counts:
        name = category_of(value)
        if isinstance(name, str):
            names[name] = names.get(name, 0) + count
        elif name == MISSING:
            null += count
        else:
            others += count
    return names, null, others


def _spelled(numbers: Iterable[Any], often: Iterable[int]) -> dict[Spelling, int]:
    """Numbers whose name is not that of their double."""
    found: dict[Spelling, int] = {}
    for number, count in zip(numbers, often, strict=True):
        name, double = category_of(number), _double(number)
        if isinstance(name, str) and name != category_of(double):
            found[name, double] = found.get((name, double), 0) + count
    return found


def _double(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _integer(cell: str) -> int | None:
    try:
        return int(cell)
    except ValueError:
        return None


def _is_lossy(number: object) -> bool:
    """Whether it is an integer that no double holds."""
    if not isinstance(number, int | np.integer):
        return False
    double = _double(number)
    return double in (float("inf"), float("-inf")) or int(double) != int(number)
