r"""Pearson's chi-square statistic for two samples.

.. math:: X^2 = \sum_k \frac{(c_k \sqrt{m/n} - r_k \sqrt{n/m})^2}{c_k + r_k}

Both sides are samples. Taking the reference as known, as a one-sample test does, inflates the statistic by 1 + n/m and
makes it infinite when a category is new. Equal to `scipy.stats.chi2_contingency(table, correction=False)`.

References
----------
.. [1] Pearson (1911), "On the probability that two independent distributions of frequency are really samples from the
   same population", eq. 3.
"""

import numpy as np

from detectors.arrays import FloatArray
from detectors.comparison import Comparison, GroupPair

__all__ = ["chi2", "chi2_of"]


def chi2(comparison: Comparison) -> FloatArray:
    """Pearson's statistic on the groups of the reference, none merged.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        NaN without rows on either side.
    """
    return chi2_of(comparison.groups)


def chi2_of(groups: GroupPair) -> FloatArray:
    """Pearson's statistic of any groups."""
    n, m = groups.rows.astype(np.float64), groups.reference_rows.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(m / n)
        difference = groups.current * groups.each(root) - groups.reference / groups.each(root)
        terms = np.square(difference) / (groups.current + groups.reference)
    return groups.total(np.where(groups.current + groups.reference == 0, 0.0, terms))
