"""What the service needs of the world outside: clocks and stores.

The comments are the contract; one test suite holds every adapter to it.

A store keeps counts and decisions, never rows. Every method is atomic by itself; what belongs to one model is decided
within that model alone, so that an adapter may shard by model. Any number of processes may use one store at a time: nobody
relies on what was read before, but says in the write what it relied on (an epoch, a number of rows, a revision), and is
told if that has changed. Adapters raise `StoreUnavailableError` and nothing else when the store cannot be reached, is full,
or is read-only; then nothing of the call has been written, unless the wire broke after it was sent: then all of it or nothing
has, and nobody knows. So what must not be done twice says what it relied on, or bears a key.

Times are microseconds since the epoch, UTC. Documents are opaque bytes to the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

__all__ = [
    "LEARNING",
    "LEARNING_PANE_US",
    "Activation",
    "AlertChange",
    "Clock",
    "Commit",
    "Committed",
    "CountsRead",
    "CountsStore",
    "Delivery",
    "DeliveryState",
    "Delta",
    "EpisodeRow",
    "EvaluationRow",
    "JobState",
    "Keeping",
    "Mark",
    "ModelRow",
    "OutboxNotice",
    "Pane",
    "Progress",
    "Record",
    "ReferenceRow",
    "Series",
    "Settled",
    "Store",
    "Swept",
    "Tally",
]

LEARNING = "learning"
"""Stands for the reference where a version has none yet: its payloads are sketches, not counts."""

LEARNING_PANE_US = 1 << 62
"""Panes of what is learned begin here, one an hour: beyond all times, so never late, never old and never evaluated."""


class Clock(Protocol):
    """The one who asks the time."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...


# --- counts ---------------------------------------------------------------------------------------------------------


JobState: TypeAlias = Literal["receiving", "building", "replaying", "ready", "failed"]
"""Of a reference on its way."""


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
    """

    model: str
    epoch: int
    deltas: Sequence[Delta]
    marks: Sequence[Mark] = ()
    newest_us: Mapping[str, int] = field(default_factory=dict)
    tally: Tally = _NO_TALLY
    rows_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What became of a commit.

    `committed`: all of it is in the store. Otherwise nothing is: `duplicate` (some marks were known; they are in `known`,
    as they were stored), `stale` (the model's epoch has moved on, or the model is gone), `refused` (a store that judges what it
    is sent will never take this, for a `reason`).
    """

    status: Literal["committed", "duplicate", "stale", "refused"]
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


