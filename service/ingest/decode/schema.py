"""The columns that a model knows, and JSON decoders made for just these.

msgspec fills a Struct with a field a column in 55-75 ns a cell, where a dictionary and a look-up by name take 125-200. A
Struct refuses a row with a name that is none of its fields: the body is then decoded into dictionaries, and the name
remembered as one more field, whose cells are ignored; so the next body is fast again.

Fields are looked for one after the other. Keys in their order cost nothing; in another order they cost a comparison a
field (140 ns a cell at 50 columns, 2,000 ns at 2,000). So the fields are put in the order of the first row that was seen,
and schemas of more columns than `_QUICK_MAX` stay with dictionaries.

A schema is used from several threads. What it has learned is one immutable value that is replaced, so that a decoder and
the names it was made for always belong together.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, repeat
from operator import is_not, itemgetter
from threading import Lock
from typing import Any, Final, Self

import msgspec
from msgspec import UNSET

from service.ingest.decode.rows import IGNORED_MAX, NOTHING, Cells, DecodedRows, picker, rows_within

__all__ = ["COLUMNS_MAX", "WRAPPERS", "RowSchema", "Shape", "Table"]

COLUMNS_MAX: Final = 4_096
"""Columns that an open schema takes up."""

WRAPPERS: Final = frozenset({"rows", "columns"})
"""Keys of JSON bodies that are no row. They are never taken for columns to ignore."""

_QUICK_MAX: Final = 256
_EXTRAS_MAX: Final = 256
_NAME_BYTES_MAX: Final = 256
_NO_KEY: Final = re.compile(r'[\x00-\x1f"\\]')  # what msgspec refuses in the key of a field

_astuple: Callable[[Any], Cells] = msgspec.structs.astuple


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Rows that were decoded into dictionaries, as far as they are wanted."""

    names: tuple[str, ...]
    cells: list[Cells]
    ignored: frozenset[str] = NOTHING
    ignored_cells: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shape:
    """Decoders of rows whose names are all known; anything else they refuse.

    Parameters
    ----------
    names : tuple of str
    one, many, wrapped : msgspec.json.Decoder
        Of a row, a list of rows, and a list of rows under the key `rows`.
    wrappable : bool
        Whether no column is called as the keys are under which rows or columns come.
    pick : callable, optional
        From all fields to the cells of `names`; None where these are the fields.
    extras : tuple of (str, int)
        Names and places of the fields that are ignored.
    """

    names: tuple[str, ...]
    one: msgspec.json.Decoder[Any]
    many: msgspec.json.Decoder[list[Any]]
    wrapped: msgspec.json.Decoder[Any]
    pick: Callable[[Cells], Cells] | None
    extras: tuple[tuple[str, int], ...]
    wrappable: bool

    def rows(self, structs: Iterable[Any], numbers: Sequence[int]) -> DecodedRows:
        """Take decoded rows apart."""
        fields = list(map(_astuple, structs))
        cells = fields if self.pick is None else list(map(self.pick, fields))
        if not self.extras:
            return DecodedRows(names=self.names, cells=cells, numbers=numbers)
        counts = {name: sum(map(is_not, map(itemgetter(place), fields), repeat(UNSET))) for name, place in self.extras}
        ignored = frozenset(name for name, count in counts.items() if count)
        ignored_cells = sum(counts.values())
        return DecodedRows(names=self.names, cells=cells, numbers=numbers, ignored=ignored, ignored_cells=ignored_cells)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Learned:
    names: tuple[str, ...]
    extras: tuple[str, ...] = ()
    shape: Shape | None = None
    known: frozenset[str] = field(init=False)
    met: frozenset[str] = field(init=False)
    quick: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "known", frozenset(self.names))
        object.__setattr__(self, "met", self.known.union(self.extras))
        object.__setattr__(self, "quick", len(self.names) <= _QUICK_MAX and all(map(_may_be_field, self.names)))


