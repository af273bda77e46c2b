"""Between the passes: columns with provisional bins, chosen from the survey.

In the second pass every point is an atom, so that each is counted both on its own and between its neighbours; which atoms
stay is decided when all rows are counted (see `detectors.reference.finish`). Local bins of the plan, for points g0 g1 ...::

    0: (-inf, g0)   1: {g0}   2: (g0, g1)   3: {g1}   4: (g1, g2)   ...
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, IndexArray
from detectors.binning.categories import digest
from detectors.binning.points import RESOLUTION, points_of
from detectors.columns import CategoricalColumn, Column, NumericColumn, Role
from detectors.reference.pools import pooled
from detectors.reference.survey import CategoricalSurvey, NumericSurvey

__all__ = ["CATEGORIES_MAX", "ColumnPlan", "numeric_plan", "plan_of"]

CATEGORIES_MAX = 1000
"""Categories with a bin of their own, by default."""

_OTHERS_MAX = 1 << 16
"""Further categories whose digests are kept, so that `unseen` can be told from `other`: half a megabyte."""


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
        distinct, counts, exact = survey.finish()
        return numeric_plan(name, role, distinct, counts, exact=exact, resolution=resolution)
    return _categorical(name, role, survey, categories_max)


def numeric_plan(
    name: str,
    role: Role,
    distinct: npt.NDArray[Any],
    counts: npt.NDArray[np.int64],
    *,
    exact: bool,
    resolution: int = RESOLUTION,
    single: BoolArray | None = None,
) -> ColumnPlan:
    """Choose the bins and groups of a numeric column whose values are known.

    Parameters
    ----------
    name : str
    role : {"input", "output"}
    distinct : ndarray of float64, int64 or uint64, shape [n]
    counts : ndarray of int64, shape [n]
    exact : bool
        Whether these are all the values of the data.
    resolution : int
    single : ndarray of bool, shape [n], optional
        As for `points_of`, which says more of the others too.

    Returns
    -------
    ColumnPlan
    """
    points = points_of(distinct, counts, resolution, single)
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


def _categorical(name: str, role: Role, survey: CategoricalSurvey, categories_max: int) -> ColumnPlan:
    found, total, complete = survey.finish()
    rest = [digest(category) for category, _ in found[categories_max:]]
    others_complete = complete and len(rest) <= _OTHERS_MAX
    names, pools = pooled(found[:categories_max], total)
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
