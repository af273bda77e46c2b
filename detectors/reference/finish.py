"""What becomes of a numeric column when all rows are counted: which points stay atoms, means of bins, moments."""

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, FloatArray, frozen
from detectors.columns import NumericColumn
from detectors.reference.plan import ColumnPlan

__all__ = ["bin_means", "final_column", "moments"]


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