class RowSchema:
    """The columns that are wanted of a model's rows.

    Parameters
    ----------
    names : sequence of str
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._learned = _Learned(names=tuple(dict.fromkeys(names)))
        self._lock = Lock()
        self._limit(len(self._learned.names))

    @classmethod
    def open(cls, columns_max: int = COLUMNS_MAX) -> Self:
        """Make the schema of a model that is still learning: every column is wanted, in the order they are met."""
        schema = cls(())
        schema._limit(columns_max)
        return schema

    def _limit(self, columns_max: int) -> None:
        self.columns_max = columns_max
        self.rows_max = rows_within(columns_max)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, as far as they are known."""
        return self._learned.names

    @property
    def shape(self) -> Shape | None:
        """The fast way, once a row has been seen."""
        return self._learned.shape

    def table(self, rows: Sequence[Mapping[str, Any]]) -> Table:
        """Pick the cells of rows that were decoded into dictionaries, and learn from them.

        Parameters
        ----------
        rows : sequence of mapping of str to object

        Returns
        -------
        Table
        """
        learned = self._learned
        cells = _alike(rows, learned.names)
        if cells is not None:
            self._learn(rows[0], {})
            return Table(names=learned.names, cells=cells)
        unknown = _unknown(rows, learned.known)
        learned = self._learn(rows[0] if rows else {}, unknown)
        names = learned.names
        cells = [tuple(map(row.get, names, repeat(UNSET))) for row in rows]
        ignored = {name: count for name, count in unknown.items() if name not in learned.known}
        return Table(names=names, cells=cells, ignored=_named(ignored), ignored_cells=sum(ignored.values()))

    def select(self, names: Collection[str]) -> tuple[list[str], frozenset[str]]:
        """Tell which columns of a body are wanted, and the names of those that are not."""
        learned = self._learn({}, {name: 1 for name in names if name not in self._learned.known})
        wanted = [name for name in names if name in learned.known]
        return wanted, _named(name for name in names if name not in learned.known)

    def _learn(self, row: Collection[str], unknown: Collection[str]) -> _Learned:
        if not unknown and (self._learned.shape is not None or not self._learned.quick):
            return self._learned
        with self._lock:
            before = self._learned
            room = self.columns_max - len(before.names)
            fresh = [name for name in unknown if name not in before.met and _fits(name)]
            more = [name for name in fresh if name][:room]
            after = _Learned(names=(*before.names, *more), extras=before.extras) if more else before
            if after.quick and row:
                after = _with_shape(after, before, fresh, row)
            self._learned = after
            return after


def _with_shape(after: _Learned, before: _Learned, fresh: Sequence[str], row: Collection[str]) -> _Learned:
    spare = (name for name in fresh if name not in after.known and name not in WRAPPERS and _may_be_field(name))
    extras = (*after.extras, *islice(spare, _EXTRAS_MAX - len(after.extras)))
    if before.shape is not None and before.names == after.names and before.extras == extras:
        return before
    return _Learned(names=after.names, extras=extras, shape=_shape_of(after.names, extras, row))


def _shape_of(names: Sequence[str], extras: Sequence[str], row: Iterable[str]) -> Shape:
    known = dict.fromkeys([*names, *extras])
    order = list(dict.fromkeys([*(name for name in row if name in known), *known]))
    fields: list[tuple[str, Any, Any]] = [(f"c{place}", Any, UNSET) for place in range(len(order))]
    keys = {f"c{place}": name for place, name in enumerate(order)}
    # Decoded JSON has no cycles, so the garbage collector need not know of the rows.
    struct = msgspec.defstruct("Row", fields, rename=keys, forbid_unknown_fields=True, gc=False)
    rows: Any = list[struct]  # type: ignore[valid-type]
    wrapped = msgspec.defstruct("Rows", [("rows", rows)], forbid_unknown_fields=True, gc=False)
    place_of = {name: place for place, name in enumerate(order)}
    return Shape(
        names=tuple(names),
        one=msgspec.json.Decoder(struct),
        many=msgspec.json.Decoder(rows),
        wrapped=msgspec.json.Decoder(wrapped),
        pick=None if order == list(names) else picker([place_of[name] for name in names]),
        extras=tuple((name, place_of[name]) for name in extras),
        wrappable=WRAPPERS.isdisjoint(names),
    )


def _alike(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Cells] | None:
    # Rows that have just the known columns, as nearly all have.
    if len(names) < 2 or set(map(len, rows)) != {len(names)}:  # noqa: PLR2004 - of one name an itemgetter gives no tuple
        return None
    try:
        return list(map(itemgetter(*names), rows))
    except KeyError:
        return None


def _unknown(rows: Iterable[Mapping[str, Any]], known: frozenset[str]) -> dict[str, int]:
    # How often each unknown name occurs, in the order they come.
    counts: dict[str, int] = {}
    for name in chain.from_iterable(rows):
        if name not in known:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _fits(name: str) -> bool:
    return len(name) * 4 <= _NAME_BYTES_MAX or len(name.encode("utf-8", "surrogatepass")) <= _NAME_BYTES_MAX


def _may_be_field(name: str) -> bool:
    return _fits(name) and _NO_KEY.search(name) is None


def _named(names: Iterable[str]) -> frozenset[str]:
    # Those that could be names of columns; the others are counted, not named.
    return frozenset(islice(filter(_fits, names), IGNORED_MAX))
