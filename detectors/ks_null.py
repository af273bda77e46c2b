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
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from detectors.arrays import FloatArray, IndexArray, running_sums
from detectors.comparison import GroupPair

__all__ = ["KsNull", "survival"]

_NODES = 64
# In standard deviations of the widest point: P < 1e-5 beyond.
_TABLE_Z = np.linspace(0.0, 5.0, 51)
# Steps of the bridge below this share of (table end)^2 are too short for the nodes: such points move together.
_STEP_MIN = 0.0015
# Points so near to 0 or 1 have next to no variance; they enter by the union bound.
_VARIANCE_MIN = 0.008


class KsNull:
    """Null distributions of the KS statistic on one reference's groups.

    Parameters
    ----------
    groups : GroupPair
        Of the reference; what it has of a window is not looked at.
    columns : ndarray of intp, shape [n_numeric_columns]
        Numbers of the numeric columns.
    """

    def __init__(self, groups: GroupPair, columns: IndexArray) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            self._cdf = running_sums(groups.reference, groups.starts, groups.sizes) / groups.each(groups.reference_rows)
        by_grid: dict[tuple[float, ...], list[int]] = {}
        for column in columns.tolist():
            start, size = int(groups.starts[column]), int(groups.sizes[column])
            # Three digits are enough for the null, and let all columns in deciles share one table.
            grid = tuple(t for t in np.round(self._cdf[start : start + size - 1], 3).tolist() if 0 < t < 1)
            if grid:
                by_grid.setdefault(grid, []).append(column)
        self._columns_of = {grid: np.array(sharing, dtype=np.intp) for grid, sharing in by_grid.items()}

    def pvalue(self, groups: GroupPair) -> FloatArray:
        """P-value of the KS statistic on the groups of each numeric column.

        Parameters
        ----------
        groups : GroupPair
            Of one window and the same reference.

        Returns
        -------
        ndarray of float64, shape [n_columns]
            NaN for categorical columns, without rows on either side, or with a single group.
        """
        n, m = groups.rows.astype(np.float64), groups.reference_rows.astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            cdf = running_sums(groups.current, groups.starts, groups.sizes) / groups.each(n)
            x = np.maximum.reduceat(np.abs(cdf - self._cdf), groups.starts) * np.sqrt(n * m / (n + m))
        pvalue = np.full(x.shape, np.nan)
        for grid, columns in self._columns_of.items():
            pvalue[columns] = survival(x[columns], grid)
        return pvalue


def survival(x: FloatArray, grid: tuple[float, ...]) -> FloatArray:
    """P(max over the grid of |Brownian bridge| >= x).

    Parameters
    ----------
    x : ndarray of float64, shape [n]
    grid : tuple of float
        Increasing, between 0 and 1.

    Returns
    -------
    ndarray of float64, shape [n]
        NaN where x is.
    """
    deviation = np.sqrt(np.array(grid) * (1 - np.array(grid)))
    tails = 2 * ndtr(-x[:, None] / deviation)
    union = tails.sum(axis=1)
    wide = np.square(deviation) >= _VARIANCE_MIN
    if not wide.any() or deviation.size == 1:
        return np.where(np.isnan(x), np.nan, np.minimum(union, 1.0))
    widest = deviation.max()
    log_survival = _log_survival(tuple(t for t, kept in zip(grid, wide.tolist(), strict=True) if kept))
    table = np.exp(np.interp(x / widest, _TABLE_Z, log_survival)) + tails[:, ~wide].sum(axis=1)
    pvalue: FloatArray = np.minimum(np.where(x >= _TABLE_Z[-1] * widest, union, np.minimum(union, table)), 1.0)
    return pvalue


@lru_cache(maxsize=4096)
def _log_survival(grid: tuple[float, ...]) -> npt.NDArray[np.float64]:
    widest = max(sqrt(t * (1 - t)) for t in grid)
    x = np.maximum(_TABLE_Z, 1e-9) * widest
    points: list[float] = []
    for t in grid:
        if not points or t - points[-1] >= _STEP_MIN * x[-1] ** 2:
            points.append(t)
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    y = x[:, None] * node  # [n_x, n_nodes]
    mass = _normal(y, np.zeros_like(y), points[0] * (1 - points[0])) * x[:, None] * weight
    for s, t in pairwise(points):
        mean = y * ((1 - t) / (1 - s))
        step = _normal(y[:, None, :], mean[:, :, None], (t - s) * (1 - t) / (1 - s))
        mass = np.einsum("xi,xij->xj", mass, step) * x[:, None] * weight
    log_survival: FloatArray = np.log(np.clip(1 - mass.sum(axis=1), 1e-12, 1.0))
    return log_survival


def _normal(x: FloatArray, mean: FloatArray, variance: float) -> FloatArray:
    density: FloatArray = np.exp(-0.5 * np.square(x - mean) / variance) / np.sqrt(2 * np.pi * variance)
    return density
