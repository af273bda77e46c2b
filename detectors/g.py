r"""G statistic: the likelihood-ratio counterpart of Pearson's.

.. math:: G = 2 \sum_k c_k \ln \frac{c_k N}{(c_k + r_k) n} + r_k \ln \frac{r_k N}{(c_k + r_k) m}, \quad N = n + m

Displayed, not tested with: below about 15 rows a group it rejects too often, and Pearson's does not. Equal to
`scipy.stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")`.

References
----------
.. [1] Wilks (1935), "The likelihood test of independence in contingency tables", eq. 6.
"""

import numpy as np
from scipy.special import xlogy

from detectors.arrays import FloatArray
from detectors.comparison import Comparison

__all__ = ["g"]


def g(comparison: Comparison) -> FloatArray:
    """G statistic on the groups of the reference.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    ndarray of float64, shape [..., n_columns]
        From 0 up; NaN without rows on either side.
    """
    groups = comparison.groups
    q, p = groups.shares
    n, m = groups.each(groups.rows), groups.each(groups.reference_rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (groups.current + groups.reference) / (n + m)
        terms = xlogy(groups.current, p / pooled) + xlogy(groups.reference, q / pooled)
    return np.maximum(2 * groups.total(np.where(pooled == 0, 0.0, terms)), 0.0)
