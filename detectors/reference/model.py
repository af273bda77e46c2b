"""The reference: the fitted past of one model version.

It is the same thing as the traffic, counts per stretch of time: pooled fine counts, and group counts for each base window
in time order ("blocks"), from which the natural difference between windows can be learned. It holds no row; points, means
and category names are values of the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, Counts, FloatArray, IndexArray, sums
from detectors.binning.layout import Layout, layout_of
from detectors.columns import Column

__all__ = ["Blocks", "Reference"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blocks:
    """Group counts of each base window of the reference, in time order.

    Parameters
    ----------
    starts_s : ndarray of int64, shape [n_blocks]
        Starts of the windows, seconds since the epoch, increasing. Windows without a row are left out.
    rows : ndarray of int64, shape [n_blocks]
    counts : ndarray of int64, shape [n_blocks, n_segments]
        Rows per segment; see `Reference.segment_starts`.
    """

    starts_s: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """A reference, complete and immutable.

    Parameters
    ----------
    model, version : str
    created_at : str
        RFC 3339.
    rows : int
        Rows of the training data, rejected ones left out.
    window : str
        Base window, as a duration such as `1h`.
    time_zone : str
        IANA name; decides where days and weeks begin.
    time_column : str or None
        Where the training data had its times.
    columns : tuple of Column
    counts : Counts, shape [n_bins_total]
        Pooled fine counts.
    group_starts : tuple of ndarray of intp, one a column, each of shape [n_groups]
        Local bins at which groups start; the first is 0.
    means : ndarray of float64, shape [n_bins_total]
        Mean of the reference's values in each bin of a numeric column; NaN where there is none.
    mean, deviation : ndarray of float64, shape [n_columns]
        Of the finite values, NaN where there is none or it is not finite.
    exact : ndarray of bool, shape [n_columns]
        False where points were chosen from a sample, or rare categories dropped while counting.
    sample_rows : int
        Rows kept for columns that are not exact.
    blocks : Blocks, optional
        None without a time column.
    provenance : mapping of str to object
    replay : mapping of str to object, optional
        What `detectors.calibration.replay` found when its days were held out, so that it need not be found again; no part
        of what the reference is.
    """

    model: str
    version: str
    created_at: str
    rows: int
    window: str
    time_zone: str
    time_column: str | None
    columns: tuple[Column, ...]
    counts: Counts
    group_starts: tuple[IndexArray, ...]
    means: FloatArray
    mean: FloatArray
    deviation: FloatArray
    exact: BoolArray
    sample_rows: int
    blocks: Blocks | None = None
    provenance: Mapping[str, object] = field(default_factory=dict)
    replay: Mapping[str, object] | None = None

    @cached_property
    def layout(self) -> Layout:
        """Where each column's bins lie."""
        return layout_of(self.columns)

    @cached_property
    def group_counts(self) -> IndexArray:
        """Number of groups of each column; shape [n_columns]."""
        return np.array([starts.size for starts in self.group_starts], dtype=np.intp)

    @cached_property
    def segment_starts(self) -> IndexArray:
        """Flat bins at which segments start; shape [n_segments].

        Segments of a column: its groups, then missing, then invalid. One `reduceat` over these turns fine counts into
        everything that tests and alarms read.
        """
        layout = self.layout
        parts = [
            np.concatenate([start + groups, [missing, missing + 1]])
            for start, groups, missing in zip(layout.starts, self.group_starts, layout.missing, strict=True)
        ]
        return np.concatenate(parts).astype(np.intp) if parts else np.empty(0, dtype=np.intp)

    @cached_property
    def segment_offsets(self) -> IndexArray:
        """First segment of each column, and the total; shape [n_columns + 1]."""
        return np.concatenate([[0], np.cumsum(self.group_counts + 2)]).astype(np.intp)

    def segments(self, counts: Counts) -> Counts:
        """Fold fine counts into segments: [..., n_bins_total] to [..., n_segments]."""
        return Counts(sums(counts, self.segment_starts))
