r"""Tests of a share: so many of n rows in the window, so many of m in the reference.

Missing and invalid values, and columns that all but one group of is rare, come down to two bins. Where every one of the
four expected counts is ten or more, Pearson's test holds; below, the hypergeometric distribution is summed exactly.

.. math:: P(X = x) = \binom{K}{x} \binom{N - K}{n - x} / \binom{N}{n}, \quad N = n + m,\; K = c + r

A category that the reference never had gives the familiar :math:`\prod_{i<c} (n - i) / (n + m - i)`. But a reference of
many rare categories never has them all: how often a row of *unchanged* traffic is unseen is estimated by Good and Turing
as (categories seen once) / m, and that is what the unseen are tested against.

References
----------
.. [1] Fisher (1934), "Statistical Methods for Research Workers", section 21.02.
.. [2] Good (1953), "The population frequencies of species and the estimation of population parameters", eq. 15.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, ndtr

from detectors.arrays import FloatArray

__all__ = ["EXPECTED_MIN", "share_pvalue", "unseen_pvalue"]

EXPECTED_MIN = 10.0
"""Expected rows from which on Pearson's test is used."""

# With at most ten rows expected, 64 terms of a tail hold all but 1e-24 of it.
_TERMS = 64


def share_pvalue(
    current: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    reference_rows: npt.NDArray[np.int64],
) -> FloatArray:
    """Two-sided p-value of "the share did not change".

    Parameters
    ----------
    current, reference : ndarray of int64, shape [n_tests]
        Rows that are missing (or what else is asked).
    rows, reference_rows : ndarray of int64, shape [n_tests]
        All rows.

    Returns
    -------
    ndarray of float64, shape [n_tests]
        NaN without rows on either side, or where all or none of the rows are on both.
    """
    lower, upper = _tails(current, rows, reference, reference_rows)
    either = np.minimum(2 * np.minimum(lower, upper), 1.0)
    total = current + reference
    nothing = (rows == 0) | (reference_rows == 0) | (total == 0) | (total == rows + reference_rows)
    return np.where(nothing, np.nan, either)


def unseen_pvalue(
    unseen: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    once: npt.NDArray[np.int64],
    twice: npt.NDArray[np.int64],
    reference_rows: npt.NDArray[np.int64],
) -> FloatArray:
    """One-sided p-value of "no more unseen categories than the reference leads to expect".

    Parameters
    ----------
    unseen, rows : ndarray of int64, shape [n_tests]
        Rows of the window with an unseen category, and all present rows.
    once, twice : ndarray of int64, shape [n_tests]
        Categories that the reference had once and twice.
    reference_rows : ndarray of int64, shape [n_tests]

    Returns
    -------
    ndarray of float64, shape [n_tests]
        NaN without rows on either side, or where nothing is unseen nor was to be expected.
    """
    # The estimate once/m has variance (once + 2 twice)/m^2, more than the once/m^2 of a count: the reference weighs as
    # many rows as give it that variance.
    weight = np.where(once > 0, once / np.maximum(once + 2 * twice, 1), 1.0)
    known = np.floor(once * weight).astype(np.int64)
    weighed = np.maximum(np.round(reference_rows * weight), 1).astype(np.int64)
    _, upper = _tails(unseen, rows, known, weighed)
    return np.where((rows == 0) | (reference_rows == 0) | (unseen + once == 0), np.nan, upper)


def _tails(
    current: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    reference_rows: npt.NDArray[np.int64],
) -> tuple[FloatArray, FloatArray]:
    """P(X <= current) and P(X >= current), given the totals."""
    n, m, c, r = (array.astype(np.float64) for array in (rows, reference_rows, current, reference))
    total, marked = n + m, c + r
    # The rarer outcome on the smaller side: what is expected there is the least of the four expectations.
    rarer = marked <= total / 2
    in_window = n <= m
    side = np.where(in_window, n, m)
    x = np.where(in_window, np.where(rarer, c, n - c), np.where(rarer, r, m - r))
    rare = np.where(rarer, marked, total - marked)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = side * rare / total
        sd = np.sqrt(expected * (1 - rare / total) * (np.maximum(n, m) / total))
        z = (x - expected) / sd
    low, high = np.where(rare > 0, ndtr(z), 1.0), np.where(rare > 0, ndtr(-z), 1.0)
    few = (expected < EXPECTED_MIN) & (rare > 0)  # nothing marked, or everything, needs no tail
    if few.any():
        low[few], high[few] = _exact_tails(x[few], side[few], rare[few], total[few])
    # Few marked rows in the window are many in the reference, and few unmarked are many marked.
    swapped = rarer != in_window
    return np.where(swapped, high, low), np.where(swapped, low, high)


def _exact_tails(
    x: FloatArray, drawn: FloatArray, marked: FloatArray, total: FloatArray
) -> tuple[FloatArray, FloatArray]:
    def choose(n: FloatArray, k: FloatArray) -> FloatArray:
        logarithm: FloatArray = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        return logarithm

    rest = total - marked - drawn
    at = np.exp(choose(marked, x) + choose(total - marked, drawn - x) - choose(total, drawn))
    j = x[:, None] + np.arange(_TERMS)
    up = (marked[:, None] - j) * (drawn[:, None] - j) / ((j + 1) * (rest[:, None] + j + 1))
    i = np.where((x < _TERMS)[:, None], x[:, None] - np.arange(_TERMS), 0.0)  # from 64 rows on it is not used
    down = i * (rest[:, None] + i) / ((marked[:, None] - i + 1) * (drawn[:, None] - i + 1))
    high = at * (1 + np.cumprod(np.maximum(up, 0.0), axis=1).sum(axis=1))
    low = at * (1 + np.cumprod(np.maximum(down, 0.0), axis=1).sum(axis=1))
    # More than 64 terms below x only where next to nothing lies above it.
    low = np.where(x >= _TERMS, 1 - high + at, low)
    return np.minimum(low, 1.0), np.minimum(high, 1.0)
