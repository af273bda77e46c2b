"""Where the values of rows fall in the flat vector of counts, or what they add to it. Pure.

Cells that are all numbers are binned as one matrix. Everything else goes column by column; a column that breaks is counted
as invalid and costs the others nothing.
"""

from collections.abc import Iterator, Mapping
from itertools import repeat

import numpy as np

from detectors.arrays import BoolArray, IndexArray
from detectors.binning import Binner, ColumnValues, Values
from detectors.binning.values import selected
from service.ingest.blocks import Block
from service.ingest.decode import number_matrix, values_of_cells
from service.ingest.fates import Invalid

__all__ = ["column_counts", "column_positions", "matrix_positions", "without"]


def matrix_positions(binner: Binner, block: Block, part: IndexArray | None, invalid: Invalid) -> IndexArray | None:
    """Places of all values of a block whose numeric columns hold nothing but numbers and nulls.

    Parameters
    ----------
    binner : Binner
    block : Block
        With cells; every row of it is counted.
    part : ndarray of intp, shape [rows], or None
        Pane of each row; None if it is one.
    invalid : Invalid
        Where categories of a wrong type are noted.

    Returns
    -------
    ndarray of intp, or None
        In the order of columns, not of rows. None where the slow way is needed.
    """
    try:
        found = _matrix(binner, block, part)
    except Exception:  # noqa: BLE001 - whatever it is, column by column it is found out whose it is
        return None
    if found is None:
        return None
    positions, wrong = found
    for index, bins in wrong:
        _note(binner, index, bins, None, invalid)
    return positions


def column_positions(
    binner: Binner, columns: Mapping[str, Values], part: IndexArray, invalid: Invalid, numbers: IndexArray | None
) -> IndexArray:
    """Places of all observed values of rows in columns.

    Parameters
    ----------
    binner : Binner
    columns : mapping of str to Values
    part : ndarray of intp, shape [rows]
        Pane of each row.
    invalid : Invalid
    numbers : ndarray of intp, shape [rows], or None
        Number of each row for `invalid`; None counts from 0.
    """
    total = binner.layout.n_bins_total
    found = []
    for index, bins, observed in _observed(binner, columns, part.size):
        _note(binner, index, bins, numbers, invalid)
        flat = _at(bins + binner.layout.offsets[index], part, total)
        found.append(flat if observed is None else flat[observed])
    return np.concatenate(found) if found else np.empty(0, dtype=np.intp)


def column_counts(
    binner: Binner, columns: Mapping[str, Values], n_rows: int, invalid: Invalid, numbers: IndexArray | None
) -> IndexArray:
    """What rows of one pane add to the flat vector of counts: as their positions would, without keeping those of all columns.

    Parameters
    ----------
    binner : Binner
    columns : mapping of str to Values
    n_rows : int
    invalid : Invalid
    numbers : ndarray of intp, shape [rows], or None
        Number of each row for `invalid`; None counts from 0.

    Returns
    -------
    ndarray of int64, shape [n_bins_total]
    """
    counts = np.zeros(binner.layout.n_bins_total, dtype=np.int64)
    for index, bins, observed in _observed(binner, columns, n_rows):
        _note(binner, index, bins, numbers, invalid)
        start, end = binner.layout.offsets[index : index + 2].tolist()
        counts[start:end] = np.bincount(bins if observed is None else bins[observed], minlength=end - start)
    return counts


def without(columns: Mapping[str, Values], names: frozenset[str], kept: BoolArray | None) -> dict[str, Values]:
    """Columns that are counted, and of them the rows that are kept."""
    some = {name: values for name, values in columns.items() if name not in names}
    return some if kept is None else {name: selected(values, kept) for name, values in some.items()}


def _matrix(
    binner: Binner, block: Block, part: IndexArray | None
) -> tuple[IndexArray, list[tuple[int, IndexArray]]] | None:
    """Places, and the bins of the columns that are no numbers."""
    columns, places = binner.columns, block.places
    if block.cells is None or any(column.name not in places for column in columns):
        return None
    numeric = [places[column.name] for column in columns if column.kind == "numeric"]
    matrix = number_matrix(block.cells, numeric)
    if matrix is None:
        return None
    total = binner.layout.n_bins_total
    found = [_at(binner.row_positions(matrix), part, total).ravel()] if numeric else []
    others = []
    for index, column in enumerate(columns):
        if column.kind == "numeric":
            continue
        values = values_of_cells([row[places[column.name]] for row in block.cells])
        if values.absent is not None:
            return None
        bins = binner.bins(index, values)
        others.append((index, bins))
        found.append(_at(bins + binner.layout.offsets[index], part, total))
    return (np.concatenate(found) if len(found) > 1 else found[0]), others


def _at(positions: IndexArray, part: IndexArray | None, total: int) -> IndexArray:
    if part is None or not part.any():
        return positions
    return positions + (part * total if positions.ndim == 1 else (part * total)[:, None])


def _note(binner: Binner, index: int, bins: IndexArray, numbers: IndexArray | None, invalid: Invalid) -> None:
    wrong = np.flatnonzero(bins == binner.layout.value_bins[index] + 1)
    if wrong.size:
        invalid.note(binner.columns[index].name, wrong if numbers is None else numbers[wrong])


def _observed(
    binner: Binner, columns: Mapping[str, Values], n_rows: int
) -> Iterator[tuple[int, IndexArray, BoolArray | None]]:
    done = -1
    try:
        for found in binner.observed_bins(columns, n_rows):
            yield found
            done = found[0]
    except Exception:  # noqa: BLE001 - one column that breaks must not cost the others their rows
        yield from (found for found in _observed_one_by_one(binner, columns, n_rows) if found[0] > done)


def _observed_one_by_one(
    binner: Binner, columns: Mapping[str, Values], n_rows: int
) -> Iterator[tuple[int, IndexArray, BoolArray | None]]:
    places = {column.name: index for index, column in enumerate(binner.columns)}
    sound: dict[str, Values] = {}
    for name in columns.keys() & places.keys():
        values = columns[name]
        try:
            binner.bins(places[name], values)
            sound[name] = values
        except Exception:  # noqa: BLE001 - whatever it is, its cells are not what the column wants
            nothing = np.fromiter(repeat((), n_rows), dtype=np.object_, count=n_rows)
            sound[name] = ColumnValues(values=nothing, absent=values.absent)
    return binner.observed_bins(sound, n_rows)
