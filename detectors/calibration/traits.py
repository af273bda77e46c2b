"""What is tested of each column: its values, and the shares of missing and invalid rows, each as a distribution over groups.

A share is a column of two groups of its own. The groups of all traits lie side by side in one flat vector, as bins do in
`detectors.binning.layout`; those of a category are put in order of their share, the most frequent first, so that merging
neighbours pools what is rare.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from detectors.arrays import BoolArray, FloatArray, IndexArray, sums
from detectors.reference.model import Reference

__all__ = ["KINDS", "TraitKind", "Traits", "traits_of"]

TraitKind = Literal["values", "missing", "invalid"]
KINDS: Final[tuple[TraitKind, ...]] = ("values", "missing", "invalid")


@dataclass(frozen=True, kw_only=True, eq=False)
class Traits:
    """Traits of all columns that have a spread in the reference, values first.

    Parameters
    ----------
    kind : ndarray of int64, shape [n_traits]
        Place in `KINDS`.
    column : ndarray of intp, shape [n_traits]
    ordered : ndarray of bool, shape [n_traits]
        Whether the groups have an order: the values of a numeric column.
    sizes : ndarray of intp, shape [n_traits]
        Number of groups.
    segments : ndarray of intp, shape [n_value_groups]
        Segment of each group of the values.
    missing_segments : ndarray of intp, shape [n_columns]
        The segment of invalid rows is the next one.
    segment_starts : ndarray of intp, shape [n_columns]
        First segment of each column.
    reference : ndarray of int64, shape [n_groups]
        Rows of the reference in each group.
    """

    kind: npt.NDArray[np.int64]
    column: IndexArray
    ordered: BoolArray
    sizes: IndexArray
    segments: IndexArray
    missing_segments: IndexArray
    segment_starts: IndexArray
    reference: npt.NDArray[np.int64]

    @cached_property
    def starts(self) -> IndexArray:
        """First group of each trait; shape [n_traits]."""
        return (np.cumsum(self.sizes) - self.sizes).astype(np.intp)

    @cached_property
    def shares(self) -> FloatArray:
        """Share of each group in the reference; shape [n_groups]."""
        return np.asarray(self.reference / np.repeat(self.reference_rows, self.sizes))

    @cached_property
    def reference_rows(self) -> npt.NDArray[np.int64]:
        """Rows of the reference; shape [n_traits]."""
        return np.asarray(sums(self.reference, self.starts))

    def places(self, traits: IndexArray) -> IndexArray:
        """Groups of some traits."""
        starts, sizes = self.starts[traits], self.sizes[traits]
        inside = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        places: IndexArray = (np.repeat(starts, sizes) + inside).astype(np.intp)
        return places

    def only(self, traits: IndexArray) -> "Traits":
        """Some of the traits, for all that does not read segments."""
        return replace(
            self,
            kind=self.kind[traits],
            column=self.column[traits],
            ordered=self.ordered[traits],
            sizes=self.sizes[traits],
            reference=self.reference[self.places(traits)],
        )

    def groups(self, segments: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Counts per segment to counts per group: [..., n_segments] to [..., n_groups]."""
        return _groups(self, segments)

    def rows(self, groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows of each trait: [..., n_groups] to [..., n_traits]."""
        return np.asarray(sums(groups, self.starts))


def traits_of(reference: Reference) -> Traits:
    """Traits of a reference.

    Parameters
    ----------
    reference : Reference

    Returns
    -------
    Traits
        Values with fewer than two groups that have rows, and shares that are 0 or 1 in the reference, have no spread and
        are left out: they are tested exactly, see `detectors.evidence`.
    """
    offsets = reference.segment_offsets
    counts = reference.segments(reference.counts)
    numeric = reference.layout.numeric
    missing = offsets[1:] - 2
    order, sizes, columns = [], [], []
    for number, (start, end) in enumerate(zip(offsets[:-1].tolist(), missing.tolist(), strict=True)):
        inside = np.arange(start, end)
        if np.count_nonzero(counts[inside]) > 1:
            order.append(inside if numeric[number] else inside[np.argsort(-counts[inside], kind="stable")])
            sizes.append(inside.size)
            columns.append(number)
    rows = sums(counts, offsets[:-1])
    shares = [np.flatnonzero((counts[place] > 0) & (counts[place] < rows)) for place in (missing, missing + 1)]
    column = np.concatenate([np.array(columns, dtype=np.intp), *shares]).astype(np.intp)
    n_values, n_shares = len(columns), sum(share.size for share in shares)
    traits = Traits(
        kind=np.repeat(np.arange(3), [n_values, shares[0].size, shares[1].size]),
        column=column,
        ordered=np.concatenate([numeric[column[:n_values]], np.zeros(n_shares, dtype=np.bool_)]),
        sizes=np.array([*sizes, *[2] * n_shares], dtype=np.intp),
        segments=np.concatenate([*order, np.empty(0)]).astype(np.intp),
        missing_segments=missing.astype(np.intp),
        segment_starts=offsets[:-1],
        reference=np.empty(0, dtype=np.int64),
    )
    return replace(traits, reference=_groups(traits, counts))


def _groups(traits: Traits, segments: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    share = traits.kind > 0
    place = traits.missing_segments[traits.column[share]] + traits.kind[share] - 1
    part = segments[..., place]
    whole = sums(segments, traits.segment_starts)[..., traits.column[share]]
    pairs = np.stack([whole - part, part], axis=-1).reshape(*segments.shape[:-1], 2 * place.size)
    return np.concatenate([segments[..., traits.segments], pairs], axis=-1)
