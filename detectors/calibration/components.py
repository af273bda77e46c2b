r"""Orthonormal components: the difference of two distributions, taken apart into location, scale and what is left.

.. math:: d_j = \sum_k (p_k - e_k) \Phi_{jk}, \qquad \sum_j d_j^2 = \sum_k (p_k - e_k)^2 / q_k

:math:`\Phi_j` are polynomials in the mid-rank of a group, orthonormal under the reference shares q. The first is the
tie-corrected Mann-Whitney statistic (location), the second of Mood's type (scale); for categories they are contrasts in
the order of frequency. Their squares add up to Pearson's statistic.

Groups are merged with their neighbours until each expects ten rows (nine pass) and holds fifty of the reference, as in
`detectors.pearson`. How far depends on the rows of the window: there is a basis for each of a few numbers of rows.

References
----------
.. [1] Rayner, Best (1989), "Smooth Tests of Goodness of Fit", chapter 5.
.. [2] Lancaster (1953), "A reconciliation of chi-square from metrical and enumerative aspects", section 3.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import FloatArray, IndexArray
from detectors.calibration.ragged import RaggedMap, ragged_map
from detectors.calibration.traits import Traits

__all__ = ["LEVELS", "Basis", "bases_of", "level_of", "orthonormal"]

LEVELS: Final = (30, 60, 100, 200, 500, 1000, 2000, 10_000, 100_000)
"""Rows of a window that bases are made for: deciles are whole from 100 on, and groups of half a per cent from 2,000. What is
rarer, such as one of two values, takes part in longer windows."""

_EXPECTED_ROWS: Final = 9.0
_REFERENCE_ROWS: Final = 45


def level_of(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Place in `LEVELS` of the basis for so many rows; -1 below the first."""
    return np.searchsorted(np.array(LEVELS), rows, side="right").astype(np.int64) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Basis:
    """Components of the traits whose groups are merged in one way for windows of several sizes.

    Parameters
    ----------
    traits : ndarray of intp
        Which traits it is for.
    groups : ndarray of intp
        Their groups.
    components : RaggedMap
        Counts of those groups to sums over rows of each component; a trait that merges to a single group has none.
    """

    traits: IndexArray
    groups: IndexArray
    components: RaggedMap


def bases_of(traits: Traits) -> tuple[list[Basis], npt.NDArray[np.int64]]:
    """Bases of all traits.

    Returns
    -------
    bases : list of Basis
    which : ndarray of int64, shape [n_traits, n_levels]
        The basis of a trait for windows of at least so many rows.
    """
    ways = [_ways(traits, trait) for trait in range(traits.sizes.size)]
    # The level at which a way of merging begins stands for all levels that merge alike.
    first = np.array([[way.index(at) for at in way] for way in ways], dtype=np.int64).reshape(-1, len(LEVELS))
    levels = np.unique(first)
    bases = []
    for level in levels.tolist():
        some = np.flatnonzero((first == level).any(axis=1)).astype(np.intp)
        blocks = []
        for trait in some.tolist():
            start, size = int(traits.starts[trait]), int(traits.sizes[trait])
            into = np.array(ways[trait][level])
            blocks.append(orthonormal(np.bincount(into, traits.shares[start : start + size]).astype(np.float64))[into])
        bases.append(Basis(traits=some, groups=traits.places(some), components=ragged_map(blocks)))
    return bases, np.searchsorted(levels, first)


def _ways(traits: Traits, trait: int) -> list[tuple[int, ...]]:
    """How the groups of a trait are merged at each level."""
    if traits.kind[trait] > 0:
        return [(0, 1)] * len(LEVELS)  # a share stays two groups however rare: its few rows are tested exactly
    start, size = int(traits.starts[trait]), int(traits.sizes[trait])
    shares, rows = traits.shares[start : start + size], traits.reference[start : start + size]
    return [tuple(_merged(shares * level, rows).tolist()) for level in LEVELS]


def orthonormal(shares: FloatArray) -> FloatArray:
    """Orthonormal polynomials of a distribution.

    Parameters
    ----------
    shares : ndarray of float64, shape [n_groups]
        Positive, with sum 1.

    Returns
    -------
    ndarray of float64, shape [n_groups, n_groups - 1]
        The constant is left out; each rises to the right at its end.
    """
    middle = np.cumsum(shares) - shares / 2
    powers = np.polynomial.legendre.legvander(2 * middle - 1, shares.size - 1)
    weights = np.sqrt(shares)[:, None]
    columns, triangle = np.linalg.qr(weights * powers)
    signs = np.where(np.diag(triangle) < 0, -1.0, 1.0)
    return np.asarray((columns * signs / weights)[:, 1:])


def _merged(expected: FloatArray, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Which merged group each group goes to."""
    into = np.empty(expected.size, dtype=np.int64)
    group, gathered, held = 0, 0.0, 0
    for place, (more, count) in enumerate(zip(expected.tolist(), rows.tolist(), strict=True)):
        if gathered >= _EXPECTED_ROWS and held >= _REFERENCE_ROWS:
            group, gathered, held = group + 1, 0.0, 0
        into[place] = group
        gathered, held = gathered + more, held + count
    if group and (gathered < _EXPECTED_ROWS or held < _REFERENCE_ROWS):
        into[into == group] = group - 1
    return into
