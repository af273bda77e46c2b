"""The second pass over the training data: counts, means and blocks; then the reference."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, Counts, IndexArray, frozen
from detectors.binning.binner import Binner
from detectors.binning.numbers import as_numbers
from detectors.binning.values import Numbers, Values
from detectors.reference.finish import Finished, finished
from detectors.reference.model import Blocks, Reference
from detectors.reference.plan import ColumnPlan

__all__ = ["Builder"]


class Builder:
    """Counts the rows of a training set into a reference.

    Parameters
    ----------
    plans : sequence of ColumnPlan
        One a column, at least one.
    """

    def __init__(self, plans: Sequence[ColumnPlan]) -> None:
        self._plans = tuple(plans)
        self._binner = Binner([plan.column for plan in plans])
        layout = self._binner.layout
        self._counts = np.zeros(layout.n_bins_total, dtype=np.int64)
        self._sums = np.zeros(layout.n_bins_total)
        self._squares = np.zeros(len(plans))
        self._segments = [_segment_of_bin(plan) for plan in plans]
        sizes = [int(segment[-1]) + 1 for segment in self._segments]
        self._segment_offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
        self._blocks: dict[int, npt.NDArray[np.int64]] = {}
        self._block_rows: dict[int, int] = {}
        self.rows = 0

    def add(
        self, columns: Mapping[str, Values], n_rows: int, block_starts_s: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Count the next rows.

        Parameters
        ----------
        columns : mapping of str to Values
            Each of length `n_rows`.
        n_rows : int
        block_starts_s : ndarray of int64, shape [n_rows], optional
            Start of the base window that each row belongs to, seconds; given always or never.
        """
        numeric = {plan.column.name for plan in self._plans if plan.column.kind == "numeric"}
        columns = {name: as_numbers(values) if name in numeric else values for name, values in columns.items()}
        starts, part = _parts(block_starts_s, n_rows)
        blocks = np.zeros((starts.size, self._segment_offsets[-1]), dtype=np.int64)
        for index, bins, observed in self._binner.observed_bins(columns, n_rows):
            where = observed if observed is not None else slice(None)
            self._add_column(index, columns.get(self._plans[index].column.name), bins[where], where)
            low, high = self._segment_offsets[index : index + 2].tolist()
            flat = part[where] * (high - low) + self._segments[index][bins[where]]
            blocks[:, low:high] = np.bincount(flat, minlength=starts.size * (high - low)).reshape(starts.size, -1)
        rows = np.bincount(part, minlength=starts.size)
        for block, (start, count) in enumerate(zip(starts.tolist(), rows.tolist(), strict=True)):
            kept = self._blocks.setdefault(start, np.zeros(blocks.shape[1], dtype=np.int64))
            kept += blocks[block]
            self._block_rows[start] = self._block_rows.get(start, 0) + count
        self.rows += n_rows

    def finish(
        self,
        *,
        model: str,
        version: str,
        created_at: str,
        window: str,
        time_zone: str,
        time_column: str | None,
        sample_rows: int,
        provenance: Mapping[str, object],
    ) -> Reference:
        """Make the reference of everything that was added.

        Parameters
        ----------
        model, version, created_at, window, time_zone, sample_rows, provenance
            As in `Reference`.
        time_column : str or None
            Without one the blocks mean nothing and are left out.

        Returns
        -------
        Reference
        """
        finished = [self._finish_column(index) for index in range(len(self._plans))]
        return Reference(
            model=model,
            version=version,
            created_at=created_at,
            rows=self.rows,
            window=window,
            time_zone=time_zone,
            time_column=time_column,
            columns=tuple(item.column for item in finished),
            counts=Counts(frozen(np.concatenate([item.counts for item in finished]))),
            group_starts=tuple(item.group_starts for item in finished),
            means=frozen(np.concatenate([item.means for item in finished])),
            mean=frozen(np.array([item.mean for item in finished])),
            deviation=frozen(np.array([item.deviation for item in finished])),
            exact=frozen(np.array([plan.exact for plan in self._plans], dtype=np.bool_)),
            sample_rows=sample_rows,
            blocks=self._finish_blocks() if time_column is not None else None,
            provenance=provenance,
        )

    def _add_column(self, index: int, values: Values | None, bins: IndexArray, where: BoolArray | slice) -> None:
        start, end = self._binner.layout.offsets[index : index + 2].tolist()
        self._counts[start:end] += np.bincount(bins, minlength=end - start)
        if not isinstance(values, Numbers):
            return
        numbers = values.values[where].astype(np.float64, copy=False)
        with np.errstate(
            all="ignore"
        ):  # sums of 1e300 overflow to inf, and NaN only reaches the bins of missing values
            self._sums[start:end] += np.bincount(bins, weights=numbers, minlength=end - start)
            squares = np.bincount(bins, weights=np.square(numbers - self._plans[index].center), minlength=end - start)
        self._squares[index] += squares[1:-3].sum()  # infinities lie in the outermost bins

    def _finish_column(self, index: int) -> Finished:
        start, end = self._binner.layout.offsets[index : index + 2].tolist()
        return finished(self._plans[index], self._counts[start:end], self._sums[start:end], float(self._squares[index]))

    def _finish_blocks(self) -> Blocks:
        starts = sorted(self._blocks)
        counts = [self._blocks[start] for start in starts]
        return Blocks(
            starts_s=frozen(np.array(starts, dtype=np.int64)),
            rows=frozen(np.array([self._block_rows[start] for start in starts], dtype=np.int64)),
            counts=frozen(np.array(counts, dtype=np.int64).reshape(len(starts), int(self._segment_offsets[-1]))),
        )


def _parts(starts_s: npt.NDArray[np.int64] | None, n_rows: int) -> tuple[npt.NDArray[np.int64], IndexArray]:
    if starts_s is None:
        return np.zeros(1, dtype=np.int64), np.zeros(n_rows, dtype=np.intp)
    starts, part = np.unique(starts_s, return_inverse=True)
    return starts, part.astype(np.intp)


def _segment_of_bin(plan: ColumnPlan) -> IndexArray:
    value_bins = plan.column.value_bins
    groups = np.zeros(value_bins, dtype=np.intp)
    groups[plan.group_starts[1:]] = 1
    group_of_bin = np.cumsum(groups)
    last = int(group_of_bin[-1])
    return np.concatenate([group_of_bin, [last + 1, last + 2]]).astype(np.intp)
