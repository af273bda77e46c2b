"""A monitored variable as the reference fixed it: name, role, kind and bins.

Numeric bins, for points g0 < g1 < ... (right-closed; an *atom* has a bin of its own)::

    (-inf, g0)  {g0}  (g0, g1]  (g1, g2) {g2} ...  (gK, inf)
                                 g2 is an atom     out of range

The minimum is always an atom, so that "below the range" is told from "at the minimum". Categorical bins are one per
category, then `other` (the reference had it, but it is not listed) and `unseen` (the reference never had it). After its
value bins every column has two more: `missing` and `invalid`.

Categories that are too rare for a group of their own lie in *pools*, chosen by the digest of the name alone, and each pool
has an `other` and an `unseen` bin of its own: what a pool holds does not depend on what the reference happened to draw, so
that pools can be tested against each other.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray

__all__ = ["CategoricalColumn", "Column", "Kind", "NumericColumn", "Role"]

Kind = Literal["numeric", "categorical"]
Role = Literal["input", "output"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NumericColumn:
    """A numeric column.

    Parameters
    ----------
    name : str
    role : {"input", "output"}
    points : ndarray of float64, int64 or uint64, shape [n_points]
        Reference points, strictly increasing and finite. Empty when the reference had no finite value.
    atoms : ndarray of bool, shape [n_points]
        Whether the point is a bin of its own. The first one always is.
    """

    name: str
    role: Role
    points: npt.NDArray[Any]
    atoms: BoolArray
    kind: Literal["numeric"] = "numeric"

    @property
    def value_bins(self) -> int:
        """Number of bins for present, valid values, both out-of-range bins included."""
        return int(self.points.size + np.count_nonzero(self.atoms)) + 1

    @property
    def singletons(self) -> BoolArray:
        """Which value bins hold one point only, so that nothing can hide inside them; shape [value_bins]."""
        below_then_at = np.stack([np.zeros_like(self.atoms), self.atoms], axis=1)
        exists = np.stack([self.atoms, np.ones_like(self.atoms)], axis=1)
        return np.append(below_then_at[exists], np.False_)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CategoricalColumn:
    """A categorical column.

    Parameters
    ----------
    name : str
    role : {"input", "output"}
    categories : tuple of str
        Those with a group of their own first, roughly by frequency; then the pooled ones, pool by pool.
    pools : tuple of int
        How many of the listed categories lie in each pool; at least one pool.
    others : ndarray of uint64, shape [n_others]
        Sorted digests of the reference's further categories: they make `other` and `unseen` tell apart what was rare
        from what is new, without keeping names.
    others_complete : bool
        False when there were too many others to keep; then every value that is not listed counts as `other`.
    once : int
        How many categories the reference had exactly once: by Good and Turing, `once / rows` estimates how often a row
        of unchanged traffic is unseen.
    twice : int
        How many it had exactly twice: the uncertainty of that estimate.
    """

    name: str
    role: Role
    categories: tuple[str, ...]
    pools: tuple[int, ...]
    others: npt.NDArray[np.uint64]
    others_complete: bool = True
    once: int = 0
    twice: int = 0
    kind: Literal["categorical"] = "categorical"

    @property
    def value_bins(self) -> int:
        """Number of bins for present, valid values: the categories, and `other` and `unseen` of each pool."""
        return len(self.categories) + 2 * len(self.pools)

    @property
    def own(self) -> int:
        """Number of categories with a group of their own; they are the first."""
        return len(self.categories) - sum(self.pools)

    @property
    def pool_starts(self) -> tuple[int, ...]:
        """First bin of each pool; its listed categories come first, then `other`, then `unseen`."""
        return tuple(self.own + sum(self.pools[:pool]) + 2 * pool for pool in range(len(self.pools)))

    @property
    def listed_bins(self) -> tuple[int, ...]:
        """Bins of the listed categories, in their order."""
        pools = zip(self.pool_starts, self.pools, strict=True)
        return (*range(self.own), *(start + place for start, size in pools for place in range(size)))

    @property
    def unseen_bins(self) -> tuple[int, ...]:
        """The `unseen` bin of each pool."""
        return tuple(start + size + 1 for start, size in zip(self.pool_starts, self.pools, strict=True))


Column: TypeAlias = NumericColumn | CategoricalColumn
