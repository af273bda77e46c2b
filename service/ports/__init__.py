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

from pathlib import Path
from typing import Protocol

from service.ports.clock import Clock
from service.ports.counts import (
    LEARNING,
    LEARNING_PANE_US,
    TURNS_KEPT_US,
    Commit,
    Committed,
    CountsStore,
    Delta,
    Keeping,
    Mark,
    Pane,
    PanesStore,
    Progress,
    Series,
    Swept,
    Tally,
    Turn,
)
from service.ports.decisions import AlertChange, CountsRead, DecisionsStore, EpisodeRow, EvaluationRow, Record
from service.ports.models import Activation, JobState, ModelRow, ModelsStore, ReferenceRow
from service.ports.outbox import Delivery, DeliveryState, OutboxNotice, OutboxStore, Settled
from service.ports.roles import RolesStore

__all__ = [
    "LEARNING",
    "LEARNING_PANE_US",
    "TURNS_KEPT_US",
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
    "Turn",
]


class Store(PanesStore, ModelsStore, DecisionsStore, OutboxStore, RolesStore, Protocol):
    """Everything that must outlive a process."""

    async def backup(self, path: Path) -> None:
        """Write a consistent copy that another store of the same kind can be opened on, while writers go on."""
        ...
