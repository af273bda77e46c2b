"""Numbers of a column that has no reference yet: cells that do not depend on the data, as wide as they must be.

A double is mapped to an integer in the same order: its bits, those of negative ones turned round. Shifted right by `shift`
bits, integers that are close share a cell; within one power of two all cells are equally wide. At shift 0 a cell is one
value. When there are more than `CELLS_MAX` cells the shift grows until there are not: a column of few values is known
exactly, and any other to a few thousandths of rank, whatever its scale, offset or tails (normal, 10,000 rows: no cell has
more than 0.4 % of them). Only where values crowd at one point and spread over hundreds of powers of two elsewhere does the
crowd share a cell.

Cells of one shift lie within cells of the next. So the final shift is the smallest at which all values together fit, no
matter in what order or grouping they came: a part of the values never needs a larger shift than all of them. Count, minimum
and maximum of a cell do not depend on the order either. Sums would (floating-point addition is not associative), so there
are none. A cell whose minimum is its maximum holds one value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, FloatArray, IndexArray

__all__ = ["CELLS_MAX", "SHIFT_MAX", "Cells", "cell_numbers", "cells_of", "merged_cells"]

CELLS_MAX: Final = 2048
"""Cells a column. Beyond shift 0 more than half of them are in use, so that 256 points find edges near their ranks."""

SHIFT_MAX: Final = 63

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Counts of numbers by cell, in increasing order.

    Parameters
    ----------
    shift : int
        0 to 63; 0 where every cell is one value.
    lows, highs : ndarray of float64, shape [n_cells]
        Least and greatest value of each cell; finite.
    counts : ndarray of int64, shape [n_cells]
        At least 1.
    below, above : int
        Negative and positive infinities.
    """

    shift: int
    lows: FloatArray
    highs: FloatArray
    counts: _Ints
    below: int = 0
    above: int = 0

    @property
    def finite(self) -> int:
        """Rows with a finite number."""
        return int(self.counts.sum())

    @property
    def total(self) -> int:
        """Rows with a number."""
        return self.finite + self.below + self.above

    @property
    def single(self) -> BoolArray:
        """Which cells hold one value only; shape [n_cells]."""
        single: BoolArray = self.lows == self.highs
        return single


def cell_numbers(values: FloatArray, shift: int) -> _Ints:
    """Cell of each finite value, increasing with it.

    Parameters
    ----------
    values : ndarray of float64, shape [n]
        Finite, and no negative zero.
    shift : int

    Returns
    -------
    ndarray of int64, shape [n]
    """
    bits = values.view(np.int64)
    return (bits ^ ((bits >> 63) & np.iinfo(np.int64).max)) >> shift


def cells_of(values: FloatArray, weights: _Ints | None = None) -> Cells:
    """Count numbers.

    Parameters
    ----------
    values : ndarray of float64, shape [n]
        No NaN; infinities are counted apart.
    weights : ndarray of int64, shape [n], optional
        How often each occurs; once by default, and at least once.

    Returns
    -------
    Cells
    """
    finite = np.isfinite(values)
    below = above = 0
    if not finite.all():
        often = np.ones(values.size, dtype=np.int64) if weights is None else weights
        below, above = int(often[values == -np.inf].sum()), int(often[values == np.inf].sum())
        values, weights = values[finite], None if weights is None else weights[finite]
    if weights is None:
        distinct, counts = np.unique(values, return_counts=True)
    else:
        distinct, place = np.unique(values, return_inverse=True)
        counts = np.zeros(distinct.size, dtype=np.int64)
        np.add.at(counts, place, weights)
    distinct = distinct + 0.0  # -0.0 is 0.0
    exact = Cells(shift=0, lows=distinct, highs=distinct, counts=counts.astype(np.int64), below=below, above=above)
    return _fitted(exact)


def merged_cells(parts: Sequence[Cells]) -> Cells:
    """Cells of all the rows of several parts.

    Parameters
    ----------
    parts : sequence of Cells
        In any order.

    Returns
    -------
    Cells
        The same, to the last bit, as those of all the rows counted at once.
    """
    lows = np.concatenate([part.lows for part in parts] or [np.empty(0)])
    highs = np.concatenate([part.highs for part in parts] or [np.empty(0)])
    counts = np.concatenate([part.counts for part in parts] or [np.empty(0, dtype=np.int64)])
    order = np.argsort(lows, kind="stable")  # runs that are in order already are merged in linear time
    together = Cells(
        shift=max((part.shift for part in parts), default=0),
        lows=lows[order],
        highs=highs[order],
        counts=counts[order],
        below=sum(part.below for part in parts),
        above=sum(part.above for part in parts),
    )
    return _fitted(_grouped(together, together.shift))


def _fitted(cells: Cells) -> Cells:
    """Let the shift grow to the smallest one at which the cells are not too many."""
    if cells.lows.size <= CELLS_MAX:
        return cells
    keys = cell_numbers(cells.lows, 0)
    # Neighbours part at every shift below the highest bit in which they differ.
    parted_to = _bit_lengths((keys[1:] ^ keys[:-1]).view(np.uint64))
    place = parted_to.size - CELLS_MAX
    return _grouped(cells, int(np.partition(parted_to, place)[place]))


def _grouped(cells: Cells, shift: int) -> Cells:
    if not cells.lows.size:
        return cells
    numbers = cell_numbers(cells.lows, shift)
    heads: IndexArray = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]]))
    return Cells(
        shift=shift,
        lows=cells.lows[heads],
        highs=np.maximum.reduceat(cells.highs, heads),
        counts=np.add.reduceat(cells.counts, heads),
        below=cells.below,
        above=cells.above,
    )


def _bit_lengths(integers: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
    # frexp is exact for what a double can hold, so in two halves.
    upper, lower = integers >> np.uint64(32), integers & np.uint64(0xFFFFFFFF)
    lengths: npt.NDArray[np.int32] = np.where(
        upper > 0, np.frexp(upper.astype(np.float64))[1] + 32, np.frexp(lower.astype(np.float64))[1]
    )
    return lengths
