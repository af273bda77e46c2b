r"""How a reference compares with the one before it, column by column.

A new reference takes over, and people want to know what changed. Neither has rows, and each has bins of its own. So the fine
counts of the new one are carried into the bins of the old one, and the result is compared with it as a window would be:

- a numeric bin of one value goes, exactly, where that value lies; another one goes as a whole where its mean lies;
- what was out of the new range goes to the end of the old range on the same side;
- a category goes by its name; a name that the old reference never had goes to `unseen`. Rows of categories that the new one
  does not list are known by the pool of their names' digests only: they go to `other` (or `unseen`, if they were that) of the
  old pools that such digests can lie in, in equal parts;
- missing and invalid stay what they are.

Where both have the same bins nothing is lost. Otherwise the result is right to about a bin: at each edge of the old bins the
distribution function is off by at most the share of the one new bin that the edge cuts through, usually below one part in 256.
That is nothing beside a change worth speaking of; it is no test either, and no verdict comes of it.
"""

from dataclasses import dataclass
from math import gcd

import numpy as np
import numpy.typing as npt

from detectors.arrays import Counts, FloatArray, IndexArray
from detectors.binning.binner import Binner
from detectors.binning.edges import edges_of
from detectors.binning.values import ColumnValues
from detectors.columns import CategoricalColumn, Column, Kind, NumericColumn, Role
from detectors.comparison import Comparer
from detectors.ks import ks
from detectors.psi import psi
from detectors.quality import Quality
from detectors.reference.finish import support
from detectors.reference.model import Reference

