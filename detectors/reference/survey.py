"""The first pass over the training data: what values a column has, so that its points and categories can be chosen.

Memory is bounded whatever the data's size. A numeric column with at most 4,096 distinct values is known exactly. Of any
other, `sample_rows` rows are kept, every row when there are no more than that; beyond, a uniform sample whose seed is
fixed, drawn row by row, so that neither the size of the chunks nor the machine changes it. With 400,000 rows the
quantiles of a sample are off by 0.0008 of rank at most two times in three; the second pass counts every row exactly
between the points that the sample chose, so only where a bin's edge lies is approximate, never what is counted.

Sketches of the usual libraries do not serve here. Measured on 4 million values, 30 % of them the number 0.1: the KLL
sketch of datasketches cannot be seeded from Python, so two runs choose different points; its t-digest repeats itself but
averages neighbours, and finds 0.1 in 54 of 77 quantiles that have it, off by 0.29 of rank in the worst.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray
from detectors.binning.categories import tally
from detectors.binning.numbers import as_numbers
from detectors.binning.values import Numbers, Values, selected, size_of

__all__ = ["CategoricalSurvey", "NumericSurvey", "add_all", "priorities", "sample_rows_for", "survey_of"]

SAMPLE_BYTES = 256 << 20
"""Memory for the samples of all numeric columns together."""

_BYTES_A_ROW = 12  # a value and its priority
_SAMPLE_ROWS_MIN = 1 << 14

DISTINCT_KEPT = 4096
"""A numeric column with at most this many distinct values is known exactly, whatever its length."""

CATEGORIES_KEPT = 100_000
"""Categories that are counted exactly; beyond, the rarest are dropped again and again (Misra and Gries)."""

PRUNED_ROWS = 1 << 16
"""Rows between one dropping and the next."""


def sample_rows_for(n_numeric: int, sample_bytes: int = SAMPLE_BYTES) -> int:
    """Rows that fit into the memory for samples."""
    return max(_SAMPLE_ROWS_MIN, sample_bytes // (_BYTES_A_ROW * max(1, n_numeric)))


def priorities(rng: np.random.Generator, n_rows: int) -> npt.NDArray[np.float32]:
    """Draw the priorities of the next rows; the rows with the smallest ones are the sample."""
    return rng.random(n_rows).astype(np.float32)


@dataclass(kw_only=True, eq=False)
class NumericSurvey:
    """What is known of one numeric column.

    Parameters
    ----------
    sample_rows : int
    """

    sample_rows: int
    rows: int = 0
    _distinct: tuple[npt.NDArray[Any], npt.NDArray[np.int64]] | None = field(
        default_factory=lambda: (np.empty(0), np.empty(0, dtype=np.int64))
    )
    _values: list[npt.NDArray[Any]] = field(default_factory=list)
    _priorities: list[npt.NDArray[np.float32]] = field(default_factory=list)
    _kept: int = 0
    _bar: float = np.inf
    _extremes: list[npt.NDArray[Any]] = field(default_factory=list)

    def add(self, numbers: Numbers, priority: npt.NDArray[np.float32]) -> None:
        """Take the next rows.

        Parameters
        ----------
        numbers : Numbers
        priority : ndarray of float32, shape [n_rows]
        """
        usable = numbers.present
        if numbers.values.dtype == np.float64:
            usable &= np.isfinite(numbers.values)  # infinities are out of any range
        everything = bool(usable.all())
        values = numbers.values if everything else numbers.values[usable]
        priority = priority if everything else priority[usable]
        if not values.size:
            return
        self.rows += values.size
        self._add_distinct(values)
        self._extremes = [_merged([*self._extremes, values[[values.argmin(), values.argmax()]]])]
        self._extremes = [_spread(self._extremes[0])]
        if np.isfinite(self._bar):
            lucky = priority <= self._bar
            values, priority = values[lucky], priority[lucky]
        self._values.append(values.copy())
        self._priorities.append(priority)
        self._kept += values.size
        if self._kept > self.sample_rows + self.sample_rows // 4:
            self._compact()

    def finish(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], bool]:
        """Distinct finite values in order, how often each was seen, and whether that is all of the data.

        Returns
        -------
        distinct : ndarray of float64, int64 or uint64, shape [n]
        counts : ndarray of int64, shape [n]
            The extremes of a sampled column may have 0.
        exact : bool
        """
        if self._distinct is not None:
            return (*self._distinct, True)
        exact = not np.isfinite(self._bar) and self._kept <= self.sample_rows
        if not exact:
            self._compact()
        distinct, counts = np.unique(_merged(self._values), return_counts=True)
        if not exact:
            both = _merged([distinct, self._extremes[0]])
            distinct, counts = _added(both, np.concatenate([counts, np.zeros(self._extremes[0].size, np.int64)]))
        return _unsigned_zero(distinct), counts.astype(np.int64), exact

    def _add_distinct(self, values: npt.NDArray[Any]) -> None:
        if self._distinct is None:
            return
        new, new_counts = np.unique(values, return_counts=True)
        both = _merged([self._distinct[0], new])
        distinct, counts = _added(both, np.concatenate([self._distinct[1], new_counts]))
        self._distinct = (_unsigned_zero(distinct), counts) if distinct.size <= DISTINCT_KEPT else None

    def _compact(self) -> None:
        priority = np.concatenate(self._priorities)
        values = _merged(self._values)
        if priority.size > self.sample_rows:
            self._bar = float(np.partition(priority, self.sample_rows - 1)[self.sample_rows - 1])
            lucky = priority <= self._bar
            values, priority = values[lucky], priority[lucky]
        self._values, self._priorities, self._kept = [values], [priority], values.size


@dataclass(kw_only=True, eq=False)
class CategoricalSurvey:
    """What is known of one categorical column."""

    counts: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    total: int = 0
    dropped: int = 0
    """The most that a category may have more than its count, because it was dropped before."""

    def add(self, values: Values) -> None:
        """Take the next rows."""
        n_rows = size_of(values)
        start = 0
        while start < n_rows:  # pruned at fixed rows, so that the size of the chunks decides nothing
            end = min(n_rows, start + PRUNED_ROWS - self.rows % PRUNED_ROWS)
            whole = end - start == n_rows
            self._add(values if whole else selected(values, _span(start, end, n_rows)), end - start)
            start = end

    def finish(self) -> tuple[list[tuple[str, int]], int, bool]:
        """Categories with their counts, present valid rows, and whether these are all categories there were.

        Returns
        -------
        categories : list of (str, int)
            Most frequent first, equal ones in the order of their text. When rare ones had to be dropped, only those
            that are certain to be frequent.
        total : int
        complete : bool
        """
        self._prune()
        counts = _one_spelling(self.counts)
        certain = ((name, count) for name, count in counts.items() if count > self.dropped)
        return sorted(certain, key=lambda item: (-item[1], item[0])), self.total, not self.dropped

    def _add(self, values: Values, n_rows: int) -> None:
        found = tally(values)
        self.counts.update(found)
        self.total += found.total()
        self.rows += n_rows
        if self.rows % PRUNED_ROWS == 0:
            self._prune()

    def _prune(self) -> None:
        # Misra and Gries (1982), merged form: subtract the largest count that does not fit from all. What remains is
        # every category with more than rows / CATEGORIES_KEPT rows. The second pass counts the listed ones exactly.
        if len(self.counts) > CATEGORIES_KEPT:
            cut = sorted(self.counts.values(), reverse=True)[CATEGORIES_KEPT]
            self.counts = Counter({name: count - cut for name, count in self.counts.items() if count > cut})
            self.dropped += cut


def _span(start: int, end: int, n_rows: int) -> BoolArray:
    rows = np.zeros(n_rows, dtype=np.bool_)
    rows[start:end] = True
    return rows


def survey_of(kind: str, sample_rows: int) -> NumericSurvey | CategoricalSurvey:
    """Start the survey of one column."""
    return NumericSurvey(sample_rows=sample_rows) if kind == "numeric" else CategoricalSurvey()


def add_all(
    surveys: Sequence[NumericSurvey | CategoricalSurvey],
    values: Sequence[Values | None],
    priority: npt.NDArray[np.float32],
) -> None:
    """Give the next rows of each column to its survey; None where a batch lacks the column."""
    for survey, column in zip(surveys, values, strict=True):
        if column is None:
            continue
        if isinstance(survey, NumericSurvey):
            survey.add(as_numbers(column), priority)
        else:
            survey.add(column)


def _one_spelling(counts: Counter[str]) -> Counter[str]:
    # CSV files write booleans as True or TRUE, JSON and Parquet as true.
    if counts and {name.lower() for name in counts} <= {"true", "false"}:
        merged: Counter[str] = Counter()
        for name, count in counts.items():
            merged[name.lower()] += count
        return merged
    return counts


def _merged(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate number arrays of different types without losing a digit where one type can hold them all."""
    arrays = [array for array in arrays if array.size] or [np.empty(0)]
    if len({array.dtype for array in arrays}) == 1:
        return np.concatenate(arrays)
    if all(array.dtype != np.float64 or bool((array == np.trunc(array)).all()) for array in arrays):
        for dtype in (np.int64, np.uint64):
            info = np.iinfo(dtype)
            if all(info.min <= int(array.min()) and int(array.max()) <= info.max for array in arrays):
                return np.concatenate([array.astype(dtype) for array in arrays])
    return np.concatenate([array.astype(np.float64) for array in arrays])


def _added(values: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    distinct, inverse = np.unique(values, return_inverse=True)
    return distinct, np.bincount(inverse, weights=counts, minlength=distinct.size).astype(np.int64)


def _spread(extremes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.array([extremes.min(), extremes.max()], dtype=extremes.dtype)


def _unsigned_zero(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values + 0 if values.dtype == np.float64 else values  # -0.0 + 0 is 0.0
