r"""Population stability index, its bias, and what is left without it.

.. math:: \mathrm{PSI} = \sum_k (p_k - q_k) \ln (p_k / q_k)

which is Jeffreys' divergence, KL(p||q) + KL(q||p). Without any change its expectation is about (K - 1)(1/n + 1/m): that is
why "PSI > 0.2" means one thing at 100 rows and another at 10,000. `psi_excess` takes that bias off, so that windows of
different sizes can be compared; it is signed, and near zero when nothing changed. For a shift of the mean by d standard
deviations PSI is about 0.96 d^2 on deciles: 0.01 at 0.1, 0.24 at 0.5.

References
----------
.. [1] Jeffreys (1946), "An invariant form for the prior probability in estimation problems".
.. [2] Yurdakul, Naranjo (2020), "Statistical properties of the population stability index", eq. 9.
"""

import numpy as np

from detectors.arrays import FloatArray
from detectors.comparison import Comparison, GroupPair
from detectors.proportions import smoothed

__all__ = ["excess_of", "psi", "psi_bias", "psi_excess", "psi_of"]


def psi(comparison: Comparison) -> FloatArray:
    """Population stability index of each column.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        From 0 up, natural logarithm, smoothed shares; NaN without rows on either side.
    """
    return psi_of(comparison.groups)


def psi_excess(comparison: Comparison) -> FloatArray:
    """PSI less its bias: signed, comparable between windows of any size.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        NaN without rows on either side.
    """
    return excess_of(comparison.groups)


def psi_of(groups: GroupPair) -> FloatArray:
    """PSI of groups that need not belong to a reference, such as missing and present."""
    p, q = smoothed(groups)
    return groups.total((p - q) * np.log(p / q))


def psi_bias(groups: GroupPair) -> FloatArray:
    """Expectation of the smoothed PSI when nothing changed.

    Parameters
    ----------
    groups : GroupPair

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        (K - 1) (n / (n + K/2)^2 + 1/m), K counting the groups that have a row.
    """
    n, m, filled = groups.rows, groups.reference_rows, groups.filled
    with np.errstate(divide="ignore", invalid="ignore"):
        return (filled - 1) * (n / (n + filled / 2) ** 2 + 1 / m)


def excess_of(groups: GroupPair) -> FloatArray:
    """PSI less its bias, of any groups."""
    return psi_of(groups) - psi_bias(groups)
