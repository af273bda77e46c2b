r"""P-value of the KS statistic on groups.

Kolmogorov's distribution is the one of the supremum over the whole line; on a grid of ten groups it makes a test of size
.025 that claims .05. The right null is the maximum of a Brownian bridge over the grid points:

.. math:: P\Big(\sqrt{\tfrac{nm}{n + m}} \, D \ge x\Big) \to P\big(\max_k |B(t_k)| \ge x\big)

with t_k the distribution function of the reference at the group edges.

The bridge is a Markov chain on the grid, so the probability of staying inside (-x, x) is one small matrix product a step
(Gauss-Legendre in space). A table of it is made once a grid and kept: columns in deciles share one. In the far tail the
union bound over the grid points is used, which is exact there to first order and never too small.

References
----------
.. [1] Durbin (1971), "Boundary-crossing probabilities for the Brownian motion and Poisson processes and techniques for
   computing the power of the Kolmogorov-Smirnov test", section 3.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from detectors.arrays import FloatArray, running_sums
from detectors.comparison import Comparison

__all__ = ["ks_pvalue"]

_NODES = 48
_GRID_STEP_MIN = 0.02  # closer points move together almost surely, and would need more nodes
_TABLE_X = np.linspace(0.1, 2.6, 51)
_TAIL_X = 2.5  # P < 1e-5 from here on


def ks_pvalue(comparison: Comparison) -> FloatArray:
    """P-value of the KS statistic on the groups of each numeric column.

    Parameters
    ----------
    comparison : Comparison
        Of one window.

    Returns
    -------
    ndarray of float64, shape [n_columns]
        NaN for categorical columns, without rows on either side, or with a single group.
    """
    groups = comparison.groups
    n, m = groups.rows.astype(np.float64), groups.reference_rows.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        cdf = running_sums(groups.current, groups.starts, groups.sizes) / groups.each(n)
        cdf_reference = running_sums(groups.reference, groups.starts, groups.sizes) / groups.each(m)
        gap = np.maximum.reduceat(np.abs(cdf - cdf_reference), groups.starts)
        x = gap * np.sqrt(n * m / (n + m))
    pvalue = np.full(x.shape, np.nan)
    for column in comparison.fine.columns.tolist():
        size, start = int(groups.sizes[column]), int(groups.starts[column])
        if size > 1 and np.isfinite(x[column]):
            # Three digits are enough for the null, and let all columns in deciles share one table.
            grid = tuple(np.round(cdf_reference[start : start + size - 1], 3).tolist())
            pvalue[column] = _survival(float(x[column]), grid)
    return pvalue


def _survival(x: float, grid: tuple[float, ...]) -> float:
    inner = np.array([t for t in grid if 0 < t < 1])
    if not inner.size:
        return float("nan")
    union = float(np.minimum(2 * ndtr(-x / np.sqrt(inner * (1 - inner))).sum(), 1.0))
    if x >= _TAIL_X:
        return union
    return min(union, float(np.exp(np.interp(x, _TABLE_X, _log_survival(grid)))))


@lru_cache(maxsize=4096)
def _log_survival(grid: tuple[float, ...]) -> npt.NDArray[np.float64]:
    points: list[float] = []
    for t in sorted(grid):
        if 0 < t < 1 and (not points or t - points[-1] >= _GRID_STEP_MIN):
            points.append(t)
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    y = _TABLE_X[:, None] * node  # [n_x, n_nodes]
    mass = _normal(y, np.zeros_like(y), points[0] * (1 - points[0])) * _TABLE_X[:, None] * weight
    for s, t in pairwise(points):
        mean = y * ((1 - t) / (1 - s))
        step = _normal(y[:, None, :], mean[:, :, None], (t - s) * (1 - t) / (1 - s))
        mass = np.einsum("xi,xij->xj", mass, step) * _TABLE_X[:, None] * weight
    log_survival: FloatArray = np.log(np.clip(1 - mass.sum(axis=1), 1e-12, 1.0))
    return log_survival


def _normal(x: FloatArray, mean: FloatArray, variance: float) -> FloatArray:
    density: FloatArray = np.exp(-0.5 * np.square(x - mean) / variance) / np.sqrt(2 * np.pi * variance)
    return density
