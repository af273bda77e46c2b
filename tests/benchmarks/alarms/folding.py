"""From the cells of a stream to the product's groups, and the product's own reference of it.

Groups are chosen by the product's code from the reference's values, as `reference build` does: deciles, a group a value up
to 20 distinct ones, categories of their own and a pool. The segments of a stream are therefore those of the reference that
`Folding.reference_of` returns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cells import Kind, cells_of

from detectors.arrays import Counts, frozen
from detectors.binning.edges import edges_of
from detectors.columns import CategoricalColumn, NumericColumn
from detectors.reference import Blocks, Reference
from detectors.reference.finish import Finished, finished
from detectors.reference.plan import numeric_plan
from detectors.reference.pools import pooled

__all__ = ["SPECIAL_CELLS", "Folding", "folding_of"]

SPECIAL_CELLS = 2
"""Missing and invalid, after a column's cells as after its bins."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Folding:
    """How cells fold into segments, and what else the reference's values say.

    Parameters
    ----------
    order : ndarray of intp, shape [n_cells_total]
        Cells in the order of the product's bins: categories lie otherwise there.
    segment_starts : ndarray of intp, shape [n_segments]
        Places in `order` at which segments start.
    offsets : ndarray of intp, shape [n_columns + 1]
        First segment of each column, and the total.
    columns : tuple of Finished
    """

    order: npt.NDArray[np.intp]
    segment_starts: npt.NDArray[np.intp]
    offsets: npt.NDArray[np.intp]
    columns: tuple[Finished, ...]

    def segments(self, cells: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
        """Fold counts per cell, [n_windows, n_cells_total], into counts per segment."""
        return np.add.reduceat(cells[:, self.order], self.segment_starts, axis=1, dtype=np.int64)

    def reference_of(
        self, starts_s: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
    ) -> Reference:
        """Make the product's reference of the stream that this folding was made from."""
        return Reference(
            model="benchmark",
            version="1",
            created_at="2026-01-01T00:00:00Z",
            rows=int(rows.sum()),
            window="1h",
            time_zone="UTC",
            time_column="time",
            columns=tuple(item.column for item in self.columns),
            counts=Counts(frozen(np.concatenate([item.counts for item in self.columns]))),
            group_starts=tuple(item.group_starts for item in self.columns),
            means=frozen(np.concatenate([item.means for item in self.columns])),
            mean=frozen(np.array([item.mean for item in self.columns])),
            deviation=frozen(np.array([item.deviation for item in self.columns])),
            exact=frozen(np.ones(len(self.columns), dtype=np.bool_)),
            sample_rows=0,
            blocks=Blocks(starts_s=starts_s, rows=rows, counts=counts),
        )


def folding_of(kinds: Sequence[Kind], cells: npt.NDArray[np.int64]) -> Folding:
    """Choose groups from the reference's counts per cell of all columns, shape [n_cells_total]."""
    orders, starts, sizes, columns, first = [], [], [], [], 0
    for index, kind in enumerate(kinds):
        n_cells = cells_of(kind.name, kind.size).values.size
        counts = cells[first : first + n_cells + SPECIAL_CELLS]
        make = _numeric if kind.numeric else _categorical
        column, order, groups = make(f"column {index}", kind, counts)
        orders.append(first + np.concatenate([order, [n_cells, n_cells + 1]]))
        starts.append(first + np.concatenate([groups, [n_cells, n_cells + 1]]))
        sizes.append(starts[-1].size)
        columns.append(column)
        first += n_cells + SPECIAL_CELLS
    return Folding(
        order=np.concatenate(orders).astype(np.intp),
        segment_starts=np.concatenate(starts).astype(np.intp),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp),
        columns=tuple(columns),
    )


_Parts = tuple[Finished, npt.NDArray[np.intp], npt.NDArray[np.intp]]


def _numeric(name: str, kind: Kind, counts: npt.NDArray[np.int64]) -> _Parts:
    values, special = cells_of(kind.name, kind.size).values, counts[-SPECIAL_CELLS:]
    own = counts[:-SPECIAL_CELLS]
    plan = numeric_plan(name, "input", values[own > 0], own[own > 0], exact=True)
    bins = _bins(plan.column, values)
    n_bins = plan.column.value_bins
    column = finished(
        plan,
        np.concatenate([np.bincount(bins, own, n_bins).astype(np.int64), special]),
        np.concatenate([np.bincount(bins, own * values, n_bins), np.zeros(SPECIAL_CELLS)]),
        float(own @ np.square(values - plan.center)),
    )
    groups = np.searchsorted(column.group_starts, _bins(column.column, values), side="right") - 1
    return column, np.arange(values.size), np.searchsorted(groups, np.arange(column.group_starts.size))


def _bins(column: NumericColumn, values: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    return np.searchsorted(edges_of(column.points, column.atoms, "float64").values, values)


def _categorical(name: str, kind: Kind, counts: npt.NDArray[np.int64]) -> _Parts:
    found = sorted(((f"category {k}", int(counts[k])) for k in range(kind.size)), key=lambda item: -item[1])
    names, pools = pooled(found, int(counts[: kind.size].sum()))
    order = [int(name.rpartition(" ")[2]) for name in names]
    column = CategoricalColumn(name=name, role="input", categories=names, pools=pools, others=np.empty(0, np.uint64))
    if len(pools) > 1:
        raise ValueError(f"{name}: {len(pools)} pools, and the streams have a cell for one")
    # The one cell after the categories stands for `other` and `unseen`, which stay empty.
    bins = np.concatenate([counts[order], counts[kind.size : kind.size + 1], [0], counts[-SPECIAL_CELLS:]])
    column_finished = Finished(
        column=column,
        counts=bins,
        group_starts=np.array([*range(column.own), *column.pool_starts], dtype=np.intp),
        means=np.full(bins.size, np.nan),
        mean=np.nan,
        deviation=np.nan,
    )
    return column_finished, np.array([*order, kind.size]), np.arange(column.own + 1)
