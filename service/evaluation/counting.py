"""Rows to counts per window. A column that breaks is set aside with its error; the others are counted."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from detectors.arrays import Counts
from detectors.binning import Binner, Values
from detectors.reference import Reference

__all__ = ["WindowCounts"]


class WindowCounts:
    """Counts of each window that has had a row.

    Parameters
    ----------
    reference : Reference
    """

    def __init__(self, reference: Reference) -> None:
        self._binner = Binner(reference.columns)
        self._columns = {column.name: index for index, column in enumerate(reference.columns)}
        self._counts: dict[int, npt.NDArray[np.int64]] = {}
        self._rows: dict[int, int] = {}
        self.errors: dict[str, str] = {}
        self.ignored: set[str] = set()

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
        if not n_rows:
            return
        starts, part = np.unique(starts_us, return_inverse=True)
        part = part.astype(np.intp)
        known = {name: values for name, values in columns.items() if name in self._columns}
        try:
            counts = self._binner.count_by(known, part, starts.size)
        except Exception:  # noqa: BLE001 - which column it was is found out below
            counts = self._count_one_by_one(known, part, starts.size)
        rows = np.bincount(part, minlength=starts.size).tolist()
        for row, start in enumerate(starts.tolist()):
            kept = self._counts.setdefault(start, np.zeros(counts.shape[1], dtype=np.int64))
            kept += counts[row]
            self._rows[start] = self._rows.get(start, 0) + rows[row]

    def windows(self) -> list[tuple[int, int, Counts]]:
        """Start, rows and counts of each window, in time order."""
        return [(start, self._rows[start], Counts(self._counts[start])) for start in sorted(self._counts)]

    def _count_one_by_one(self, columns: Mapping[str, Values], part: npt.NDArray[np.intp], n_parts: int) -> Counts:
        sound = dict(columns)
        for name, values in columns.items():
            try:
                self._binner.bins(self._columns[name], values)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this column's own
                self.errors[name] = f"could not be counted ({type(error).__name__})"
                del sound[name]
        return self._binner.count_by(sound, part, n_parts)
