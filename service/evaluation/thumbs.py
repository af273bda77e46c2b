"""What rules of thumb say of windows: any number of windows at a time. Pure.

Of windows of traffic all statistics are known. Of the reference's own windows only the counts of its groups are kept: then
statistics of groups are the same numbers, KS is the largest difference at the edges of groups (at most the real one), and
Wasserstein's and its like are not known. The p-value of KS is that on groups for both.

A column with fewer rows than the policy asks for says nothing here either, which is more than most tools grant it.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, Counts, FloatArray, running_sums
from detectors.catalog import CATALOG
from detectors.comparison import Comparer, Comparison, GroupPair
from detectors.ks_null import KsNull
from detectors.pearson import omnibus_pvalue
from detectors.reference import Reference
from service.domain.evaluation import RuleSaid
from service.domain.thumb import ThumbRule

__all__ = ["Thumbs", "fires"]

_DETECTORS: Final = {detector.name: detector for detector in CATALOG}


class Thumbs:
    """Applies rules of thumb to windows of one reference.

    Parameters
    ----------
    reference : Reference
    rows_min : int
        Below so many present rows nothing is said of a column.
    """

    def __init__(self, reference: Reference, rows_min: int) -> None:
        self._reference = reference
        self._rows_min = rows_min
        self._comparer = Comparer(reference)
        past = self._comparer.compare(reference.counts).groups
        self._null = KsNull(past, np.flatnonzero(reference.layout.numeric))

    def passed(self, counts: Counts, rule: ThumbRule) -> FloatArray:
        """Which columns of which windows pass a rule.

        Parameters
        ----------
        counts : Counts, shape [n_windows, n_bins_total]
        rule : ThumbRule

        Returns
        -------
        ndarray of float64, shape [n_windows, n_columns]
            1 or 0; NaN where the rule has nothing to look at.
        """
        comparison = self._comparer.compare(counts)
        values = self._pvalues(comparison.groups, rule)
        if values is None:
            values = _DETECTORS[rule.statistic].compute(comparison)
        return self._beyond(values, comparison, rule)

    def said(self, counts: Counts, rules: Sequence[ThumbRule]) -> tuple[RuleSaid, ...]:
        """What rules say of one window, of shape [n_bins_total]."""
        found = [float(fires(self.passed(Counts(counts[None]), rule), rule)[0]) for rule in rules]
        return tuple(
            RuleSaid(rule=rule.text, fires=None if np.isnan(fired) else fired == 1)
            for rule, fired in zip(rules, found, strict=True)
        )

    def passed_by_groups(self, segments: npt.NDArray[np.int64], rule: ThumbRule) -> FloatArray | None:
        """The same of windows whose segments are known and nothing more; None where that is not enough.

        Parameters
        ----------
        segments : ndarray of int64, shape [n_windows, n_segments]
        rule : ThumbRule
        """
        # A group's rows are put into its first bin: statistics of groups see no difference.
        counts = np.zeros((segments.shape[0], self._reference.layout.n_bins_total), dtype=np.int64)
        counts[:, self._reference.segment_starts] = segments
        comparison = self._comparer.compare(Counts(counts))
        values = self._pvalues(comparison.groups, rule)
        if values is None and rule.statistic == "ks":
            values = np.where(self._reference.layout.numeric, _ks_of_groups(comparison.groups), np.nan)
        if values is None and _DETECTORS[rule.statistic].reads == "groups":
            values = _DETECTORS[rule.statistic].compute(comparison)
        return None if values is None else self._beyond(values, comparison, rule)

    def _pvalues(self, groups: GroupPair, rule: ThumbRule) -> FloatArray | None:
        if rule.statistic == "ks_pvalue":
            return np.stack([self._null.pvalue(one) for one in _one_by_one(groups)])
        if rule.statistic == "chi2_pvalue":
            return np.stack([omnibus_pvalue(one)[0] for one in _one_by_one(groups)])
        return None

    def _beyond(self, values: FloatArray, comparison: Comparison, rule: ThumbRule) -> FloatArray:
        with np.errstate(invalid="ignore"):
            beyond = values > rule.above if rule.above is not None else values < (rule.below or 0.0)
        known = ~np.isnan(values) & (comparison.groups.rows >= self._rows_min)
        return np.where(known, beyond.astype(np.float64), np.nan)


def fires(passed: FloatArray, rule: ThumbRule) -> FloatArray:
    """Whether a rule fires on windows.

    Parameters
    ----------
    passed : ndarray of float64, shape [n_windows, n_columns]
    rule : ThumbRule

    Returns
    -------
    ndarray of float64, shape [n_windows]
        1 or 0; NaN where it has nothing to look at.
    """
    known: BoolArray = ~np.isnan(passed)
    columns, beyond = known.sum(axis=1), np.nan_to_num(passed).sum(axis=1)
    enough = beyond > 0 if rule.columns_share is None else beyond >= rule.columns_share * columns
    return np.where(columns > 0, enough.astype(np.float64), np.nan)


def _ks_of_groups(groups: GroupPair) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        past = running_sums(groups.reference, groups.starts, groups.sizes) / groups.each(groups.reference_rows)
        now = running_sums(groups.current, groups.starts, groups.sizes) / groups.each(groups.rows)
    gap: FloatArray = np.maximum.reduceat(np.abs(now - past), groups.starts, axis=-1)
    return gap


def _one_by_one(groups: GroupPair) -> Iterator[GroupPair]:
    for current in groups.current:
        yield GroupPair(groups.reference, Counts(current), groups.starts, groups.sizes)
