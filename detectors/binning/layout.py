"""Where each column's bins lie in the one flat vector of counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.arrays import BoolArray, IndexArray, frozen
from detectors.columns import CategoricalColumn, Column

__all__ = ["Layout", "layout_of"]

_SPECIAL_BINS = 2  # missing, invalid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Offsets of the columns' bins; a column's value bins come first, then `missing`, then `invalid`.

    Parameters
    ----------
    offsets : ndarray of intp, shape [n_columns + 1]
    value_bins : ndarray of intp, shape [n_columns]
    numeric : ndarray of bool, shape [n_columns]
    unseen : ndarray of bool, shape [n_bins_total]
        Bins of categories that the reference never had.
    """

    offsets: IndexArray
    value_bins: IndexArray
    numeric: BoolArray
    unseen: BoolArray

    @property
    def n_bins_total(self) -> int:
        """Length of the flat vector."""
        return int(self.offsets[-1])

    @property
    def starts(self) -> IndexArray:
        """First bin of each column; shape [n_columns]."""
        return self.offsets[:-1]

    @property
    def missing(self) -> IndexArray:
        """Bin of each column's missing values; shape [n_columns]."""
        return self.starts + self.value_bins

    @property
    def invalid(self) -> IndexArray:
        """Bin of each column's invalid values; shape [n_columns]."""
        return self.missing + 1


def layout_of(columns: Sequence[Column]) -> Layout:
    """Lay the bins of columns side by side, in their order."""
    value_bins = np.array([column.value_bins for column in columns], dtype=np.intp)
    offsets = np.concatenate([[0], np.cumsum(value_bins + _SPECIAL_BINS)]).astype(np.intp)
    numeric = np.array([column.kind == "numeric" for column in columns], dtype=np.bool_)
    unseen = np.zeros(int(offsets[-1]), dtype=np.bool_)
    for start, column in zip(offsets.tolist(), columns, strict=False):
        if isinstance(column, CategoricalColumn):
            unseen[[start + place for place in column.unseen_bins]] = True
    return Layout(
        offsets=frozen(offsets), value_bins=frozen(value_bins), numeric=frozen(numeric), unseen=frozen(unseen)
    )
