"""What the columns of a sketch are, where nobody says; and which of them cannot be watched. Every guess has its reason."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from detectors.columns import Kind, Role
from detectors.learning.cells import Cells
from detectors.learning.column import NAME_BYTES_MAX, NAMES_MAX, ColumnSketch

__all__ = ["Finding", "finding_of"]

_NUMBERS_SHARE: Final = 0.95  # so many numbers among the values make a column numeric; the rest is invalid
_UNIQUE_SHARE: Final = 0.90  # so many distinct values make text an identifier
_UNIQUE_TIMES: Final = 2  # or so often each: a request and its response carry the same identifier
_UNIQUE_ROWS: Final = 100  # up to here nearly everything is unique
_COUNTER_SHARE: Final = 0.99  # so many of the integers of a range, each once, are a counter


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a column is, and how that is known.

    Parameters
    ----------
    name : str
    role : {"input", "output"}
    kind : {"numeric", "categorical"} or None
        None for a column that is left out.
    declared : bool
        False when the kind is a guess.
    note : str
        The reason of a guess or of leaving it out, or a warning; may be empty.
    """

    name: str
    role: Role
    kind: Kind | None
    declared: bool
    note: str


def finding_of(name: str, column: ColumnSketch, declared: Kind | None) -> Finding:
    """Decide what a column is.

    Parameters
    ----------
    name : str
    column : ColumnSketch
    declared : {"numeric", "categorical"}, optional
        Obeyed wherever that is possible.

    Returns
    -------
    Finding
    """
    kind: Kind | None
    if declared == "numeric":
        kind, note = declared, _doubt(column)
    elif declared == "categorical":
        kind, note = _as_declared_categories(column)
    else:
        kind, note = _guess(column)
    return Finding(name=name, role=column.role, kind=kind, declared=declared is not None, note=note)


def _guess(column: ColumnSketch) -> tuple[Kind | None, str]:
    present = column.present - column.nulls  # a token such as NA is a null among numbers
    numbers = column.cells.total + column.booleans
    if not column.present:
        return None, f"no value in {column.rows:,} rows"
    if column.others > column.present / 2:
        return None, "lists or objects"
    if column.booleans == column.present:
        return "categorical", "booleans"
    if numbers and numbers >= _NUMBERS_SHARE * present:
        return _guessed_numeric(column, 1 - numbers / present)
    categories = column.categories()
    if categories is None:
        return None, _too_many(column)
    if column.present > _UNIQUE_ROWS:
        distinct = len(categories) / column.present
        if distinct > _UNIQUE_SHARE:
            return None, f"looks like an identifier: {distinct:.0%} of the values are distinct"
        seldom = sum(count for count in categories.values() if count <= _UNIQUE_TIMES) / column.present
        if seldom > _UNIQUE_SHARE:
            return None, f"looks like an identifier: {seldom:.0%} of the values occur once or twice"
    mixed = f", mixed with {numbers / column.present:.0%} numbers" if numbers else ""
    return "categorical", f"text, {len(categories):,} distinct{mixed}"


def _guessed_numeric(column: ColumnSketch, invalid_share: float) -> tuple[Kind | None, str]:
    if column.lossy:
        return None, "looks like an identifier: integers that no double holds; declare it numeric to read them rounded"
    if not column.cells.finite and not column.booleans:
        return None, "no finite number"
    if _is_counter(column.cells):
        return None, "looks like an identifier: a counter, each integer of a range once"
    return "numeric", f"numbers, {invalid_share:.1%} other values count as invalid" if invalid_share else "numbers"


def _as_declared_categories(column: ColumnSketch) -> tuple[Kind | None, str]:
    if column.categories() is None:
        return None, f"declared categorical, but {_too_many(column)}"
    return "categorical", "" if column.present else f"warning: no value in {column.rows:,} rows"


def _too_many(column: ColumnSketch) -> str:
    if column.names is None:
        return f"looks like an identifier or free text: more than {NAMES_MAX:,} texts, or one of over {NAME_BYTES_MAX:,} bytes"
    return "there are too many numbers, or too many ways of writing them, to name each"


def _doubt(column: ColumnSketch) -> str:
    if not column.present:
        return f"warning: no value in {column.rows:,} rows"
    if column.lossy:
        return "warning: integers that no double holds are rounded, and those that occur often may look like drift"
    invalid = column.texts - column.nulls + column.others
    return (
        f"warning: {invalid / column.present:.1%} of the values are not numbers and count as invalid" if invalid else ""
    )


def _is_counter(cells: Cells) -> bool:
    """Whether these are nearly all integers of a range, each once; their order is not known."""
    if cells.finite <= _UNIQUE_ROWS or (cells.lows != np.trunc(cells.lows)).any():
        return False
    room = cells.highs - cells.lows + 1
    span = float(cells.highs[-1]) - float(cells.lows[0]) + 1
    return bool((cells.counts <= room).all()) and cells.finite >= _COUNTER_SHARE * span
