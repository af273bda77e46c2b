r"""The smallest shift of the mean that a window could have shown.

A shift of a normal column by d standard deviations moves the share of the group between the quantiles z_{k-1} and z_k by
about d (phi(z_{k-1}) - phi(z_k)), so that Pearson's statistic becomes noncentral with

.. math:: \lambda = d^2 \frac{n m}{n + m} \sum_k \frac{(\varphi(z_{k-1}) - \varphi(z_k))^2}{q_k}

(the sum is 0.96 for deciles). The shift is the d whose lambda gives the test 80 % power at the threshold, or the one that
passes the effect gate four times in five, whichever is larger.

References
----------
.. [1] Patnaik (1949), "The non-central chi-square and F-distributions and their applications".
"""

import numpy as np
from scipy.special import chdtri, chndtrinc, ndtri

from detectors.arrays import FloatArray, running_sums
from detectors.comparison import GroupPair

__all__ = ["smallest_detectable_shift"]

_POWER = 0.80
_POWER_Z = float(ndtri(_POWER))


def smallest_detectable_shift(tested: GroupPair, pvalue_threshold: FloatArray, effect_threshold: float) -> FloatArray:
    """Shift, in standard deviations of the reference, that the omnibus test finds four times in five.

    Parameters
    ----------
    tested : GroupPair
        The groups that were tested, after merging.
    pvalue_threshold : ndarray of float64, shape [n_columns]
        The line the p-value of each column's omnibus test has to be below.
    effect_threshold : float
        The PSI that the excess has to be above.

    Returns
    -------
    ndarray of float64, shape [n_columns]
        NaN where the test has fewer than two groups. It means something for numeric columns only.
    """
    n, m = tested.rows.astype(np.float64), tested.reference_rows.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = tested.reference / tested.each(m)
        upper = running_sums(tested.reference, tested.starts, tested.sizes) / tested.each(m)
        density = _density_at(upper)
        before = _density_at(upper - share)
        information = tested.total(np.where(share > 0, np.square(before - density) / share, 0.0))
        degrees = np.maximum(tested.sizes - 1, 1).astype(np.float64)
        noncentral = chndtrinc(chdtri(degrees, pvalue_threshold), degrees, 1 - _POWER)
        by_test = np.sqrt(noncentral / (information * n * m / (n + m)))
        by_gate = (np.sqrt(effect_threshold) + _POWER_Z * np.sqrt(1 / n + 1 / m)) / np.sqrt(information)
        shift = np.maximum(by_test, by_gate)
    return np.where((tested.sizes > 1) & np.isfinite(shift), shift, np.nan)


def _density_at(quantile: FloatArray) -> FloatArray:
    inside = (quantile > 1e-12) & (quantile < 1 - 1e-12)  # noqa: PLR2004 - the density at infinity is 0
    z = ndtri(np.where(inside, quantile, 0.5))
    return np.where(inside, np.exp(-0.5 * np.square(z)) / np.sqrt(2 * np.pi), 0.0)
