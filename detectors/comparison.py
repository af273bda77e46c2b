"""Reference and current counts side by side, in the two forms that statistics read.

`GroupPair`: the coarse groups of all columns (PSI, KL, chi-square and every test). `FinePair`: the value bins of the numeric
columns, as distribution functions (KS, Wasserstein and their relatives). Current counts may have leading dimensions
(windows); the reference has none.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, Counts, FloatArray, IndexArray, running_sums, sums
from detectors.columns import NumericColumn
from detectors.reference.finish import support
from detectors.reference.model import Reference

__all__ = ["Comparer", "Comparison", "FinePair", "GroupPair"]


@dataclass(frozen=True, eq=False)
class GroupPair:
    """Group counts of all columns.

    Parameters
    ----------
    reference : Counts, shape [n_groups_total]
    current : Counts, shape [..., n_groups_total]
    starts, sizes : ndarray of intp, shape [n_columns]
    """

    reference: Counts
    current: Counts
    starts: IndexArray
    sizes: IndexArray

    @cached_property
    def reference_rows(self) -> npt.NDArray[np.int64]:
        """Present rows of the reference; shape [n_columns]."""
        return sums(self.reference, self.starts)

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Present rows of the window; shape [..., n_columns]."""
        return sums(self.current, self.starts)

    @cached_property
    def filled(self) -> npt.NDArray[np.int64]:
        """Groups that have a row on either side; shape [..., n_columns]."""
        return sums((self.reference + self.current > 0).astype(np.int64), self.starts)

    def each(self, per_column: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> FloatArray:
        """Repeat a number of each column for each of its groups: [..., n_columns] to [..., n_groups_total]."""
        return np.repeat(per_column, self.sizes, axis=-1).astype(np.float64)

    def total(self, per_group: FloatArray) -> FloatArray:
        """Sum over each column; NaN where either side has no row: [..., n_groups_total] to [..., n_columns]."""
        nothing = (self.rows == 0) | (self.reference_rows == 0)
        return np.where(nothing, np.nan, sums(per_group, self.starts))

    @cached_property
    def shares(self) -> tuple[FloatArray, FloatArray]:
        """Unsmoothed shares of the reference and the window; NaN where there is no row."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.reference / self.each(self.reference_rows), self.current / self.each(self.rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class FinePair:
    """Value bins of the numeric columns, as distribution functions at the bins' right edges.

    Parameters
    ----------
    reference : Counts, shape [n_bins]
    current : Counts, shape [..., n_bins]
    starts, sizes : ndarray of intp, shape [n_numeric_columns]
    columns : ndarray of intp, shape [n_numeric_columns]
        Their numbers among all columns.
    n_columns : int
        Number of all columns.
    singletons : ndarray of bool, shape [n_bins]
        Bins that hold one point only.
    support : ndarray of float64, shape [n_bins]
        Where the rows of each bin are taken to lie.
    deviation : ndarray of float64, shape [n_numeric_columns]
        Standard deviation of the reference.
    reference_sums : ndarray of int64, shape [n_bins]
        Running sums of the reference's counts.
    """

    reference: Counts
    current: Counts
    starts: IndexArray
    sizes: IndexArray
    columns: IndexArray
    n_columns: int
    singletons: BoolArray
    support: FloatArray
    deviation: FloatArray
    reference_sums: npt.NDArray[np.int64]

    @cached_property
    def ends(self) -> IndexArray:
        """Last bin of each column; shape [n_numeric_columns]."""
        return self.starts + self.sizes - 1

    @cached_property
    def sums(self) -> npt.NDArray[np.int64]:
        """Running sums of the window's counts; shape [..., n_bins]."""
        return running_sums(self.current, self.starts, self.sizes)

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """Present rows of the window; shape [..., n_numeric_columns]."""
        return self.sums[..., self.ends]

    @cached_property
    def reference_rows(self) -> npt.NDArray[np.int64]:
        """Present rows of the reference; shape [n_numeric_columns]."""
        return self.reference_sums[self.ends]

    def each(self, per_column: npt.NDArray[np.float64] | npt.NDArray[np.int64]) -> FloatArray:
        """Repeat a number of each column for each of its bins."""
        return np.repeat(per_column, self.sizes, axis=-1).astype(np.float64)

    @cached_property
    def reference_cdf(self) -> FloatArray:
        """Distribution function of the reference; shape [n_bins]."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.reference_sums / self.each(self.reference_rows)

    @cached_property
    def cdf(self) -> FloatArray:
        """Distribution function of the window; shape [..., n_bins]."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.sums / self.each(self.rows)

    @cached_property
    def gap(self) -> FloatArray:
        """Distance between the two distribution functions; shape [..., n_bins]."""
        return np.abs(self.cdf - self.reference_cdf)

    @cached_property
    def effective(self) -> FloatArray:
        """Rows against a known distribution that the pair is worth, n m / (n + m); shape [..., n_numeric_columns]."""
        n, m = self.rows.astype(np.float64), self.reference_rows.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return n * m / (n + m)

    def spread(self, per_numeric: FloatArray) -> FloatArray:
        """Give each column its number, NaN to columns that are not numeric: [..., n_numeric] to [..., n_columns]."""
        everywhere = np.full((*per_numeric.shape[:-1], self.n_columns), np.nan)
        everywhere[..., self.columns] = per_numeric
        return everywhere


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Reference and current counts, ready for every statistic.

    Parameters
    ----------
    groups : GroupPair
    fine : FinePair
    """

    groups: GroupPair
    fine: FinePair


class Comparer:
    """Compares windows with one reference; what depends on the reference alone is computed once.

    Parameters
    ----------
    reference : Reference
    """

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        layout = reference.layout
        n_columns = len(reference.columns)
        self._sizes = reference.group_counts
        self._group_segments = _ragged_index(reference.segment_offsets[:-1], self._sizes)
        self._starts = np.cumsum(self._sizes) - self._sizes
        self._reference_segments = reference.segments(reference.counts)
        self._numeric = np.flatnonzero(layout.numeric).astype(np.intp)
        self._fine_sizes = layout.value_bins[self._numeric]
        self._fine_starts = np.cumsum(self._fine_sizes) - self._fine_sizes
        self._fine_bins = _ragged_index(layout.starts[self._numeric], self._fine_sizes)
        numeric = [c for c in reference.columns if isinstance(c, NumericColumn)]
        means = np.split(reference.means[self._fine_bins], self._fine_starts[1:]) if numeric else []
        self._support = np.concatenate([support(c, m) for c, m in zip(numeric, means, strict=True)] or [np.empty(0)])
        self._singletons = np.concatenate([c.singletons for c in numeric] or [np.empty(0, dtype=np.bool_)])
        self._fine_reference = Counts(reference.counts[self._fine_bins])
        self._fine_sums = running_sums(self._fine_reference, self._fine_starts, self._fine_sizes)
        self._n_columns = n_columns

    def compare(self, counts: Counts) -> Comparison:
        """Put current counts beside the reference.

        Parameters
        ----------
        counts : Counts, shape [..., n_bins_total]
            Not written to.

        Returns
        -------
        Comparison
        """
        if counts.shape[-1] != self.reference.layout.n_bins_total:
            wanted = self.reference.layout.n_bins_total
            raise ValueError(f"counts: {counts.shape[-1]} bins, the reference has {wanted}")
        segments = self.reference.segments(counts)
        groups = GroupPair(
            Counts(self._reference_segments[self._group_segments]),
            Counts(segments[..., self._group_segments]),
            self._starts,
            self._sizes,
        )
        fine = FinePair(
            reference=self._fine_reference,
            current=Counts(counts[..., self._fine_bins]),
            starts=self._fine_starts,
            sizes=self._fine_sizes,
            columns=self._numeric,
            n_columns=self._n_columns,
            singletons=self._singletons,
            support=self._support,
            deviation=self.reference.deviation[self._numeric],
            reference_sums=self._fine_sums,
        )
        return Comparison(groups, fine)


def _ragged_index(starts: IndexArray, sizes: IndexArray) -> IndexArray:
    """Positions starts[i] .. starts[i] + sizes[i] - 1 for all i, one after the other."""
    before = np.cumsum(sizes) - sizes
    index: IndexArray = np.arange(int(sizes.sum()), dtype=np.intp) + np.repeat(starts - before, sizes)
    return index
