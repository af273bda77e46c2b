"""Array types that must not be mixed, and the arithmetic of ragged columns.

The bins of all columns lie side by side in one flat vector; `starts` holds where each column begins. Nothing is padded:
sums over a column are `reduceat`, running sums are one `cumsum` less the total in front of the column. Every column has
at least one bin, which is what makes `reduceat` safe (it misreads empty segments).
"""

from typing import Any, NewType

import numpy as np
import numpy.typing as npt

__all__ = ["BoolArray", "Counts", "FloatArray", "IndexArray", "Proportions", "frozen", "running_sums", "sums"]

Counts = NewType("Counts", npt.NDArray[np.int64])
"""Rows per bin, int64."""

Proportions = NewType("Proportions", npt.NDArray[np.float64])
"""Shares per bin; they sum to 1 over a column, or are all NaN where the column has no rows."""

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Make an array read-only and return it: what is stored is not written to."""
    array.flags.writeable = False
    return array


def sums(flat: npt.NDArray[Any], starts: IndexArray) -> npt.NDArray[Any]:
    """Sum over each column of a flat vector.

    Parameters
    ----------
    flat : ndarray, shape [..., n_bins_total]
    starts : ndarray of intp, shape [n_columns]
        First bin of each column; strictly increasing, the first is 0.

    Returns
    -------
    ndarray, shape [..., n_columns]
    """
    return np.add.reduceat(flat, starts, axis=-1)


def running_sums(counts: npt.NDArray[np.int64], starts: IndexArray, sizes: IndexArray) -> npt.NDArray[np.int64]:
    """Running sum within each column, exact because it is integer.

    Parameters
    ----------
    counts : ndarray of int64, shape [..., n_bins_total]
    starts, sizes : ndarray of intp, shape [n_columns]

    Returns
    -------
    ndarray of int64, shape [..., n_bins_total]
    """
    total = np.cumsum(counts, axis=-1)
    before = total[..., starts] - counts[..., starts]
    return total - np.repeat(before, sizes, axis=-1)
