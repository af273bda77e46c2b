r"""Largest change of any one group's share.

.. math:: L_\infty = \max_k |p_k - q_k|

What TensorFlow Data Validation and SageMaker use for categories.
"""

import numpy as np

from detectors.arrays import FloatArray
from detectors.comparison import Comparison

__all__ = ["l_infinity"]


def l_infinity(comparison: Comparison) -> FloatArray:
    """Largest change of a group's share.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        0 to 1, unsmoothed shares; NaN without rows on either side.
    """
    q, p = comparison.groups.shares
    return np.maximum.reduceat(np.abs(p - q), comparison.groups.starts, axis=-1)
