"""A span of stored counts becomes a reference.

Counts of windows and counts of a reference are the same thing, so a span of traffic that is known to be good can take the
place of the training data. What it has out of the old range, or in categories that the old reference never had, counts as
seen: those bins have expected shares like any other.

Bins stay what they are; rows inside them cannot be told apart any more. Groups are chosen again from the sums, by the rules
of a new reference, with bins in the place of values: deciles end at the right edges of bins, a bin that spans several
deciles is a group of its own, and where every row lies in a bin of one value, and there are at most 20 such bins, each has a
group. (Those are the edges that the raw rows would give, wherever the edges of the bins can say it.) Categories get or lose
a group of their own by their new counts. Their bins move accordingly, see `bin_order`; the pools keep their number, because
the rows of categories that are not listed are known by pool only.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from detectors.arrays import Counts, IndexArray, frozen
from detectors.binning.points import DISTINCT_GROUPED, decile_places
from detectors.columns import CategoricalColumn, Column, NumericColumn
from detectors.errors import EmptyReferenceError
from detectors.reference.finish import moments, support
from detectors.reference.model import Blocks, Reference
from detectors.reference.pools import pooled

__all__ = ["CountedWindow", "bin_order", "promoted_reference"]

CountedWindow: TypeAlias = tuple[int, int, Counts]
"""Start of a base window in seconds since the epoch, its rows, and its fine counts, shape [n_bins_total]."""


def promoted_reference(
    old: Reference,
    windows: Iterable[CountedWindow],
    *,
    version: str,
    created_at: str,
    provenance: Mapping[str, object],
) -> Reference:
    """Make a reference of the counts of a span.

    Parameters
    ----------
    old : Reference
        By which the span was counted.
    windows : iterable of (int, int, Counts)
        Start, rows and fine counts of each base window, in time order. It is gone through twice; of an iterator, which
        can be gone through once, all windows are held in the narrowest type in between. Windows without a row are left out.
    version, created_at, provenance
        As in `Reference`; the rest is taken over from `old`.

    Returns
    -------
    Reference
        With the bins of `old`, in the order of `bin_order`, and blocks. Means of bins are those of `old`, and mean and
        deviation follow from them and the counts. Equal spans give equal identities; the windows that `old` itself was
        made of give its own, where its columns are exact, without infinities, and list every category.

    Raises
    ------
    EmptyReferenceError
        The span has no row.
    ValueError
        The windows are not in time order, or not counted by `old`.
    """
    if isinstance(windows, Iterator):
        windows = [(start_s, rows, _narrowed(counts)) for start_s, rows, counts in windows]
    total = np.zeros(old.layout.n_bins_total, dtype=np.int64)
    for _, rows, counts in windows:
        if counts.shape != total.shape:
            raise ValueError(f"counts of a window: {counts.size} bins, the reference has {total.size}")
        total += counts if rows else 0
    if not total.any():
        raise EmptyReferenceError("no row in the span")
    parts = [_regrouped(old, index, total) for index in range(len(old.columns))]
    draft = replace(
        old,
        version=version,
        created_at=created_at,
        columns=tuple(column for column, _ in parts),
        group_starts=tuple(frozen(starts) for _, starts in parts),
        provenance=provenance,
        replay=None,
    )
    order = bin_order(old, draft)
    draft = replace(draft, means=frozen(old.means[order]))
    return _filled(draft, order, windows)


def bin_order(old: Reference, promoted: Reference) -> IndexArray:
    """Where each bin of a promoted reference lies in the one it was promoted from.

    Parameters
    ----------
    old, promoted : Reference

    Returns
    -------
    ndarray of intp, shape [n_bins_total]
        `counts[bin_order(old, promoted)]` are counts by `promoted` of what `counts` has by `old`.
    """
    parts = [
        start + _local_order(before, after)
        for start, before, after in zip(old.layout.starts.tolist(), old.columns, promoted.columns, strict=True)
    ]
    return np.concatenate(parts).astype(np.intp)


def _filled(draft: Reference, order: IndexArray, windows: Iterable[CountedWindow]) -> Reference:
    # The sums are made again beside the blocks: a store may have counted late rows since the groups were chosen.
    total = np.zeros(order.size, dtype=np.int64)
    starts_s, rows, segments = [], [], []
    for start_s, n_rows, counts in windows:
        if not n_rows:
            continue
        counts_now = counts.astype(np.int64)[order]
        total += counts_now
        starts_s.append(start_s)
        rows.append(n_rows)
        segments.append(draft.segments(Counts(counts_now)))
    if (np.diff(starts_s) <= 0).any():
        raise ValueError("windows: wanted increasing starts")
    spreads = [_moments(draft, index, total) for index in range(len(draft.columns))]
    return replace(
        draft,
        rows=sum(rows),
        counts=Counts(frozen(total)),
        mean=frozen(np.array([mean for mean, _ in spreads])),
        deviation=frozen(np.array([deviation for _, deviation in spreads])),
        blocks=Blocks(
            starts_s=frozen(np.array(starts_s, dtype=np.int64)),
            rows=frozen(np.array(rows, dtype=np.int64)),
            counts=frozen(np.stack(segments)),
        ),
    )


def _narrowed(counts: Counts) -> Counts:
    return Counts(counts.astype(np.min_scalar_type(int(counts.max(initial=0)))))


def _regrouped(old: Reference, index: int, total: npt.NDArray[np.int64]) -> tuple[Column, IndexArray]:
    column = old.columns[index]
    start = int(old.layout.starts[index])
    counts = total[start : start + column.value_bins]
    if isinstance(column, NumericColumn):
        return column, _numeric_groups(column, counts)
    column = _categorical(column, counts, complete=bool(old.exact[index]))
    return column, np.array([*range(column.own), *column.pool_starts], dtype=np.intp)


def _numeric_groups(column: NumericColumn, counts: npt.NDArray[np.int64]) -> IndexArray:
    filled = np.flatnonzero(counts)
    if not filled.size:
        return np.zeros(1, dtype=np.intp)
    one_value = column.singletons.copy()
    one_value[[0, -1]] = True  # as far as bins can say
    if filled.size <= DISTINCT_GROUPED and one_value[filled].all():
        return np.concatenate([[0], filled[:-1] + 1]).astype(np.intp)
    cumulative = np.cumsum(counts)
    ends, spans = np.unique(decile_places(cumulative), return_counts=True)
    reached = np.concatenate([[0], cumulative[ends[:-1]]])
    own = (spans > 1) & (cumulative[ends] - counts[ends] > reached)
    # Bins behind the last row belong to the last group.
    return np.unique(np.concatenate([[0], ends[ends < filled[-1]] + 1, ends[own]])).astype(np.intp)


def _categorical(column: CategoricalColumn, counts: npt.NDArray[np.int64], *, complete: bool) -> CategoricalColumn:
    often = dict(zip(column.categories, counts[list(column.listed_bins)].tolist(), strict=True))
    listed = sorted(often.items(), key=lambda item: (-item[1], item[0]))
    names, pools = pooled(listed, int(counts.sum()), len(column.pools))
    values = list(often.values())
    return replace(
        column,
        categories=names,
        pools=pools,
        once=values.count(1) if complete else 0,
        twice=values.count(2) if complete else 0,
    )


def _local_order(before: Column, after: Column) -> IndexArray:
    order = np.arange(before.value_bins + 2, dtype=np.intp)
    if isinstance(before, CategoricalColumn) and isinstance(after, CategoricalColumn):
        bin_of = dict(zip(before.categories, before.listed_bins, strict=True))
        order[list(after.listed_bins)] = [bin_of[name] for name in after.categories]
        for was, now in zip(before.unseen_bins, after.unseen_bins, strict=True):
            order[[now - 1, now]] = was - 1, was
    return order


def _moments(reference: Reference, index: int, total: npt.NDArray[np.int64]) -> tuple[float, float]:
    column = reference.columns[index]
    if isinstance(column, CategoricalColumn) or not column.points.size:
        return float("nan"), float("nan")
    start = int(reference.layout.starts[index])
    bins = slice(start, start + column.value_bins)
    counts, places = total[bins], support(column, reference.means[bins])
    center = float(places[np.searchsorted(np.cumsum(counts), counts.sum() / 2)])
    with np.errstate(over="ignore"):
        return moments(counts, places * counts, float((np.square(places - center) * counts).sum()), center)
