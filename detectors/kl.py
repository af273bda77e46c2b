r"""Kullback-Leibler divergence of the window from the reference.

.. math:: \mathrm{KL}(p \| q) = \sum_k p_k \ln (p_k / q_k)

Not symmetric: how many nats a code made for the reference wastes on the window. About half of PSI for small changes.

References
----------
.. [1] Kullback, Leibler (1951), "On information and sufficiency", eq. 2.4.
"""

import numpy as np

from detectors.arrays import FloatArray
from detectors.comparison import Comparison
from detectors.proportions import smoothed

__all__ = ["kl"]


def kl(comparison: Comparison) -> FloatArray:
    """KL divergence of the window from the reference.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        Nats, from 0 up, smoothed shares; NaN without rows on either side.
    """
    p, q = smoothed(comparison.groups)
    return comparison.groups.total(p * np.log(p / q))
