"""Reference points of a numeric column, and the groups its bins are read in.

Both come from the sorted distinct values of the reference and how often each occurs. Points are order statistics, so one
outlier is one point and stretches nothing. The j-th decile is the smallest value with at least j tenths of the rows at or
below it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, IndexArray

__all__ = ["DISTINCT_GROUPED", "RESOLUTION", "RESOLUTION_MAX", "RESOLUTION_MIN", "Points", "decile_places", "points_of"]

RESOLUTION = 256
"""Points a column by default: the bracket of KS is then below 0.004 wide."""
RESOLUTION_MIN = 32
RESOLUTION_MAX = 4096

DISTINCT_GROUPED = 20
"""Up to this many distinct values every value has a group of its own; beyond, groups are deciles."""

_DECILES = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Points of one column, and where its groups end.

    Parameters
    ----------
    values : ndarray of float64, int64 or uint64, shape [n_points]
    every_value : bool
        Whether the points are all the values that the reference has; each is then an atom.
    group_ends : ndarray of intp, shape [n]
        Numbers of the points at which a group ends (the last group ends at infinity, whatever stands here).
    own_groups : ndarray of bool, shape [n]
        Whether a group also starts at that point, an atom: it is a group of its own.
    """

    values: npt.NDArray[Any]
    every_value: bool
    group_ends: IndexArray
    own_groups: BoolArray


def points_of(
    distinct: npt.NDArray[Any],
    counts: npt.NDArray[np.int64],
    resolution: int = RESOLUTION,
    single: BoolArray | None = None,
) -> Points:
    """Choose points and groups.

    Parameters
    ----------
    distinct : ndarray of float64, int64 or uint64, shape [n]
        The reference's finite values, strictly increasing.
    counts : ndarray of int64, shape [n]
        How often each occurs; a value known only to lie in the range, such as the minimum beside a sample, may have 0.
    resolution : int
        At most this many points, 32 to 4,096.
    single : ndarray of bool, shape [n], optional
        Where values are only known by cells (`detectors.learning`): `distinct` are then the largest values of the cells,
        and here stands which cells hold one value. All do by default.

    Returns
    -------
    Points
    """
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1]) if counts.size else 0
    deciles = decile_places(cumulative)
    ends, own = _groups(distinct.size, deciles)
    if single is not None:
        ends, own = _parted(ends, own, single, cumulative)
    if distinct.size <= resolution:
        chosen = np.arange(distinct.size)
    else:
        apart = np.setdiff1d(ends, deciles)
        grid = np.round(np.linspace(0, total - 1, resolution - deciles.size - apart.size - 2)).astype(np.int64)
        at_ranks = np.searchsorted(cumulative, grid, side="right")
        chosen = np.unique(np.concatenate([[0], at_ranks, deciles, apart, [distinct.size - 1]]))
    return Points(
        values=distinct[chosen],
        every_value=distinct.size <= resolution,
        group_ends=np.searchsorted(chosen, ends).astype(np.intp),
        own_groups=own,
    )


def decile_places(cumulative: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Places of the nine deciles: the first at which so many tenths of the rows are reached.

    Parameters
    ----------
    cumulative : ndarray of int64, shape [n]
        Running sums of counts.

    Returns
    -------
    ndarray of intp, shape [9]
        Not decreasing; a place that holds several tenths stands there as often. All 0 without rows.
    """
    total = int(cumulative[-1]) if cumulative.size else 0
    ranks = -(-np.arange(1, _DECILES) * total // _DECILES) - 1
    return np.searchsorted(cumulative, ranks, side="right")


def _groups(n_distinct: int, deciles: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], BoolArray]:
    if n_distinct <= DISTINCT_GROUPED:
        ends = np.arange(n_distinct - 1)
        return ends, np.zeros(ends.size, dtype=np.bool_)
    ends, spans = np.unique(deciles, return_counts=True)
    # An atom over several deciles is a group of its own, unless nothing lies between it and the group before anyway.
    before = np.concatenate([[-1], ends[:-1]])
    own = (spans > 1) & (ends - before > 1)
    # The bins above the maximum belong to the outer group, so no group ends at it.
    keep = (ends < n_distinct - 1) | own
    return ends[keep], own[keep]


def _parted(
    ends: npt.NDArray[np.intp], own: BoolArray, single: BoolArray, cumulative: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.intp], BoolArray]:
    # A cell of more than one value has no edge just below its largest one. The end of the cell in front parts it as well.
    apart = ends[own & ~single[ends]] - 1
    apart = apart[cumulative[apart] > 0]
    together = np.concatenate([ends, apart])
    order = np.argsort(together)
    return together[order], np.concatenate([own & single[ends], np.zeros(apart.size, dtype=np.bool_)])[order]
