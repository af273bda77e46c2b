"""Data quality: shares of rows that are missing, invalid, unseen or out of range."""

from functools import cached_property

import numpy as np
import numpy.typing as npt

from detectors.arrays import Counts, FloatArray, sums
from detectors.binning.layout import Layout

__all__ = ["Quality"]


class Quality:
    """Row counts and shares of one window.

    Parameters
    ----------
    layout : Layout
    counts : Counts, shape [..., n_bins_total]
    """

    def __init__(self, layout: Layout, counts: Counts) -> None:
        self.rows: npt.NDArray[np.int64] = sums(counts, layout.starts)
        """All observed rows, missing and invalid ones too; shape [..., n_columns]."""
        self.missing: npt.NDArray[np.int64] = counts[..., layout.missing]
        self.invalid: npt.NDArray[np.int64] = counts[..., layout.invalid]
        self.present: npt.NDArray[np.int64] = self.rows - self.missing - self.invalid
        self.unseen: npt.NDArray[np.int64] = sums(np.where(layout.unseen, counts, 0), layout.starts)
        # A column without any point has one value bin, and nothing can be out of a range that does not exist.
        two_ends = counts[..., layout.starts] + counts[..., layout.missing - 1]
        self.out_of_range: npt.NDArray[np.int64] = np.where(layout.numeric & (layout.value_bins > 1), two_ends, 0)

    @cached_property
    def missing_ratio(self) -> FloatArray:
        """Missing of all observed rows; NaN without rows."""
        return _ratio(self.missing, self.rows)

    @cached_property
    def invalid_ratio(self) -> FloatArray:
        """Invalid of all observed rows; NaN without rows."""
        return _ratio(self.invalid, self.rows)

    @cached_property
    def unseen_ratio(self) -> FloatArray:
        """Present rows whose category the reference never had; NaN without present rows."""
        return _ratio(self.unseen, self.present)

    @cached_property
    def out_of_range_ratio(self) -> FloatArray:
        """Present rows below the reference's minimum or above its maximum; NaN without present rows."""
        return _ratio(self.out_of_range, self.present)


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return part / whole
