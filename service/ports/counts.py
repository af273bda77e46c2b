"""Counts on their way into a store, and what is kept of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from service.ports.models import ModelRow

__all__ = [
    "LEARNING",
    "LEARNING_PANE_US",
    "TURNS_KEPT_US",
    "Commit",
    "Committed",
    "CountsStore",
    "Delta",
    "Keeping",
    "Mark",
    "Pane",
    "PanesStore",
    "Progress",
    "Series",
    "Swept",
    "Tally",
    "Turn",
]

LEARNING = "learning"
"""Stands for the reference where a version has none yet: its payloads are sketches, not counts."""

LEARNING_PANE_US = 1 << 62
"""Panes of what is learned begin here, one an hour: beyond all times, so never late, never old and never evaluated."""

TURNS_KEPT_US = 86_400_000_000
"""A sender is known for a day after its last turn: for longer than one holds back what it may have sent already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Whose counts: one model version against one reference, in one segment of its traffic ("" is all of it)."""

    model: str
    version: str
    reference_id: str
    segment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Counts to add to one pane.

    Parameters
    ----------
    version, reference_id, segment : str
    pane_start_us, window_start_us : int
        Start of the pane, and of the base window that it lies in.
    rows, late : int
        Rows in `payload`, and how many of them were late.
    payload : bytes
        As `service.storage.codec` encodes counts or sketches; payloads of one series and pane can be merged.
    """

    version: str
    reference_id: str
    segment: str = ""
    pane_start_us: int
    window_start_us: int
    rows: int
    late: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """That a request, or a chunk of one, has been counted.

    Parameters
    ----------
    key : str
        Idempotency key, with the number of the chunk.
    digest : bytes
        Of the body: the same key with another body is a mistake of the sender's.
    answer : bytes
        What was answered.
    """

    key: str
    digest: bytes
    answer: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Place of a commit among those of one sender, which sends one after the other.

    A sender goes on to the next number when it will not send this one again. So the largest number of each is all that has to
    be kept, however many commits it sends, and whatever comes later with one that is not larger has been counted or given up.

    Parameters
    ----------
    sender : str
        Differs from all others of the model.
    number : int
        From 1 to 2^53 - 1.
    """

    sender: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Fates of rows, for the metrics of whoever decides over them; no store keeps it.

    Parameters
    ----------
    accepted, late : int
        Rows that were counted, and how many of them were late.
    rejected : mapping of str to int
        Rows that were not, by reason.
    ignored_cells : int
        Values in columns that nobody knows.
    """

    accepted: int = 0
    late: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    ignored_cells: int = 0


