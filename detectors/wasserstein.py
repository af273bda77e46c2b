r"""Wasserstein-1 distance: how far the mass has to be moved.

.. math:: W_1 = \int |F_p - F_q| \, dx = \sum_k |F_p - F_q|_k (x_{k+1} - x_k)

x are the means of the reference's rows in each bin. Rows outside the range of the reference are taken to lie at its
minimum or maximum, so the distance is a lower bound when many are. In the units of the column, or over the reference's
standard deviation.

References
----------
.. [1] Vallender (1974), "Calculation of the Wasserstein distance between probability distributions on the line".
"""

import numpy as np

from detectors.arrays import FloatArray
from detectors.comparison import Comparison, FinePair

__all__ = ["wasserstein", "wasserstein_normed"]


def wasserstein(comparison: Comparison) -> FloatArray:
    """Wasserstein-1 distance in units of the column.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        From 0 up; NaN for categorical columns, without rows on either side, or where the range is beyond a double.
    """
    return comparison.fine.spread(_distance(comparison.fine))


def wasserstein_normed(comparison: Comparison) -> FloatArray:
    """Wasserstein-1 distance over the standard deviation of the reference.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        NaN as for `wasserstein`, and where the deviation is zero or not finite.
    """
    fine = comparison.fine
    with np.errstate(divide="ignore", invalid="ignore"):
        return fine.spread(np.where(fine.deviation > 0, _distance(fine) / fine.deviation, np.nan))


def _distance(fine: FinePair) -> FloatArray:
    with np.errstate(over="ignore", invalid="ignore"):
        width = np.append(np.diff(fine.support), 0.0)
        width[fine.ends] = 0.0
        distance = np.add.reduceat(fine.gap * width, fine.starts, axis=-1) if fine.starts.size else fine.gap
    return np.where(np.isfinite(distance), distance, np.nan)
