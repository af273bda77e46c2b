r"""Cramer-von Mises statistic for two samples.

.. math:: T = \frac{n m}{n + m} \sum_k w_k (F_p - F_q)_k^2, \quad w_k = \frac{c_k + r_k}{n + m}

On the fine bins; rows in one bin count as ties at its right edge.

References
----------
.. [1] Anderson (1962), "On the distribution of the two-sample Cramér-von Mises criterion", eq. 2.
"""

import numpy as np

from detectors.arrays import FloatArray
from detectors.comparison import Comparison

__all__ = ["cramer_von_mises"]


def cramer_von_mises(comparison: Comparison) -> FloatArray:
    """Cramer-von Mises statistic.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        From 0 up; NaN for categorical columns or without rows on either side.
    """
    fine = comparison.fine
    pooled = fine.current + fine.reference
    total = np.add.reduceat(pooled * np.square(fine.gap), fine.starts, axis=-1) if fine.starts.size else fine.gap
    with np.errstate(divide="ignore", invalid="ignore"):
        return fine.spread(fine.effective * total / (fine.rows + fine.reference_rows))
