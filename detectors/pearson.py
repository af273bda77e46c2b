"""Pearson's two-sample test on the groups: the omnibus test of every column.

Sparse groups are first merged with their neighbours until each expects ten rows of the smaller sample, by the reference's
shares, so that the merging does not look at what it tests. (A share of "ten" is met by 9: at exactly 30 rows deciles can
only be cut 3-3-4, and two groups would be too coarse a test, with a size of .038 instead of .050.) The expected rows of a
categorical column's groups fall from group to group, so there merging pools the rare. A column with one group far ahead of
all others, as when 99 of 100 rows are "no", would be left with a single group: it is tested as the share of that group
instead, exactly (`detectors.two_bins`).

Without merging the test is honest down to 1.5 rows a group at .05, but at the far tail, which a budget of one false alarm
a month needs, it rejects four times too often at 30 rows.

References
----------
.. [1] Pearson (1911), as in `detectors.chi2`.
.. [2] Cochran (1954), "Some methods for strengthening the common chi-square tests", section 5.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from detectors.arrays import Counts, FloatArray, IndexArray, sums
from detectors.chi2 import chi2_of
from detectors.comparison import GroupPair
from detectors.two_bins import EXPECTED_MIN, share_pvalue

__all__ = ["omnibus_pvalue"]

_TOLERANCE = 0.9  # see above: nine rows pass for ten


def omnibus_pvalue(groups: GroupPair) -> tuple[FloatArray, npt.NDArray[np.int64], GroupPair]:
    """P-value of "the window and the reference come from one distribution".

    Parameters
    ----------
    groups : GroupPair
        Current counts of one window, shape [n_groups_total].

    Returns
    -------
    pvalue : ndarray of float64, shape [n_columns]
        NaN without rows on either side, or where the reference has a single group.
    test_groups : ndarray of int64, shape [n_columns]
        Groups after merging; 2 where the share of the largest group was tested.
    merged : GroupPair
        The groups that were tested.
    """
    merged = _merged(groups)
    statistic = chi2_of(merged)
    degrees = merged.filled - 1
    with np.errstate(invalid="ignore"):
        pvalue = np.where(degrees > 0, chdtrc(np.maximum(degrees, 1), statistic), np.nan)
    test_groups = merged.sizes.astype(np.int64)
    single = np.flatnonzero((merged.sizes == 1) & (groups.sizes > 1))
    if single.size:
        pvalue[single] = _largest_share_pvalue(groups, single)
        test_groups[single] = np.where(np.isnan(pvalue[single]), 1, 2)
    return pvalue, test_groups, merged


def _merged(groups: GroupPair) -> GroupPair:
    smaller = np.minimum(groups.rows, groups.reference_rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = groups.reference * groups.each(smaller / groups.reference_rows)
    wanted = EXPECTED_MIN * _TOLERANCE
    poor = np.logical_or.reduceat(expected < wanted, groups.starts)
    heads = np.ones(expected.size, dtype=np.bool_)
    columns = np.flatnonzero(poor)
    if not columns.size:
        return groups
    # Column by column in parallel, group by group in turn: at most 31 steps however many columns there are.
    gathered = np.zeros(columns.size)
    head = groups.starts[columns].copy()  # where the group that is being gathered began
    for step in range(int(groups.sizes[columns].max())):
        inside = step < groups.sizes[columns]
        at = np.minimum(groups.starts[columns] + step, expected.size - 1)
        full = inside & (gathered >= wanted)
        head = np.where(full, at, head)
        heads[at[inside]] = full[inside] | (step == 0)
        gathered = np.where(inside, np.where(full, 0.0, gathered) + np.nan_to_num(expected[at]), gathered)
    # What is left over at the end joins the group in front of it.
    short = (gathered < wanted) & (head > groups.starts[columns])
    heads[head[short]] = False
    return _regrouped(groups, heads)


def _regrouped(groups: GroupPair, heads: npt.NDArray[np.bool_]) -> GroupPair:
    positions = np.flatnonzero(heads).astype(np.intp)
    starts = np.searchsorted(positions, groups.starts).astype(np.intp)
    sizes: IndexArray = np.diff(np.append(starts, positions.size))
    return GroupPair(Counts(sums(groups.reference, positions)), Counts(sums(groups.current, positions)), starts, sizes)


def _largest_share_pvalue(groups: GroupPair, columns: IndexArray) -> FloatArray:
    largest = np.array(
        [
            start + int(np.argmax(groups.reference[start : start + size]))
            for start, size in zip(groups.starts[columns].tolist(), groups.sizes[columns].tolist(), strict=True)
        ],
        dtype=np.intp,
    )
    return share_pvalue(
        groups.current[largest], groups.rows[columns], groups.reference[largest], groups.reference_rows[columns]
    )
