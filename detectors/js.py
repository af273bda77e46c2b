r"""Jensen-Shannon distance.

.. math:: d = \sqrt{\tfrac12 \mathrm{KL}(p \| M) + \tfrac12 \mathrm{KL}(q \| M)}, \quad M = (p + q) / 2

A metric, finite without smoothing, in base 2 between 0 and 1: the *square root* of the divergence, as in scipy. Other
tools publish the divergence, or base e; a threshold of 0.1 means different things to each.

References
----------
.. [1] Lin (1991), "Divergence measures based on the Shannon entropy", eq. 4.1.
.. [2] Endres, Schindelin (2003), "A new metric for probability distributions".
"""

import numpy as np
from scipy.special import rel_entr

from detectors.arrays import FloatArray
from detectors.comparison import Comparison

__all__ = ["js_distance"]


def js_distance(comparison: Comparison) -> FloatArray:
    """Jensen-Shannon distance, base 2.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        0 to 1, unsmoothed shares; NaN without rows on either side.
    """
    q, p = comparison.groups.shares
    middle = (p + q) / 2
    divergence = comparison.groups.total(rel_entr(p, middle) + rel_entr(q, middle)) / 2
    distance: FloatArray = np.sqrt(np.maximum(divergence, 0.0) / np.log(2.0))
    return distance
