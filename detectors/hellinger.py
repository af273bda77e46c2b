r"""Hellinger distance.

.. math:: H = \sqrt{\tfrac12 \sum_k (\sqrt{p_k} - \sqrt{q_k})^2}

A metric between 0 and 1 that needs no smoothing. 8 H^2 is about PSI for small changes.

References
----------
.. [1] Hellinger (1909), "Neue Begründung der Theorie quadratischer Formen von unendlichvielen Veränderlichen".
"""

import numpy as np

from detectors.arrays import FloatArray
from detectors.comparison import Comparison

__all__ = ["hellinger"]


def hellinger(comparison: Comparison) -> FloatArray:
    """Hellinger distance.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        0 to 1, unsmoothed shares; NaN without rows on either side.
    """
    q, p = comparison.groups.shares
    return np.sqrt(comparison.groups.total(np.square(np.sqrt(p) - np.sqrt(q))) / 2)
