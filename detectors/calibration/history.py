"""The reference's base windows as sums of components, and what their strata lead one to expect.

Everything that calibration needs is additive over windows, so a part of the history is held out by subtracting it.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, FloatArray, IndexArray

__all__ = ["Expectation", "History"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Expectation:
    """Mean of each component in each stratum.

    Parameters
    ----------
    means : ndarray of float64, shape [n_strata, n_components]
        Where a stratum has no row, that of all of them.
    """

    means: FloatArray

    def excess(self, sums: FloatArray, rows: FloatArray, of_window: npt.NDArray[np.int64]) -> FloatArray:
        """Sums of windows less what their rows lead to expect: [n_windows, n_components]."""
        expected = self.means[of_window] if self.means.shape[0] > 1 else self.means
        return np.asarray(sums - rows * expected)


@dataclass(frozen=True, kw_only=True, eq=False)
class History:
    """Windows of the reference, in one basis.

    Parameters
    ----------
    sums : ndarray of float64, shape [n_windows, n_components]
        Of each component over the rows of a window.
    rows : ndarray of int64, shape [n_windows, n_traits]
    sizes : ndarray of intp, shape [n_traits]
        Number of components.
    strata : ndarray of int64, shape [n_windows]
    n_strata : int
    places : ndarray of int64, shape [n_windows]
        Number of the base window, counted from the first; what is missing had no rows.
    """

    sums: FloatArray
    rows: npt.NDArray[np.int64]
    sizes: IndexArray
    strata: npt.NDArray[np.int64]
    n_strata: int
    places: npt.NDArray[np.int64]

    @cached_property
    def component_rows(self) -> FloatArray:
        """Rows of the trait of each component; shape [n_windows, n_components]."""
        return np.repeat(self.rows, self.sizes, axis=1).astype(np.float64)

    def expectation(self, held_out: BoolArray | None = None) -> Expectation:
        """What the strata lead to expect, all windows together or without some of them."""
        sums, rows = self._totals
        if held_out is not None:
            less_sums, less_rows = self._of_strata(np.flatnonzero(held_out))
            sums, rows = sums - less_sums, rows - less_rows
        overall = sums.sum(axis=0) / np.maximum(rows.sum(axis=0), 1)
        return Expectation(means=np.where(rows > 0, sums / np.maximum(rows, 1), overall))

    @cached_property
    def _totals(self) -> tuple[FloatArray, FloatArray]:
        return self._of_strata(np.arange(self.strata.size))

    def _of_strata(self, windows: npt.NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        sums = np.zeros((self.n_strata, self.sums.shape[1]))
        rows = np.zeros_like(sums)
        for stratum in np.unique(self.strata[windows]).tolist():
            some = windows[self.strata[windows] == stratum]
            sums[stratum] = self.sums[some].sum(axis=0)
            rows[stratum] = self.component_rows[some].sum(axis=0)
        return sums, rows