_NO_TALLY: Final = Tally()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Counts of one model that belong together: all or nothing.

    Parameters
    ----------
    model : str
    epoch : int
        The model's epoch by which the rows were counted.
    deltas : sequence of Delta
    marks : sequence of Mark
    newest_us : mapping of str to int
        Largest event time of the counted rows, by version.
    tally : Tally
    rows_id : str
        Of these rows, however they are counted, if they may be sent again after `StoreUnavailableError`; empty if not. Where an
        answer can be lost, a repeat within five minutes is answered as the first one was.
    turn : Turn, optional
        If it comes from a sender that numbers what it sends.
    """

    model: str
    epoch: int
    deltas: Sequence[Delta]
    marks: Sequence[Mark] = ()
    newest_us: Mapping[str, int] = field(default_factory=dict)
    tally: Tally = _NO_TALLY
    rows_id: str = ""
    turn: Turn | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What became of a commit.

    `committed`: all of it is in the store. Otherwise nothing is, by this call: `passed` (its turn is over: it was committed
    before), `duplicate` (some marks were known; they are in `known`, as they were stored), `stale` (the model's epoch has moved
    on, or the model is gone), `refused` (a store that judges what it is sent will never take this, for a `reason`). Or nobody
    knows: `unavailable` (the part of the store that has the model does not answer, or refuses, for a `reason`).
    """

    status: Literal["committed", "passed", "duplicate", "stale", "refused", "unavailable"]
    known: Sequence[Mark] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pane:
    """Stored counts of one pane: one payload if folded, several if not."""

    start_us: int
    window_start_us: int
    rows: int
    late: int
    payloads: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a model version has come.

    Parameters
    ----------
    newest_us : int
        Largest event time that was committed.
    advanced_at_us : int
        The store's clock when that was.
    oldest_us : int
        Start of the oldest pane that is kept.
    evaluated_until_us : int or None
        End of the last base window that was evaluated.
    dirty : mapping of int to int
        Starts of evaluated base windows that late rows have touched since, each with how often.
    """

    model: str
    version: str
    newest_us: int
    advanced_at_us: int
    oldest_us: int
    evaluated_until_us: int | None
    dirty: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long the counts of a version are kept, in event time; None keeps.

    Parameters
    ----------
    coarsen_before_us : int
        Panes of base windows that end at or before this are folded into one pane a base window.
    expire_before_us : int
        Base windows that end at or before this are dropped.
    evaluations_before_us : int
        Evaluations, closed episodes and decisions that end before this are dropped.
    learned : bool
        Whether the version has its reference, and what it learned from is dropped.
    epoch : int, optional
        Of the model by which that was decided; nothing is dropped if it has moved on, as when the model was made anew.
    """

    model: str
    version: str
    base_window_us: int
    coarsen_before_us: int | None = None
    expire_before_us: int | None = None
    evaluations_before_us: int | None = None
    learned: bool = False
    epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one round of housekeeping did."""

    deltas_folded: int = 0
    panes_coarsened: int = 0
    panes_expired: int = 0
    marks_evicted: int = 0
    """Marks and turns dropped for their number, before their time."""


class CountsStore(Protocol):
    """What rows need on their way to be counted: a sidecar has no more of a store than this."""

    async def now_us(self) -> int:
        """Time by the store's clock."""
        ...

    async def check(self) -> None:
        """Return if the store can be written to; else raise `StoreUnavailableError` whose text says why."""
        ...

    async def close(self) -> None:
        """Finish what was begun, and let go of the store."""
        ...

    async def commit(self, commits: Sequence[Commit]) -> Sequence[Committed]:
        """Add counts, marks and turns; advance each version's newest event time; touch evaluated base windows.

        Each commit is all or nothing; together they may share one transaction. What was counted is known whatever epoch it
        names. A delta whose base window starts before the version's `evaluated_until_us` makes that window dirty, once more
        each time. `StoreUnavailableError` is raised if all of them are unavailable.
        """
        ...

    async def progress(self, model: str | None = None) -> Sequence[Progress]:
        """Of every version that has a row; of all models, or one."""
        ...

    async def model(self, model: str) -> ModelRow | None:
        """One of them."""
        ...

    async def epochs(self) -> Mapping[str, int]:
        """Epoch of each model."""
        ...

    async def reference_document(self, model: str, reference_id: str) -> bytes | None:
        """Document of a ready reference."""
        ...


class PanesStore(CountsStore, Protocol):
    """Counts as they are kept, for those who decide over them."""

    async def marks(self, model: str, keys: Sequence[str]) -> Sequence[Mark]:
        """Those marks that are known."""
        ...

    async def panes(self, series: Series, first_us: int, last_us: int) -> Sequence[Pane]:
        """Panes that start in [first_us, last_us), in order, each with all that was committed to it."""
        ...

    async def rows_by_window(self, series: Series, first_us: int, last_us: int) -> Sequence[tuple[int, int]]:
        """Start and rows of each base window that starts in [first_us, last_us) and has a row, in order."""
        ...

    async def sweep(
        self,
        keepings: Sequence[Keeping],
        marks_before_us: int,
        marks_max: int,
        deliveries_before_us: int | None = None,
        turns_before_us: int | None = None,
    ) -> Swept:
        """Fold deltas, coarsen and expire panes, evict marks: those made before a time, and beyond a number a model.

        Senders whose last turn was before a time of its own are forgotten, and those beyond the same number, which marks do
        not take from. Deliveries that were delivered or given up before a time are dropped; pending ones never are.
        """
        ...
