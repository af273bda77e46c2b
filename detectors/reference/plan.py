"""Between the passes: columns with provisional bins, chosen from the survey.

In the second pass every point is an atom, so that each is counted both on its own and between its neighbours; which atoms
stay is decided when all rows are counted (see `detectors.reference.builder`). Local bins of the plan, for points g0 g1 ...::

    0: (-inf, g0)   1: {g0}   2: (g0, g1)   3: {g1}   4: (g1, g2)   ...
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from math import log, sqrt
from operator import and_, not_

import numpy as np

from detectors.arrays import IndexArray
from detectors.binning.categories import digest
from detectors.binning.points import RESOLUTION, points_of
from detectors.columns import CategoricalColumn, Column, NumericColumn, Role
from detectors.reference.survey import CategoricalSurvey, NumericSurvey

__all__ = ["CATEGORIES_MAX", "ColumnPlan", "plan_of"]

CATEGORIES_MAX = 1000
"""Categories with a bin of their own, by default."""

_OTHERS_MAX = 1 << 16
"""Further categories whose digests are kept, so that `unseen` can be told from `other`: half a megabyte."""

_GROUP_SHARE_MIN = 0.005
_CATEGORY_GROUPS_MAX = 30
_NAME_WEIGHT = 3.0
_CERTAIN_ERRORS = 3.0
_CROWD_ERRORS = 2.0
_CROWD_SHARE_MAX = 0.3
_POOLS_MAX = 8
_POOL_SHARE_MIN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnPlan:
    """One column of the second pass.

    Parameters
    ----------
    column : Column
        With every point an atom.
    group_starts : ndarray of intp, shape [n_groups]
        Local bins at which groups start; the first is 0.
    every_value : bool
        Whether points or categories are all values of the reference, each a bin of its own.
    exact : bool
        False when they were chosen from a sample, or rare categories were dropped while counting.
    center : float
        A value near the middle, for sums of squares that do not cancel.
    """

    column: Column
    group_starts: IndexArray
    every_value: bool
    exact: bool
    center: float = 0.0


def plan_of(
    name: str,
    role: Role,
    survey: NumericSurvey | CategoricalSurvey,
    *,
    resolution: int = RESOLUTION,
    categories_max: int = CATEGORIES_MAX,
) -> ColumnPlan:
    """Choose the bins and groups of one column.

    Parameters
    ----------
    name : str
    role : {"input", "output"}
    survey : NumericSurvey or CategoricalSurvey
        After its last row.
    resolution : int
        Points of a numeric column, 32 to 4,096.
    categories_max : int
        Listed categories.

    Returns
    -------
    ColumnPlan
    """
    if isinstance(survey, NumericSurvey):
        return _numeric(name, role, survey, resolution)
    return _categorical(name, role, survey, categories_max)


def _numeric(name: str, role: Role, survey: NumericSurvey, resolution: int) -> ColumnPlan:
    distinct, counts, exact = survey.finish()
    points = points_of(distinct, counts, resolution)
    column = NumericColumn(
        name=name, role=role, points=points.values, atoms=np.ones(points.values.size, dtype=np.bool_)
    )
    at = 2 * points.group_ends + 2  # the bin after the point's own
    own = 2 * points.group_ends[points.own_groups] + 1
    starts = np.unique(np.concatenate([[0], at[points.group_ends < points.values.size - 1], own])).astype(np.intp)
    middle = float(distinct[np.searchsorted(np.cumsum(counts), counts.sum() / 2)]) if distinct.size else 0.0
    return ColumnPlan(
        column=column, group_starts=starts, every_value=exact and points.every_value, exact=exact, center=middle
    )


def _without_crowd(counts: Sequence[int], certain: list[bool], total: int) -> list[bool]:
    """Pool all categories that crowd around the line, where being above it is luck again; then look at the new line."""
    while any(certain) and not all(certain):
        line = (min(compress(counts, certain)) + max(compress(counts, map(not_, certain)))) / 2
        near = [abs(count - line) <= _CROWD_ERRORS * sqrt(2 * line) for count in counts]
        if sum(compress(counts, near)) <= _CROWD_SHARE_MAX * total or not any(map(and_, certain, near)):
            break
        certain = [sure and not close for sure, close in zip(certain, near, strict=True)]
    return certain


def _roughly_by_count(item: tuple[str, int]) -> float:
    """Key of an order in which rare categories lie together, so that a test that merges neighbours pools them.

    Not by count alone: of equally frequent categories the lucky ones would lie together too, and be merged against the
    unlucky (30 alike, 1,000 rows: 70 % of large windows rejected at .05). The name decides within a factor of twenty.
    """
    category, count = item
    return log(count) + _NAME_WEIGHT * digest(category) / 2**64


def _categorical(name: str, role: Role, survey: CategoricalSurvey, categories_max: int) -> ColumnPlan:
    found, total, complete = survey.finish()
    rest = [digest(category) for category, _ in found[categories_max:]]
    others_complete = complete and len(rest) <= _OTHERS_MAX
    names, pools = _pooled(found[:categories_max], found[categories_max:], total)
    counts = np.array([count for _, count in found], dtype=np.int64)
    column = CategoricalColumn(
        name=name,
        role=role,
        categories=names,
        pools=pools,
        others=np.unique(np.array(rest if others_complete else [], dtype=np.uint64)),
        others_complete=others_complete,
        once=int(np.count_nonzero(counts == 1)) if complete else 0,
        twice=int(np.count_nonzero(counts == 2)) if complete else 0,  # noqa: PLR2004
    )
    starts = np.array([*range(column.own), *column.pool_starts], dtype=np.intp)
    return ColumnPlan(column=column, group_starts=starts, every_value=not rest, exact=complete)


def _pooled(
    listed: Sequence[tuple[str, int]], unlisted: Sequence[tuple[str, int]], total: int
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Order the listed categories by groups, and say how many lie in each pool.

    A category that is among the frequent ones by luck has too large a count, and the pool of the others one too small: test
    the two against each other and unchanged traffic drifts (200 equally frequent categories, 10,000 rows: 89 % of windows
    at .05). So a category has a group of its own only when its count is three standard errors above what would have put it
    into the pool, and a pool that is large is parted by the digests of names, which know nothing of counts.
    """
    counts = [count for _, count in listed]
    cut = max(_GROUP_SHARE_MIN * total, counts[_CATEGORY_GROUPS_MAX] if len(counts) > _CATEGORY_GROUPS_MAX else 0)
    certain = [count - cut > _CERTAIN_ERRORS * sqrt(count + cut) for count in counts]
    certain = _without_crowd(counts, certain, total)
    own = sorted(compress(listed, certain), key=_roughly_by_count, reverse=True)
    pooled = [item for item, sure in zip(listed, certain, strict=True) if not sure]
    share = sum(count for _, count in (*pooled, *unlisted)) / max(total, 1)
    n_pools = max(1, min(_POOLS_MAX, int(share / _POOL_SHARE_MIN), len(pooled)))
    pools: list[list[str]] = [[] for _ in range(n_pools)]
    for category, _ in pooled:
        pools[digest(category) % n_pools].append(category)
    return (*(category for category, _ in own), *(category for pool in pools for category in pool)), tuple(
        map(len, pools)
    )
