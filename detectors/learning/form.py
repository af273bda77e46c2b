"""Columns and sets of columns of a sketch as plain values and arrays, and back; what does not fit together is refused."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from detectors.columns import Role
from detectors.learning.carried import PATTERNS_MAX
from detectors.learning.cells import CELLS_MAX, SHIFT_MAX, Cells, cell_numbers
from detectors.learning.column import NAMES_MAX, SPELLINGS_MAX, ColumnSketch
from detectors.learning.framing import Arrays
from detectors.learning.reading import Spelling

__all__ = ["column_form", "column_from", "count_from", "patterns_form", "patterns_from"]

_Patterns = Mapping[frozenset[str], int]


def column_form(column: ColumnSketch, arrays: Arrays) -> dict[str, Any]:
    """Plain values of a column; its cells become arrays."""
    cells = column.cells
    arrays.put(cells.lows)
    if cells.shift:
        arrays.put(cells.highs)
    arrays.put(cells.counts)
    spelled = None if column.spelled is None else sorted([*key, count] for key, count in column.spelled.items())
    return {
        "role": column.role,
        "rows": column.rows,
        "missing": column.missing,
        "nulls": column.nulls,
        "trues": column.trues,
        "falses": column.falses,
        "others": column.others,
        "lossy": column.lossy,
        "shift": cells.shift,
        "below": cells.below,
        "above": cells.above,
        "names": column.names,
        "spelled": spelled,
    }


def column_from(form: Mapping[str, Any], arrays: Arrays) -> ColumnSketch:
    """Read a column back.

    Raises
    ------
    ValueError, TypeError, KeyError
        It is incomplete or inconsistent.
    """
    column = ColumnSketch(
        role=_role_from(form["role"]),
        rows=count_from(form["rows"]),
        missing=count_from(form["missing"]),
        nulls=count_from(form["nulls"]),
        trues=count_from(form["trues"]),
        falses=count_from(form["falses"]),
        others=count_from(form["others"]),
        lossy=_flag_from(form["lossy"]),
        cells=_cells_from(form, arrays),
        names=_names_from(form["names"]),
        spelled=_spelled_from(form["spelled"]),
    )
    if not column.rows or column.texts < column.nulls:
        raise ValueError("rows: fewer than their values")
    if column.names is not None and sum(column.names.values()) != column.texts:
        raise ValueError("names: not as many as texts")
    if column.spelled is not None and sum(column.spelled.values()) > column.cells.total:
        raise ValueError("spelled: more than numbers")
    return column


def patterns_form(patterns: _Patterns, names: Sequence[str], arrays: Arrays) -> int:
    """Number of sets of columns; which columns are in them becomes an array of bits, and how often they occur another."""
    bits = np.array([[name in pattern for name in names] for pattern in patterns], dtype=np.bool_)
    packed = np.packbits(bits.reshape(len(patterns), len(names)), axis=1)
    order = sorted(range(len(patterns)), key=lambda row: packed[row].tobytes())
    arrays.put(packed[order].reshape(-1))
    arrays.put(np.array(list(patterns.values()), dtype=np.int64)[order])
    return len(patterns)


def patterns_from(n_patterns: Any, names: Sequence[str], arrays: Arrays) -> _Patterns:
    """Read sets of columns back.

    Raises
    ------
    ValueError, TypeError
        They are incomplete or inconsistent.
    """
    if count_from(n_patterns) > PATTERNS_MAX:
        raise ValueError("patterns: too many")
    packed = arrays.take(np.uint8).reshape(n_patterns, -(-len(names) // 8))
    bits = np.unpackbits(packed, axis=1)[:, : len(names)].astype(np.bool_)
    labels = np.array(names, dtype=np.object_)
    counts = _counts_from(arrays, n_patterns)
    patterns = {frozenset(labels[row]): count for row, count in zip(bits, counts.tolist(), strict=True)}
    if len(patterns) != n_patterns:
        raise ValueError("patterns: one stands twice")
    return patterns


def count_from(value: Any) -> int:
    """Read a count.

    Raises
    ------
    ValueError
        It is not an integer from 0 up.
    """
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError("wanted a count")
    return value


def _role_from(value: Any) -> Role:
    if value not in get_args(Role):
        raise ValueError("wanted a role")
    return "output" if value == "output" else "input"


def _flag_from(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError("wanted a flag")
    return value


def _cells_from(form: Mapping[str, Any], arrays: Arrays) -> Cells:
    shift = count_from(form["shift"])
    if shift > SHIFT_MAX:
        raise ValueError("shift: too large")
    lows = arrays.take(np.float64)
    highs = arrays.take(np.float64) if shift else lows
    counts = _counts_from(arrays, lows.size)
    if lows.size > CELLS_MAX or highs.size != lows.size or not np.isfinite(lows).all() or not np.isfinite(highs).all():
        raise ValueError("cells: too many, or not finite")
    numbers = cell_numbers(lows, shift)
    if (numbers[1:] <= numbers[:-1]).any() or (highs < lows).any() or (cell_numbers(highs, shift) != numbers).any():
        raise ValueError("cells: out of order")
    below, above = count_from(form["below"]), count_from(form["above"])
    return Cells(shift=shift, lows=lows, highs=highs, counts=counts, below=below, above=above)


def _counts_from(arrays: Arrays, size: int) -> npt.NDArray[np.int64]:
    counts = arrays.take(np.int64)
    if counts.size != size or (counts < 1).any():
        raise ValueError("counts: one for each, at least 1")
    return counts


def _names_from(form: Any) -> Mapping[str, int] | None:
    if form is None:
        return None
    names = {name: count_from(count) for name, count in form.items()}
    if len(names) > NAMES_MAX:
        raise ValueError("names: too many")
    return names


def _spelled_from(form: Any) -> Mapping[Spelling, int] | None:
    if form is None:
        return None
    spelled = {}
    for name, double, count in form:
        if type(name) is not str or type(double) is not float:
            raise ValueError("spelled: wanted text and a number")
        spelled[name, double] = count_from(count)
    if len(spelled) != len(form) or len(spelled) > SPELLINGS_MAX:
        raise ValueError("spelled: too many, or one twice")
    return spelled
