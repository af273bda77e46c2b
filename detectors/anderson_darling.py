r"""Anderson-Darling statistic for two samples.

.. math:: A^2 = \frac{n m}{n + m} \sum_k w_k \frac{(F_p - F_q)_k^2}{H_k (1 - H_k)}, \quad H = \frac{n F_p + m F_q}{n + m}

The Cramer-von Mises statistic with more weight on the tails. On the fine bins; the last one, where H is 1, adds nothing.

References
----------
.. [1] Scholz, Stephens (1987), "K-sample Anderson-Darling tests", eq. 6.
"""

import numpy as np

from detectors.arrays import FloatArray
from detectors.comparison import Comparison

__all__ = ["anderson_darling"]


def anderson_darling(comparison: Comparison) -> FloatArray:
    """Anderson-Darling statistic.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        From 0 up; NaN for categorical columns or without rows on either side.
    """
    fine = comparison.fine
    total = fine.rows + fine.reference_rows
    below = (fine.sums + fine.reference_sums).astype(np.float64)
    variance = below * (fine.each(total) - below)  # (n + m)^2 H (1 - H), exact while it is an integer
    weight = (fine.current + fine.reference) * fine.each(total)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(variance > 0, weight * np.square(fine.gap) / variance, 0.0 * fine.gap)
    summed = np.add.reduceat(terms, fine.starts, axis=-1) if fine.starts.size else terms
    return fine.spread(fine.effective * summed)
