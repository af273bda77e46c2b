r"""Total variation distance.

.. math:: \mathrm{TV} = \tfrac12 \sum_k |p_k - q_k|

The share of rows that would have to move to another group. The easiest of all to explain.
"""

import numpy as np

from detectors.arrays import FloatArray
from detectors.comparison import Comparison

__all__ = ["total_variation"]


def total_variation(comparison: Comparison) -> FloatArray:
    """Total variation distance.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        0 to 1, unsmoothed shares; NaN without rows on either side.
    """
    q, p = comparison.groups.shares
    return comparison.groups.total(np.abs(p - q)) / 2
