"""Lookup tables that find a value's bin without searching.

`cell = round(clip(x * scale + shift))` never decreases as x grows, whatever the rounding of the multiplication and the
addition. So if each *edge* is put through the same arithmetic, every edge of a lower cell is below x and every edge of a
higher cell is above it; only the edges in x's own cell are left, and `passes` halvings settle them with exact
comparisons. No tolerance enters anywhere, and no choice of scale can be wrong, only slow. (`shift` holds 2**52, where
doubles are one apart: the addition itself rounds, and leaves the cell in the last bits.)

Scale and shift are chosen so that no cell holds more than three edges, hence two comparisons a value. Where a heavy tail
or a single outlier would waste the cells on emptiness, the outermost edges are left to the first and the last cell.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, IndexArray
from detectors.binning.edges import Edges

__all__ = ["QUICK_PASSES", "ROUND", "ROUND_BITS", "Table", "cells_of", "table_of"]

ROUND = 2.0**52
"""Added to a number below 2**52 it leaves its nearest integer in the last bits of the double."""

QUICK_PASSES = 2
"""Comparisons a value in a table whose cells hold at most three edges: 2**2 - 1."""

ROUND_BITS = int(np.float64(ROUND).view(np.int64))
"""What the bits of `ROUND + cell` have in front of the cell."""

# A scale that sends (nearly) everything to one cell. Not 0: zero times infinity would be NaN, and in no cell.
_FLAT = 1e-290

# About four cells an edge is best while the tables fit into L2; skewed columns need more to keep three edges a cell.
_CELLS_PER_EDGE = (4, 8, 16, 32)
# Edges left to each end cell. With up to three the end cells stay quick; the larger shares are for edges that no linear
# scale can spread, and only shorten the search.
_QUICK_TRIMS = (0, 2, 3)
_SLOW_TRIMS = (1 / 64, 1 / 16, 1 / 4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """One numeric column's lookup table.

    Parameters
    ----------
    scale, shift : float
        Of the linear map to cells.
    first : ndarray of intp, shape [n_cells]
        How many edges lie in lower cells.
    edges : ndarray of float64, int64 or uint64, shape [n_edges + 2**passes - 1]
        The edges, then the type's largest value as padding for the search.
    passes : int
        Halvings that settle the fullest cell.
    below : int
        Added to every result; see `Edges.below`.
    """

    scale: float
    shift: float
    first: IndexArray
    edges: npt.NDArray[Any]
    passes: int
    below: int


def table_of(edges: Edges) -> Table:
    """Build the table for sorted edges.

    Parameters
    ----------
    edges : Edges

    Returns
    -------
    Table
        The smallest one with at most three edges a cell, or else the one with the least crowded cell.
    """
    values = edges.values
    as_float = values.astype(np.float64)
    quick = product(_CELLS_PER_EDGE, product(_QUICK_TRIMS, repeat=2))
    slow = (
        (_CELLS_PER_EDGE[-1], (int(values.size * low), int(values.size * high)))
        for low, high in product(_SLOW_TRIMS, repeat=2)
    )
    best: tuple[int, float, float, IndexArray] | None = None
    for cells_per_edge, (low_trim, high_trim) in (*quick, *slow):
        n_cells = 1 << (max(1, cells_per_edge * values.size) - 1).bit_length()
        scale, shift = _linear(as_float, low_trim, high_trim, n_cells)
        cell = cells_of(as_float, scale, shift, n_cells)
        crowd = int(np.bincount(cell, minlength=1).max()) if cell.size else 0
        if best is None or crowd < best[0]:
            best = crowd, scale, shift, np.searchsorted(cell, np.arange(n_cells), side="left").astype(np.intp)
        if crowd < 1 << QUICK_PASSES:
            break
    crowd, scale, shift, first = best if best is not None else (0, _FLAT, ROUND, np.zeros(1, dtype=np.intp))
    passes = crowd.bit_length()
    largest = np.inf if values.dtype == np.float64 else np.iinfo(values.dtype).max
    padding = np.full((1 << max(passes, 1)) - 1, largest, dtype=values.dtype)
    padded = np.concatenate([values, padding])
    return Table(scale=scale, shift=shift, first=first, edges=padded, passes=passes, below=edges.below)


def cells_of(values: FloatArray, scale: float, shift: float, n_cells: int) -> IndexArray:
    """Cell of each value; the kernel does the same in place, operation by operation."""
    with np.errstate(all="ignore"):
        position = np.clip(values * scale + shift, ROUND, ROUND + (n_cells - 1))
    return position.view(np.int64) - ROUND_BITS


def _linear(edges: FloatArray, low_trim: int, high_trim: int, n_cells: int) -> tuple[float, float]:
    if edges.size <= low_trim + high_trim:
        return _FLAT, ROUND
    low, high = float(edges[low_trim]), float(edges[edges.size - 1 - high_trim])
    with np.errstate(all="ignore"):
        # Halved first: the distance between -1e308 and 1e308 is not a float.
        half_width = np.float64(high) / 2 - np.float64(low) / 2
        scale = (n_cells - 1) / half_width / 2 if half_width > 0 else np.float64(np.inf)
        shift = ROUND - low * scale
    # Denormal widths and distant offsets overflow. One cell for all is slower and just as exact.
    return (float(scale), float(shift)) if 0 < scale < np.inf and np.isfinite(shift) else (_FLAT, ROUND)