__all__ = ["ComparedColumn", "ComparedReferences", "KindChange", "carried", "compared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedColumn:
    """A column that both references have, of the same kind.

    Parameters
    ----------
    name : str
    role : {"input", "output"}
        In the new reference.
    kind : {"numeric", "categorical"}
    psi : float
        Population stability index of the groups of the old one; NaN if either has no value.
    ks : float
        Kolmogorov-Smirnov distance; NaN for categories, and if either has no value.
    missing_before, missing_after : float
        Share of missing values; NaN without rows.
    """

    name: str
    role: Role
    kind: Kind
    psi: float
    ks: float
    missing_before: float
    missing_after: float

    @property
    def missing_change(self) -> float:
        """Change of the share of missing values; NaN if either has no row."""
        return self.missing_after - self.missing_before

    @property
    def strength(self) -> float:
        """The larger of PSI and the size of the change of the missing share; 0 where neither exists."""
        return float(np.nan_to_num(np.array([self.psi, abs(self.missing_change)])).max())


@dataclass(frozen=True, slots=True, kw_only=True)
class KindChange:
    """A column that was of another kind: its distributions cannot be compared."""

    name: str
    before: Kind
    after: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedReferences:
    """How a new reference compares with an old one.

    Parameters
    ----------
    columns : tuple of ComparedColumn
        Those that can be compared, the strongest change first.
    added, removed : tuple of str
        Columns that only the new one has, or only the old one.
    kinds : tuple of KindChange
    rows_before, rows_after : int
    """

    columns: tuple[ComparedColumn, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    kinds: tuple[KindChange, ...]
    rows_before: int
    rows_after: int


def compared(old: Reference, new: Reference) -> ComparedReferences:
    """Compare a reference with the one before it.

    Parameters
    ----------
    old, new : Reference

    Returns
    -------
    ComparedReferences

    Notes
    -----
    About a tenth of a millisecond a column; see the module for what is approximate.
    """
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    counts = carried(old, new)
    comparison = Comparer(old).compare(counts)
    numbers = zip(
        psi(comparison).tolist(),
        ks(comparison).tolist(),
        Quality(old.layout, old.counts).missing_ratio.tolist(),
        Quality(old.layout, counts).missing_ratio.tolist(),
        strict=True,
    )
    columns = [
        ComparedColumn(
            name=column.name,
            role=after[column.name].role,
            kind=column.kind,
            psi=of_groups,
            ks=of_bins,
            missing_before=missing_before,
            missing_after=missing_after,
        )
        for column, (of_groups, of_bins, missing_before, missing_after) in zip(old.columns, numbers, strict=True)
        if column.name in after and after[column.name].kind == column.kind
    ]
    return ComparedReferences(
        columns=tuple(sorted(columns, key=lambda column: (-column.strength, column.name))),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        kinds=tuple(
            KindChange(name=name, before=column.kind, after=after[name].kind)
            for name, column in before.items()
            if name in after and after[name].kind != column.kind
        ),
        rows_before=old.rows,
        rows_after=new.rows,
    )


def carried(old: Reference, new: Reference) -> Counts:
    """Fine counts of one reference, in the bins of another.

    Parameters
    ----------
    old, new : Reference

    Returns
    -------
    Counts, shape [n_bins_total]
        By the layout of `old`; zeros where `new` has no such column, or one of another kind. Every row of the other columns is
        in one bin.
    """
    counts = np.zeros(old.layout.n_bins_total, dtype=np.int64)
    places = {column.name: place for place, column in enumerate(new.columns)}
    for start, before in zip(old.layout.starts.tolist(), old.columns, strict=True):
        place = places.get(before.name)
        if place is None or new.columns[place].kind != before.kind:
            continue
        low, high = new.layout.offsets[place : place + 2].tolist()
        own = new.counts[low:high]
        values = _values(before, new.columns[place], own[:-2], new.means[low : high - 2])
        counts[start : start + values.size] = values
        counts[start + values.size : start + values.size + 2] = own[-2:]
    return Counts(counts)


def _values(before: Column, after: Column, counts: npt.NDArray[np.int64], means: FloatArray) -> npt.NDArray[np.int64]:
    if isinstance(before, CategoricalColumn) and isinstance(after, CategoricalColumn):
        return _categories(before, after, counts)
    assert isinstance(before, NumericColumn)  # noqa: S101 - of the same kind
    assert isinstance(after, NumericColumn)  # noqa: S101
    return np.bincount(_number_bins(before, after, means), weights=counts, minlength=before.value_bins).astype(np.int64)


def _number_bins(before: NumericColumn, after: NumericColumn, means: FloatArray) -> IndexArray:
    """Bin of the old column for each bin of the new one."""
    if _has_same_bins(before, after):
        return np.arange(after.value_bins, dtype=np.intp)
    bins = _ranks(before, support(after, means))
    own = np.arange(after.points.size) + np.cumsum(after.atoms)  # the bin that ends at each point
    bins[own[after.atoms]] = _ranks(before, after.points)[after.atoms]
    bins[0], bins[-1] = 0, before.value_bins - 1
    return bins


def _has_same_bins(before: NumericColumn, after: NumericColumn) -> bool:
    return np.array_equal(before.points, after.points) and np.array_equal(before.atoms, after.atoms)


def _ranks(column: NumericColumn, values: npt.NDArray[np.generic]) -> IndexArray:
    """Bin of each value, exactly, whatever its number type."""
    family = {"i": "int64", "u": "uint64"}.get(values.dtype.kind, "float64")
    edges = edges_of(column.points, column.atoms, family)  # type: ignore[arg-type]
    return (edges.below + np.searchsorted(edges.values, values, side="left")).astype(np.intp)


def _categories(
    before: CategoricalColumn, after: CategoricalColumn, counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    names = np.array(after.categories, dtype=object)
    bins = Binner([before]).bins(0, ColumnValues(values=names))
    found = np.bincount(bins, weights=counts[list(after.listed_bins)], minlength=before.value_bins).astype(np.int64)
    shared = gcd(len(before.pools), len(after.pools))
    for pool, bin_ in enumerate(after.unseen_bins):
        # Digests that leave this remainder by the number of new pools can leave these by the number of old ones.
        theirs = [unseen for number, unseen in enumerate(before.unseen_bins) if number % shared == pool % shared]
        for shift in (0, 1):  # `unseen`, and `other` in front of it
            found[np.array(theirs) - shift] += _parts(int(counts[bin_ - shift]), len(theirs))
    return found


def _parts(total: int, parts: int) -> npt.NDArray[np.int64]:
    """A number of rows in equal parts, to a row."""
    return np.array([(total * (k + 1)) // parts - (total * k) // parts for k in range(parts)], dtype=np.int64)
