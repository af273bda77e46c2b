"""What is known of one column before it has a reference: additive, and small whatever its rows hold."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, TypeVar

from detectors.binning.categories import category_of
from detectors.binning.values import Values, size_of
from detectors.columns import Role
from detectors.learning.cells import CELLS_MAX, Cells, cells_of, merged_cells
from detectors.learning.reading import Spelling, reading_of

__all__ = ["NAMES_MAX", "NAME_BYTES_MAX", "SPELLINGS_MAX", "ColumnSketch", "column_of", "merged_columns"]

NAMES_MAX: Final = 10_000
"""Distinct texts that are counted; a column with more is no category but free text or an identifier."""

NAME_BYTES_MAX: Final = 1024
"""A longer text is free text too."""

SPELLINGS_MAX: Final = CELLS_MAX
"""Numbers that are kept with their spelling: as many as are known one by one."""

_Key = TypeVar("_Key", str, Spelling)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnSketch:
    """Counts of one column, both as numbers and as categories.

    Parameters
    ----------
    role : {"input", "output"}
        An output if it ever was called one.
    rows : int
        That carried the column.
    missing, nulls, trues, falses, others, lossy
        As in `Reading`, summed.
    cells : Cells
        Of the numbers; booleans are not among them.
    names : mapping of str to int, or None
        Of the texts; None for good when there were more than `NAMES_MAX`, or one too long.
    spelled : mapping of (str, float) to int, or None
        As in `Reading`; None for good when there were more than `SPELLINGS_MAX`, one too long, or one without a name.
    """

    role: Role
    rows: int
    missing: int
    nulls: int
    trues: int
    falses: int
    others: int
    lossy: bool
    cells: Cells
    names: Mapping[str, int] | None
    spelled: Mapping[Spelling, int] | None

    @property
    def booleans(self) -> int:
        """Rows with a boolean."""
        return self.trues + self.falses

    @property
    def present(self) -> int:
        """Rows with a value of any kind, null tokens of text cells included."""
        return self.rows - self.missing

    @property
    def texts(self) -> int:
        """Rows with a text, null tokens of text cells included."""
        return self.present - self.booleans - self.others - self.cells.total

    def categories(self) -> dict[str, int] | None:
        """How often each category occurs, numbers and booleans by their names; None where they were too many to name."""
        if self.names is None or self.spelled is None or self.cells.shift:
            return None
        named = Counter(self.names)
        named.update({"true": self.trues, "false": self.falses})
        plain = Counter(dict(zip(self.cells.lows.tolist(), self.cells.counts.tolist(), strict=True)))
        plain.update({-inf: self.cells.below, inf: self.cells.above})
        for (name, double), count in self.spelled.items():
            named[name] += count
            plain[double] -= count
        for double, count in plain.items():
            named[str(category_of(double))] += count
        return {name: count for name, count in named.items() if count > 0}


def column_of(values: Values, role: Role) -> ColumnSketch:
    """Count a column of a batch.

    Parameters
    ----------
    values : Values
        Without rows that lack the column.
    role : {"input", "output"}

    Returns
    -------
    ColumnSketch
    """
    reading = reading_of(values)
    return ColumnSketch(
        role=role,
        rows=size_of(values),
        missing=reading.missing,
        nulls=reading.nulls,
        trues=reading.trues,
        falses=reading.falses,
        others=reading.others,
        lossy=reading.lossy,
        cells=cells_of(reading.numbers, reading.weights),
        names=_bounded(reading.names, reading.names, NAMES_MAX),
        spelled=_bounded(reading.spelled, (name for name, _ in reading.spelled or ()), SPELLINGS_MAX),
    )


def merged_columns(parts: Sequence[ColumnSketch]) -> ColumnSketch:
    """Sketch of all the rows of several parts.

    Parameters
    ----------
    parts : sequence of ColumnSketch
        At least one.

    Returns
    -------
    ColumnSketch
    """
    if len(parts) == 1:
        return parts[0]
    return ColumnSketch(
        role="output" if any(part.role == "output" for part in parts) else "input",
        rows=sum(part.rows for part in parts),
        missing=sum(part.missing for part in parts),
        nulls=sum(part.nulls for part in parts),
        trues=sum(part.trues for part in parts),
        falses=sum(part.falses for part in parts),
        others=sum(part.others for part in parts),
        lossy=any(part.lossy for part in parts),
        cells=merged_cells([part.cells for part in parts]),
        names=_summed([part.names for part in parts], NAMES_MAX),
        spelled=_summed([part.spelled for part in parts], SPELLINGS_MAX),
    )


def _bounded(counts: Mapping[_Key, int] | None, names: Iterable[str], limit: int) -> Mapping[_Key, int] | None:
    return None if counts is None or len(counts) > limit or any(map(_is_long, names)) else counts


def _is_long(name: str) -> bool:
    # A character takes up to four bytes; only texts that may be too long are encoded.
    return len(name) > NAME_BYTES_MAX // 4 and len(name.encode()) > NAME_BYTES_MAX


def _summed(parts: Sequence[Mapping[_Key, int] | None], limit: int) -> Mapping[_Key, int] | None:
    total: Counter[_Key] = Counter()
    for part in parts:
        if part is None:
            return None
        total.update(part)
        if len(total) > limit:
            return None
    return dict(total)