# --- models and references ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """That rows from an event time on are counted with a reference; the first of a version has no beginning (None)."""

    version: str
    reference_id: str
    from_us: int | None
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model.

    Parameters
    ----------
    model : str
    epoch : int
        Grows with every change of this row; never comes back, not even when a deleted model is made again.
    owner : {"api", "file"}
        Who may change its configuration.
    configuration : bytes
        JSON of `ModelConfiguration`.
    activations : sequence of Activation
        In the order they were made.
    """

    model: str
    epoch: int
    owner: Literal["api", "file"]
    configuration: bytes
    activations: Sequence[Activation] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRow:
    """A reference of a model version, or the job that makes one.

    Parameters
    ----------
    id : str
        Content hash of a finished reference, or id of the job.
    state : {"receiving", "building", "replaying", "ready", "failed"}
    created_at_us, updated_at_us : int
    summary : bytes
        JSON for lists: rows, columns, findings, progress, the reason of a failure.
    """

    id: str
    model: str
    version: str
    state: JobState
    created_at_us: int
    updated_at_us: int
    summary: bytes


# --- evaluations, alerts, notices -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """One evaluation; its key is (model, version, segment, reference_id, size, start_us).

    Parameters
    ----------
    sequence : int
        Order in which evaluations were recorded over all models; given by the store, 0 until then.
    size : str
        Label of the window: `1h`, `6h`, `1000rows`.
    verdict : str
    revision : int
    document : bytes
        JSON of `driftline.evaluation/1`.
    """

    sequence: int = 0
    model: str
    version: str
    segment: str = ""
    reference_id: str
    size: str
    start_us: int
    end_us: int
    verdict: str
    rows: int
    revision: int
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsRead:
    """What a decision rests on: so many rows were in this span."""

    series: Series
    first_us: int
    last_us: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """New alert state of a (version, segment); `revision` is the one it replaces, 0 for none."""

    version: str
    segment: str = ""
    revision: int
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRow:
    """An alert episode as people see it; `revision` is the one it replaces, 0 for none (on reading: its own)."""

    id: str
    model: str
    version: str
    opened_at_us: int
    open: bool
    revision: int
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxNotice:
    """A notice for one target.

    Parameters
    ----------
    id : str
        Of the delivery: the notice's id and the target's name. A notice that is already there is left alone.
    order_key : str
        Notices with the same target and order key are delivered one after the other, by `sequence`.
    """

    id: str
    target: str
    order_key: str
    sequence: int
    model: str
    created_at_us: int
    notice: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A step of one model version: evaluations, the change of alert state and its notices, all or nothing.

    Parameters
    ----------
    model, version : str
    epoch : int
    was_evaluated_until_us, evaluated_until_us : int or None
        Where the version was, and where it is then.
    relied_on : sequence of CountsRead
        The record is refused if any of these spans has another number of rows by now.
    cleaned : mapping of int to int
        Dirty base windows that were evaluated again, as they were read from `Progress.dirty`.
    evaluations : sequence of EvaluationRow
        Each replaces the one with its key, if there is one.
    alert : AlertChange, optional
    episodes : sequence of EpisodeRow
    notices : sequence of OutboxNotice
    decisions : sequence of (int, bytes)
        Appended to the decision log: end of the window, document.
    fence : int, optional
        Of the role that the step is made in; the record is refused if that is held by it no longer. None asks for no role.
    """

    model: str
    version: str
    epoch: int
    was_evaluated_until_us: int | None
    evaluated_until_us: int | None
    relied_on: Sequence[CountsRead] = ()
    cleaned: Mapping[int, int] = field(default_factory=dict)
    evaluations: Sequence[EvaluationRow] = ()
    alert: AlertChange | None = None
    episodes: Sequence[EpisodeRow] = ()
    notices: Sequence[OutboxNotice] = ()
    decisions: Sequence[tuple[int, bytes]] = ()
    fence: int | None = None


