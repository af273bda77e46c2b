"""Rows to counts per window. A column that breaks is set aside with its error; the others are counted."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.arrays import Counts, IndexArray
from detectors.binning import Binner, Values
from detectors.binning.values import selected
from detectors.reference import Reference

__all__ = ["WindowCounts"]

# Windows whose counts lie open; those of all others are packed, for a row a window would otherwise cost as many bytes
# as a million rows.
_OPEN_MAX = 16
# Counts that one batch may spread over at a time: 32 MiB.
_SLAB_COUNTS = 1 << 22

_Packed = tuple[npt.NDArray[np.uint32], npt.NDArray[np.unsignedinteger[Any]]]


class WindowCounts:
    """Counts of each window that has had a row.

    Parameters
    ----------
    reference : Reference
    """

    def __init__(self, reference: Reference) -> None:
        self._binner = Binner(reference.columns)
        self._columns = {column.name: index for index, column in enumerate(reference.columns)}
        self._open: OrderedDict[int, npt.NDArray[np.int64]] = OrderedDict()
        self._packed: dict[int, _Packed] = {}
        self._rows: dict[int, int] = {}
        self.errors: dict[str, str] = {}
        self.ignored: set[str] = set()
        self.known: set[str] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, columns: Mapping[str, Values], n_rows: int, starts_us: npt.NDArray[np.int64]) -> None:
        """Count the next rows.

        Parameters
        ----------
        columns : mapping of str to Values
            What the reference does not know is ignored and remembered by name.
        n_rows : int
        starts_us : ndarray of int64, shape [n_rows]
            Start of the window that each row belongs to.
        """
        self.ignored.update(columns.keys() - self._columns.keys())
        self.known.update(columns.keys() & self._columns.keys())
        if not n_rows:
            return
        sound = {name: values for name, values in columns.items() if name in self._columns and name not in self.errors}
        starts, part = np.unique(starts_us, return_inverse=True)
        part = part.astype(np.intp)
        for start, count in zip(starts.tolist(), np.bincount(part).tolist(), strict=True):
            self._rows[start] = self._rows.get(start, 0) + count
        at_once = max(1, _SLAB_COUNTS // self._binner.layout.n_bins_total)
        for first in range(0, starts.size, at_once):
            slab = starts[first : first + at_once]
            if slab.size == starts.size:
                self._add(sound, part, slab)
                continue
            rows = (part >= first) & (part < first + at_once)
            some = {name: selected(values, rows) for name, values in sound.items()}
            self._add(some, part[rows] - first, slab)

    def windows(self) -> Iterator[tuple[int, int, Counts]]:
        """Start, rows and counts of each window, in time order."""
        for start in sorted(self._rows):
            yield start, self._rows[start], Counts(self._counts_of(start))

    def _add(self, columns: Mapping[str, Values], part: IndexArray, starts: npt.NDArray[np.int64]) -> None:
        try:
            counts = self._binner.count_by(columns, part, starts.size)
        except Exception:  # noqa: BLE001 - which column it was is found out below
            counts = self._count_one_by_one(columns, part, starts.size)
        for row, start in enumerate(starts.tolist()):
            kept = self._counts_of(start)
            kept += counts[row]
            self._open[start] = kept
            self._open.move_to_end(start)
            if len(self._open) > _OPEN_MAX:
                oldest, dense = self._open.popitem(last=False)
                self._packed[oldest] = _packed(dense)

    def _counts_of(self, start: int) -> npt.NDArray[np.int64]:
        if start in self._open:
            return self._open[start]
        dense = np.zeros(self._binner.layout.n_bins_total, dtype=np.int64)
        if start in self._packed:
            places, counts = self._packed[start]
            dense[places] = counts
        return dense

    def _count_one_by_one(self, columns: Mapping[str, Values], part: IndexArray, n_parts: int) -> Counts:
        sound = dict(columns)
        for name, values in columns.items():
            try:
                self._binner.bins(self._columns[name], values)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this column's own
                self.errors[name] = f"could not be counted ({type(error).__name__})"
                del sound[name]
        return self._binner.count_by(sound, part, n_parts)


def _packed(dense: npt.NDArray[np.int64]) -> _Packed:
    places = np.flatnonzero(dense)
    counts = dense[places]
    return places.astype(np.uint32), counts.astype(np.min_scalar_type(counts.max(initial=0)))
