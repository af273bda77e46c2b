"""Pearson's two-sample test on the groups: the omnibus test of every column.

Sparse groups are first merged with their neighbours until each expects ten rows of the window and has fifty of the
reference, by the reference's counts alone, so that the merging does not look at what it tests. Fifty, because the edges
are themselves drawn from the reference: with ten rows a group, 100 reference rows and 1,000 in the window, the test of size
.05 rejects .088 of unchanged windows, with fifty .051. (Nine tenths of either pass: at exactly 30 rows deciles can only be
cut 3-3-4, and two groups would be too coarse a test, with a size of .038 instead of .050.)

Where merging leaves a single group, as when 99 of 100 rows are "no", a column is tested by the share of its largest group,
or of its lower half, exactly (`detectors.two_bins`).

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

_WINDOW_ROWS = 0.9 * EXPECTED_MIN
_REFERENCE_ROWS = 0.9 * 50


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
        Groups after merging; 2 where a share was tested.
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
        pvalue[single] = _share_pvalue(groups, single)
        test_groups[single] = np.where(np.isnan(pvalue[single]), 1, 2)
    return pvalue, test_groups, merged


def _merged(groups: GroupPair) -> GroupPair:
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.nan_to_num(groups.reference * groups.each(groups.rows / groups.reference_rows))
    past = groups.reference.astype(np.float64)
    poor = np.logical_or.reduceat((expected < _WINDOW_ROWS) | (past < _REFERENCE_ROWS), groups.starts)
    columns = np.flatnonzero(poor)
    if not columns.size:
        return groups
    heads = np.ones(expected.size, dtype=np.bool_)
    # Column by column in parallel, group by group in turn: at most 39 steps however many columns there are.
    gathered, gathered_past = np.zeros(columns.size), np.zeros(columns.size)
    head = groups.starts[columns].copy()  # where the group that is being gathered began
    for step in range(int(groups.sizes[columns].max())):
        inside = step < groups.sizes[columns]
        at = np.minimum(groups.starts[columns] + step, expected.size - 1)
        full = inside & (gathered >= _WINDOW_ROWS) & (gathered_past >= _REFERENCE_ROWS)
        head = np.where(full, at, head)
        heads[at[inside]] = full[inside] | (step == 0)
        gathered = np.where(inside, np.where(full, 0.0, gathered) + expected[at], gathered)
        gathered_past = np.where(inside, np.where(full, 0.0, gathered_past) + past[at], gathered_past)
    # What is left over at the end joins the group in front of it.
    short = ((gathered < _WINDOW_ROWS) | (gathered_past < _REFERENCE_ROWS)) & (head > groups.starts[columns])
    heads[head[short]] = False
    return _regrouped(groups, heads)


def _regrouped(groups: GroupPair, heads: npt.NDArray[np.bool_]) -> GroupPair:
    positions = np.flatnonzero(heads).astype(np.intp)
    starts = np.searchsorted(positions, groups.starts).astype(np.intp)
    sizes: IndexArray = np.diff(np.append(starts, positions.size))
    return GroupPair(Counts(sums(groups.reference, positions)), Counts(sums(groups.current, positions)), starts, sizes)


def _share_pvalue(groups: GroupPair, columns: IndexArray) -> FloatArray:
    """Test the share of the largest group, or of the lower half of the groups where none has half of the rows."""
    now, past = np.zeros(columns.size, dtype=np.int64), np.zeros(columns.size, dtype=np.int64)
    for row, (start, size) in enumerate(
        zip(groups.starts[columns].tolist(), groups.sizes[columns].tolist(), strict=True)
    ):
        reference, current = groups.reference[start : start + size], groups.current[start : start + size]
        largest = int(np.argmax(reference))
        if 2 * reference[largest] >= reference.sum():
            now[row], past[row] = current[largest], reference[largest]
        else:
            half = int(np.searchsorted(np.cumsum(reference), reference.sum() / 2)) + 1
            now[row], past[row] = current[:half].sum(), reference[:half].sum()
    return share_pvalue(now, groups.rows[columns], past, groups.reference_rows[columns])