DeliveryState = Literal["pending", "delivered", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A notice on its way to one target."""

    id: str
    target: str
    order_key: str
    sequence: int
    model: str
    notice: bytes
    state: DeliveryState
    attempts: int
    created_at_us: int
    next_attempt_us: int
    updated_at_us: int
    last: str
    """What the last attempt ended with: `204`, `timeout`, `refused` ...; empty before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Outcome of an attempt: delivered, dead, or pending again until `next_attempt_us`."""

    id: str
    state: DeliveryState
    next_attempt_us: int
    last: str


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
    """Marks dropped for their number, before their time."""


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
        """Add counts and marks; advance each version's newest event time; touch evaluated base windows.

        Each commit is all or nothing; together they may share one transaction. A delta whose base window starts before
        the version's `evaluated_until_us` makes that window dirty, once more each time.
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


class Store(CountsStore, Protocol):
    """Everything that must outlive a process."""

    async def backup(self, path: Path) -> None:
        """Write a consistent copy that another store of the same kind can be opened on, while writers go on."""
        ...

    # counts

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
        self, keepings: Sequence[Keeping], marks_before_us: int, marks_max: int, deliveries_before_us: int | None = None
    ) -> Swept:
        """Fold deltas, coarsen and expire panes, evict marks: those made before a time, and beyond a number a model.

        Deliveries that were delivered or given up before a time are dropped; pending ones never are.
        """
        ...

    # models and references

    async def models(self) -> Sequence[ModelRow]:
        """All of them, by name."""
        ...

    async def put_model(
        self, model: str, configuration: bytes, owner: Literal["api", "file"], epoch: int | None
    ) -> int | None:
        """Make a model (epoch None) or change it (its epoch); the new epoch, or None if that was not how it stood."""
        ...

    async def delete_model(self, model: str) -> bool:
        """Drop a model and all that is kept of it, its pending notices too; whether there was one."""
        ...

    async def put_reference(self, row: ReferenceRow, document: bytes | None) -> None:
        """Keep a reference (ready: with its document) or the state of a job; replaces the row of the same model and id."""
        ...

    async def references(self, model: str) -> Sequence[ReferenceRow]:
        """Of a model, in the order they were made."""
        ...

    async def reference(self, model: str, reference_id: str) -> ReferenceRow | None:
        """One of them."""
        ...

    async def delete_reference(self, model: str, reference_id: str) -> bool:
        """Drop one that no activation names and no pane needs; whether it was dropped."""
        ...

    async def activate(self, model: str, epoch: int, activation: Activation) -> int | None:
        """Append an activation; the new epoch, or None if the model's was another one."""
        ...

    # evaluations, episodes, decisions

    async def record(self, record: Record) -> bool:
        """Write a step, unless something that it relied on has changed or its role is lost; whether it was written."""
        ...

    async def evaluations_after(self, sequence: int, limit: int) -> Sequence[EvaluationRow]:
        """Recorded after a sequence number, in that order; replaced ones come again under their new number."""
        ...

    async def evaluations(
        self, model: str, version: str, *, size: str | None, first_us: int | None, last_us: int | None, limit: int
    ) -> Sequence[EvaluationRow]:
        """Whose windows end in (first_us, last_us], latest end first."""
        ...

    async def alert(self, model: str, version: str, segment: str = "") -> tuple[int, bytes] | None:
        """Revision and document of an alert state."""
        ...

    async def episodes(self, *, model: str | None, open_only: bool, limit: int) -> Sequence[EpisodeRow]:
        """Latest first."""
        ...

    async def episode(self, episode_id: str) -> EpisodeRow | None:
        """One of them."""
        ...

    async def put_episode(self, row: EpisodeRow, alert: AlertChange | None, notices: Sequence[OutboxNotice]) -> bool:
        """Change an episode by hand, with the alert state and notices that go with it; False if either has changed."""
        ...

    async def decisions(self, model: str, version: str, first_us: int, last_us: int) -> Sequence[tuple[int, bytes]]:
        """Of the decision log, those of windows that end in (first_us, last_us], in the order they were made."""
        ...

    # outbox

    async def enqueue(self, notices: Sequence[OutboxNotice]) -> None:
        """Put notices into the outbox that no record carries, such as a test."""
        ...

    async def claim(self, target: str, owner: str, until_us: int, limit: int) -> Sequence[Delivery]:
        """Pending deliveries of a target that are due, for one owner until a time; oldest first.

        Of each order key only the first pending one, and none while that one is claimed or not yet due.
        """
        ...

    async def settle(self, owner: str, settled: Sequence[Settled]) -> None:
        """End attempts. Those whose claim has passed to another owner are left alone."""
        ...

    async def deliveries(self, *, state: DeliveryState | None, target: str | None, limit: int) -> Sequence[Delivery]:
        """Latest first."""
        ...

    async def retry_delivery(self, delivery_id: str) -> bool:
        """Make a dead delivery pending again, at once; whether there was one."""
        ...

    async def outbox_counts(self) -> Mapping[tuple[str, DeliveryState], int]:
        """Number of deliveries by target and state."""
        ...

    async def targets_disabled(self) -> Mapping[str, str]:
        """Targets that asked for no more (410), and when."""
        ...

    async def set_target_disabled(self, target: str, reason: str | None) -> None:
        """Disable a target, or enable it again (None)."""
        ...

    # replicas, and the roles they have

    async def attend(self, member: str, ttl_us: int) -> Sequence[str]:
        """Say that a replica is there until now + ttl; all that are, sorted."""
        ...

    async def leave(self, member: str) -> None:
        """Say that a replica is there no more."""
        ...

    async def hold(self, models: Sequence[str], owner: str, ttl_us: int) -> Mapping[str, int]:
        """Take or renew the roles of models until now + ttl; by model, the fences of those that are the owner's now.

        A role is one owner's until it has run out or is given back; a model that is not there has none. Its fence stays
        while it is held without a gap. Whoever takes it anew gets a larger one, so that a record of before is refused,
        however late it comes.
        """
        ...

    async def release(self, models: Sequence[str], owner: str) -> None:
        """Give roles back; those of another owner are left alone."""
        ...
