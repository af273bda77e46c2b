"""Batches to counts: every value of every row has a bin, so that no row is lost to NaN, outliers or new categories."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from detectors.arrays import BoolArray, Counts, FloatArray, IndexArray
from detectors.binning.categories import CategoryBins
from detectors.binning.edges import Family, edges_of
from detectors.binning.kernel import FlatTables, ranks
from detectors.binning.layout import layout_of
from detectors.binning.numbers import as_numbers
from detectors.binning.table import QUICK_PASSES, Table, table_of
from detectors.binning.values import Numbers, Values, size_of
from detectors.columns import CategoricalColumn, Column, NumericColumn

__all__ = ["Binner"]

# Tables of so many columns stay in L2 together (20 KiB each at 256 points). One flat table of 500 columns takes 38 ns a
# value where panels of 64 take 11.
_PANEL_COLUMNS = 64
_PANEL_ROWS = 2048


class Binner:
    """Bins values with the edges and categories of a reference.

    Lookup tables are made when first needed, by column and number type, and kept.

    Parameters
    ----------
    columns : sequence of Column
        In the order of the flat vector.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        self.layout = layout_of(columns)
        self._numeric: dict[tuple[int, Family], Table] = {}
        self._categorical: dict[int, CategoryBins] = {}
        self._flat: tuple[list[_Panel], IndexArray] | None = None

    def bins(self, index: int, values: Values) -> IndexArray:
        """Bin one column of a batch.

        Parameters
        ----------
        index : int
            Number of the column.
        values : Values

        Returns
        -------
        ndarray of intp, shape [n_rows]
            Local bins: value bins, then missing, then invalid.
        """
        column = self.columns[index]
        if isinstance(column, CategoricalColumn):
            if index not in self._categorical:
                self._categorical[index] = CategoryBins(column)
            return self._categorical[index].bins(values)
        return self.number_bins(index, as_numbers(values))

    def number_bins(self, index: int, numbers: Numbers) -> IndexArray:
        """Bin one numeric column that was already read as numbers; local bins as in `bins`."""
        missing = self.columns[index].value_bins
        table = self._table(index, _family(numbers.values.dtype))
        found = ranks(table, numbers.values, missing)
        for big in numbers.big:
            found[big.rows] = ranks(self._table(index, _family(big.values.dtype)), big.values[big.rows], missing)
        if numbers.missing is not None:
            found[numbers.missing] = missing
        if numbers.invalid is not None:
            found[numbers.invalid] = missing + 1
        return found

    def observed_bins(
        self, columns: Mapping[str, Values], n_rows: int
    ) -> Iterator[tuple[int, IndexArray, BoolArray | None]]:
        """Bin a batch column by column, and tell what was observed.

        A column that an event lacks counts as missing only if the event carries another column of the same role:
        requests and responses often arrive as separate events, and a response is not a request without inputs.

        Parameters
        ----------
        columns : mapping of str to Values
            Columns that the reference does not know are ignored.
        n_rows : int

        Yields
        ------
        (column number, local bins [n_rows], rows that were observed or None for all)
            Columns without an observed row are left out.
        """
        carried = _carried(self.columns, columns, n_rows)
        for index, column in enumerate(self.columns):
            observed = carried.get(column.role)
            if observed is None:
                continue
            everywhere = None if observed.all() else observed
            values = columns.get(column.name)
            if values is None:
                bins = np.full(n_rows, column.value_bins, dtype=np.intp)
            else:
                bins = self.bins(index, values)
                if values.absent is not None:
                    bins[values.absent] = column.value_bins
            yield index, bins, everywhere

    def count(self, columns: Mapping[str, Values], n_rows: int | None = None) -> Counts:
        """Counts of a batch.

        Parameters
        ----------
        columns : mapping of str to Values
            All of one length. Not written to.
        n_rows : int, optional
            Needed only when `columns` is empty.

        Returns
        -------
        Counts, shape [n_bins_total]
        """
        rows = _n_rows(columns, n_rows)
        return Counts(self.count_by(columns, np.zeros(rows, dtype=np.intp), 1)[0])

    def count_by(self, columns: Mapping[str, Values], part: IndexArray, n_parts: int) -> Counts:
        """Counts of a batch, apart for each part of its rows (windows, blocks).

        Parameters
        ----------
        columns : mapping of str to Values
        part : ndarray of intp, shape [n_rows]
            Number of the part that each row belongs to.
        n_parts : int

        Returns
        -------
        Counts, shape [n_parts, n_bins_total]
        """
        counts = np.zeros((n_parts, self.layout.n_bins_total), dtype=np.int64)
        for index, bins, observed in self.observed_bins(columns, part.size):
            start, end = self.layout.offsets[index : index + 2].tolist()
            size = end - start
            if n_parts == 1:
                flat = bins if observed is None else bins[observed]
            else:
                flat = part * size + bins
                flat = flat if observed is None else flat[observed]
            counts[:, start:end] = np.bincount(flat, minlength=n_parts * size).reshape(n_parts, size)
        return Counts(counts)

    def count_rows(self, rows: FloatArray) -> Counts:
        """Counts of a block of rows of the numeric columns alone, all columns at once.

        Parameters
        ----------
        rows : ndarray of float64, shape [n_rows, n_numeric_columns]
            In the order of the numeric columns; NaN is missing.

        Returns
        -------
        Counts, shape [n_bins_total]
            Bins of categorical columns stay 0.
        """
        counts = np.zeros(self.layout.n_bins_total, dtype=np.int64)
        panels, slow = self._panels()
        for panel in panels:
            for start in range(0, rows.shape[0], _PANEL_ROWS):
                block = rows[start : start + _PANEL_ROWS, panel.positions]
                counts[panel.bins] += np.bincount(panel.tables.bins(block).ravel(), minlength=panel.size)
        numeric = np.flatnonzero(self.layout.numeric)
        for position in slow.tolist():
            index = int(numeric[position])
            bins = self.number_bins(index, Numbers(values=np.ascontiguousarray(rows[:, position])))
            start, end = self.layout.offsets[index : index + 2].tolist()
            counts[start:end] += np.bincount(bins, minlength=end - start)
        return Counts(counts)

    def row_positions(self, rows: FloatArray) -> IndexArray:
        """Places in the flat vector of a block of rows of the numeric columns alone, all columns at once.

        Parameters
        ----------
        rows : ndarray of float64, shape [n_rows, n_numeric_columns]
            In the order of the numeric columns; NaN is missing.

        Returns
        -------
        ndarray of intp, shape [n_rows, n_numeric_columns]
        """
        panels, slow = self._panels()
        if len(panels) == 1 and not slow.size:
            found = panels[0].tables.bins(rows)
            return found if panels[0].bins.start == 0 else np.add(found, panels[0].bins.start, out=found)
        found = np.empty(rows.shape, dtype=np.intp)
        for panel in panels:
            found[:, panel.positions] = panel.tables.bins(rows[:, panel.positions]) + panel.bins.start
        numeric = np.flatnonzero(self.layout.numeric)
        for position in slow.tolist():
            index = int(numeric[position])
            bins = self.number_bins(index, Numbers(values=np.ascontiguousarray(rows[:, position])))
            found[:, position] = bins + self.layout.offsets[index]
        return found

    def _table(self, index: int, family: Family) -> Table:
        key = index, family
        if key not in self._numeric:
            column = cast("NumericColumn", self.columns[index])
            self._numeric[key] = table_of(edges_of(column.points, column.atoms, family))
        return self._numeric[key]

    def _panels(self) -> "tuple[list[_Panel], IndexArray]":
        # Columns that need more than three edges a cell would slow all others down: they are binned one by one.
        if self._flat is None:
            numeric = np.flatnonzero(self.layout.numeric)
            tables = [self._table(index, "float64") for index in numeric.tolist()]
            quick = [i for i, table in enumerate(tables) if table.passes <= QUICK_PASSES]
            panels = []
            for first in range(0, len(quick), _PANEL_COLUMNS):
                positions = np.array(quick[first : first + _PANEL_COLUMNS], dtype=np.intp)
                columns = numeric[positions]
                base, end = int(self.layout.offsets[columns[0]]), int(self.layout.offsets[columns[-1] + 1])
                flat = FlatTables.of(
                    [tables[i] for i in positions.tolist()],
                    self.layout.offsets[columns] - base,
                    self.layout.missing[columns] - base,
                    end - base,
                )
                panels.append(
                    _Panel(tables=flat, positions=_as_slice(positions), bins=slice(base, end), size=end - base)
                )
            self._flat = panels, np.setdiff1d(np.arange(numeric.size), quick)
        return self._flat


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Panel:
    tables: FlatTables
    positions: IndexArray | slice  # of the panel's columns among the numeric ones
    bins: slice
    size: int


def _as_slice(positions: IndexArray) -> IndexArray | slice:
    # A slice is a view, a list of positions is a copy.
    first, last = int(positions[0]), int(positions[-1])
    return slice(first, last + 1) if last - first + 1 == positions.size else positions


def _family(dtype: np.dtype[Any]) -> Family:
    return "float64" if dtype == np.float64 else "int64" if dtype == np.int64 else "uint64"


def _n_rows(columns: Mapping[str, Values], n_rows: int | None) -> int:
    sizes = {size_of(values) for values in columns.values()} | ({n_rows} if n_rows is not None else set())
    if len(sizes) != 1:
        raise ValueError(f"columns of a batch: lengths {sorted(sizes)}, wanted one length")
    return sizes.pop()


def _carried(known: Sequence[Column], columns: Mapping[str, Values], n_rows: int) -> dict[str, BoolArray]:
    carried: dict[str, BoolArray] = {}
    for column in known:
        values = columns.get(column.name)
        if values is None:
            continue
        has = np.ones(n_rows, dtype=np.bool_) if values.absent is None else ~values.absent
        carried[column.role] = carried[column.role] | has if column.role in carried else has
    return carried
