"""Which categories have a group of their own, and in which pools the others lie.

A category that is among the frequent ones by luck has too large a count, and the pool of the others one too small: test the
two against each other and unchanged traffic drifts (200 equally frequent categories, 10,000 rows: 89 % of windows at .05).
So a category has a group of its own only when its count is three standard errors above what would have put it among the
others, and others that are many are parted by the digests of their names, which know nothing of counts.
"""

from collections.abc import Sequence
from itertools import chain, compress
from math import log, sqrt
from operator import and_, not_

from detectors.binning.categories import digest

__all__ = ["pooled"]

_GROUP_SHARE_MIN = 0.005  # rarer categories are pooled in any case
_CATEGORY_GROUPS_MAX = 30
_NAME_WEIGHT = 3.0
_CERTAIN_ERRORS = 3.0
_CROWD_ERRORS = 2.0
_CROWD_SHARE_MAX = 0.3
_POOLS_MAX = 8
_POOL_SHARE_MIN = 0.05


def pooled(
    listed: Sequence[tuple[str, int]], total: int, n_pools: int | None = None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Order the listed categories by groups, and say how many lie in each pool.

    Parameters
    ----------
    listed : sequence of (str, int)
        Categories and their counts, most frequent first.
    total : int
        Rows of the column, those of categories that are not listed included.
    n_pools : int, optional
        Number of pools where it is given already, because rows of categories that are not listed lie in them.

    Returns
    -------
    categories : tuple of str
        Those with a group of their own, roughly by frequency; then pool after pool.
    pools : tuple of int
        How many lie in each pool; at least one pool.
    """
    counts = [count for _, count in listed]
    cut = max(_GROUP_SHARE_MIN * total, counts[_CATEGORY_GROUPS_MAX] if len(counts) > _CATEGORY_GROUPS_MAX else 0)
    certain = [count - cut > _CERTAIN_ERRORS * sqrt(count + cut) for count in counts]
    certain = _without_crowd(counts, certain, total)
    own = sorted(compress(listed, certain), key=_roughly_by_count, reverse=True)
    others = [category for (category, _), sure in zip(listed, certain, strict=True) if not sure]
    if n_pools is None:
        share = 1 - sum(count for _, count in own) / max(total, 1)
        n_pools = max(1, min(_POOLS_MAX, int(share / _POOL_SHARE_MIN), len(others)))
    pools: list[list[str]] = [[] for _ in range(n_pools)]
    for category in others:
        pools[digest(category) % n_pools].append(category)
    names = (*(category for category, _ in own), *chain.from_iterable(pools))
    return names, tuple(map(len, pools))


def _without_crowd(counts: Sequence[int], certain: list[bool], total: int) -> list[bool]:
    """Pool all categories that crowd around the line, where being above it is luck again; then look at the new line."""
    while any(certain) and not all(certain):
        line = (min(compress(counts, certain)) + max(compress(counts, map(not_, certain)))) / 2
        near = [abs(count - line) <= _CROWD_ERRORS * sqrt(2 * line) for count in counts]
        if sum(compress(counts, near)) <= _CROWD_SHARE_MAX * total or not any(map(and_, certain, near)):
            break
        certain = [sure and not close for sure, close in zip(certain, near, strict=True)]
    return certain


def _roughly_by_count(item: tuple[str, int]) -> float:
    """Key of an order in which rare categories lie together, so that a test that merges neighbours pools them.

    Not by count alone: of equally frequent categories the lucky ones would lie together too, and be merged against the
    unlucky (30 alike, 1,000 rows: 70 % of large windows rejected at .05). The name decides within a factor of twenty.
    """
    category, count = item
    return log(count) + _NAME_WEIGHT * digest(category) / 2**64
