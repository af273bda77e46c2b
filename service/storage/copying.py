"""Copying all that a store keeps into another store, of whatever kind.

Rows are copied as they are kept, with the numbers that order them: what is read of the copy is what is read of the original.
Nobody may write to either meanwhile; what is not the same in the end is found by the digests, which are of every row and do not
depend on their order. Who has which role is not copied: it is decided anew. A claim of a delivery ends with the copy, and the
notice is sent again, as after a crash.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, get_args

import msgspec

from service.errors import StoreUnavailableError
from service.ports import Delivery, EpisodeRow, EvaluationRow, Mark, ModelRow, Pane, ReferenceRow, Series, Turn

__all__ = [
    "PAGE_ROWS",
    "TABLES",
    "AlertCopy",
    "Common",
    "Copied",
    "DecisionCopy",
    "DeliveryCopy",
    "EpisodeCopy",
    "MarkCopy",
    "ModelCopy",
    "PaneCopy",
    "ReferenceCopy",
    "Row",
    "Table",
    "TurnCopy",
    "VersionCopy",
    "copy",
]

PAGE_ROWS: Final = 200
"""Of panes of 33 KiB, with a few deltas each, tens of megabytes."""

Table = Literal[
    "models",
    "references",
    "panes",
    "versions",
    "marks",
    "turns",
    "evaluations",
    "alerts",
    "episodes",
    "decisions",
    "deliveries",
]
TABLES: Final[tuple[Table, ...]] = get_args(Table)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCopy:
    """A model; `made` is the epoch that it was made with."""

    row: ModelRow
    made: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceCopy:
    """A reference or a job."""

    row: ReferenceRow
    document: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaneCopy:
    """A pane; `summed` is whether its first payload is a sum."""

    series: Series
    pane: Pane
    summed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionCopy:
    """How far a version has come, and evaluated windows that late rows have touched since."""

    version: str
    newest_us: int | None
    advanced_at_us: int | None
    evaluated_until_us: int | None
    dirty: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkCopy:
    """That a request has been counted, and when."""

    mark: Mark
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCopy:
    """The last turn of a sender, and when that was."""

    turn: Turn
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCopy:
    """An alert state."""

    version: str
    segment: str
    revision: int
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeCopy:
    """An episode, its place among those that opened at the same time, and how far its version was when it was written."""

    number: int
    until_us: int
    row: EpisodeRow


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCopy:
    """A decision."""

    version: str
    end_us: int
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryCopy:
    """A delivery, and its place among those of the same time."""

    number: int
    delivery: Delivery


Row: TypeAlias = (
    ModelCopy
    | ReferenceCopy
    | PaneCopy
    | VersionCopy
    | MarkCopy
    | TurnCopy
    | EvaluationRow
    | AlertCopy
    | EpisodeCopy
    | DecisionCopy
    | DeliveryCopy
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What belongs to no model: targets that want no more, and the last epoch."""

    disabled: Mapping[str, str]
    epoch: int


class Copied(Protocol):
    """A store that is copied from or to."""

    async def names(self) -> Sequence[str]:
        """Of all models of which anything is kept."""
        ...

    def pages(self, model: str, table: Table) -> AsyncIterator[Sequence[Row]]:
        """All rows of a model in a table, some at a time, in the order that they were made; of evaluations, those of one end."""
        ...

    async def common(self) -> Common:
        """What belongs to no model."""
        ...

    async def put(self, model: str, table: Table, rows: Sequence[Row]) -> None:
        """Keep rows of a model, whose row in `models` was put before."""
        ...

    async def put_common(self, common: Common) -> None:
        """Keep what belongs to no model."""
        ...


async def copy(source: Copied, target: Copied, done: Callable[[str, int], None]) -> Mapping[Table, int]:
    """Copy everything and compare; rows by table.

    Parameters
    ----------
    source, target : Copied
        The target is empty.
    done : callable
        Told how many models are copied, and how many are compared.

    Raises
    ------
    StoreUnavailableError
        A store cannot be read or written, or the copy is not what was copied: somebody has written meanwhile.
    """
    await target.put_common(await source.common())
    names = await source.names()
    for number_done, name in enumerate(names, 1):
        for table in TABLES:
            async for rows in source.pages(name, table):
                await target.put(name, table, rows)
        done("copied", number_done)
    numbers = dict.fromkeys(TABLES, 0)
    if await target.names() != await source.names() or await target.common() != await source.common():
        raise StoreUnavailableError("the copy has other models than what was copied: is a service still running?")
    for number_done, name in enumerate(names, 1):
        for table in TABLES:
            (number, digest), copied = await _digest(source, name, table), await _digest(target, name, table)
            if (number, digest) != copied:
                raise StoreUnavailableError(
                    f"model {name}: {table}: {number:,} to be copied, {copied[0]:,} in the copy, or not the same: "
                    "is a service still running?"
                )
            numbers[table] += number
        done("compared", number_done)
    return numbers


async def _digest(store: Copied, model: str, table: Table) -> tuple[int, int]:
    """Number of rows, and the sum of their hashes."""
    number = total = 0
    async for rows in store.pages(model, table):
        for row in rows:
            encoded = msgspec.msgpack.encode(row)
            total = (total + int.from_bytes(hashlib.sha256(encoded).digest(), "big")) % (1 << 256)
        number += len(rows)
    return number, total
