"""What becomes of a numeric column when all rows are counted: which points stay atoms, means of bins, moments."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, FloatArray, IndexArray, frozen
from detectors.columns import CategoricalColumn, Column, NumericColumn
from detectors.reference.plan import ColumnPlan

__all__ = ["Finished", "bin_means", "final_column", "finished", "moments", "support"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finished:
    """A column of a reference.

    Parameters
    ----------
    column : Column
    counts : ndarray of int64, shape [n_bins]
    group_starts : ndarray of intp, shape [n_groups]
    means : ndarray of float64, shape [n_bins]
    mean, deviation : float
    """

    column: Column
    counts: npt.NDArray[np.int64]
    group_starts: IndexArray
    means: FloatArray
    mean: float
    deviation: float


def finished(plan: ColumnPlan, counts: npt.NDArray[np.int64], totals: FloatArray, squares: float) -> Finished:
    """Make a column of what was counted in the bins of its plan.

    Parameters
    ----------
    plan : ColumnPlan
    counts : ndarray of int64, shape [n_bins]
    totals : ndarray of float64, shape [n_bins]
        Sums of the values in each bin of a numeric column.
    squares : float
        Sum of the squares of its finite values about the plan's center.

    Returns
    -------
    Finished
    """
    if isinstance(plan.column, CategoricalColumn):
        return Finished(
            column=plan.column,
            counts=counts,
            group_starts=plan.group_starts,
            means=np.full(counts.size, np.nan),
            mean=np.nan,
            deviation=np.nan,
        )
    column, kept = final_column(plan.column, counts, plan)
    # Bins between edges that are dropped flow together; the two special bins stay as they are.
    starts = np.flatnonzero(np.concatenate([[True], kept, [True, True]]))
    with np.errstate(over="ignore", invalid="ignore"):
        merged_counts, merged_totals = np.add.reduceat(counts, starts), np.add.reduceat(totals, starts)
    mean, deviation = moments(counts[1:-3], totals[1:-3], squares, plan.center)
    return Finished(
        column=column,
        counts=merged_counts,
        group_starts=frozen(np.searchsorted(starts, plan.group_starts).astype(np.intp)),
        means=bin_means(column, merged_counts, merged_totals),
        mean=mean,
        deviation=deviation,
    )


def final_column(
    column: NumericColumn, counts: npt.NDArray[np.int64], plan: ColumnPlan
) -> tuple[NumericColumn, BoolArray]:
    """Decide which points stay atoms; return the column and which of the plan's edges are kept."""
    own = counts[1:-3:2]
    atoms = np.ones(own.size, dtype=np.bool_) if plan.every_value else own > 1
    atoms[:1] = True
    odd = plan.group_starts % 2 == 1
    atoms[(plan.group_starts[odd] - 1) // 2] = True  # a group that starts at an atom needs the edge below it
    kept = np.stack([atoms, np.ones_like(atoms)], axis=1).reshape(-1)
    final = NumericColumn(name=column.name, role=column.role, points=frozen(column.points), atoms=frozen(atoms))
    return final, kept


def bin_means(column: NumericColumn, counts: npt.NDArray[np.int64], totals: FloatArray) -> FloatArray:
    """Mean of each bin's values, never outside the bin; NaN where there is none (the outer and special bins too)."""
    means = np.full(counts.size, np.nan)
    if not column.points.size:
        return means
    points = column.points.astype(np.float64)
    own = np.arange(points.size) + np.cumsum(column.atoms)  # the bin that ends at each point
    with np.errstate(all="ignore"):
        inner = totals[1:-3] / counts[1:-3]
    upper = np.repeat(points, 1 + column.atoms)[1:]
    lower = np.concatenate([points[:1], upper[:-1]])
    # Rounding of a long sum can leave the bin by an ulp, and a sum that overflowed says nothing but "within the bin".
    means[1:-3] = np.where(counts[1:-3] > 0, np.clip(np.where(np.isfinite(inner), inner, upper), lower, upper), np.nan)
    means[own[column.atoms]] = points[column.atoms]
    return frozen(means)


def moments(counts: npt.NDArray[np.int64], totals: FloatArray, squares: float, center: float) -> tuple[float, float]:
    """Mean and standard deviation of finite values, from sums per bin and the sum of squares about a center.

    NaN without values, or where a sum is beyond a double.
    """
    n = int(counts.sum())
    if not n:
        return float("nan"), float("nan")
    with np.errstate(all="ignore"):
        mean = totals.sum() / n
        variance = squares / n - np.square(mean - center)
    if not np.isfinite(variance):
        return float("nan"), float("nan")
    return float(mean), float(np.sqrt(np.maximum(variance, 0.0)))


def support(column: NumericColumn, means: FloatArray) -> FloatArray:
    """Where rows of each bin lie: the outer bins at the extremes, others at their mean, empty ones in their middle.

    Parameters
    ----------
    column : NumericColumn
    means : ndarray of float64, shape [value_bins]

    Returns
    -------
    ndarray of float64, shape [value_bins]
    """
    if not column.points.size:
        return np.zeros(1)
    points = column.points.astype(np.float64)
    upper = np.append(np.repeat(points, 1 + column.atoms), points[-1])
    lower = np.concatenate([points[:1], upper[:-1]])
    return np.where(np.isnan(means), lower / 2 + upper / 2, means)
