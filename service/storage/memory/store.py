"""The store: nothing is awaited within a method, so each is atomic."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Self

import msgspec

from service.errors import StoreUnavailableError
from service.ports import (
    Activation,
    AlertChange,
    Clock,
    Commit,
    Committed,
    Delivery,
    DeliveryState,
    EpisodeRow,
    EvaluationRow,
    Keeping,
    Mark,
    ModelRow,
    OutboxNotice,
    Pane,
    Progress,
    Record,
    ReferenceRow,
    Series,
    Settled,
    Swept,
)
from service.storage import codec
from service.storage.codec import MergeSketches
from service.storage.memory import counts, outbox, records, roles
from service.storage.memory.state import ModelState, State

__all__ = ["MemoryStore"]


class MemoryStore:
    """A store in memory.

    Parameters
    ----------
    clock : Clock
    merge_sketches : callable, optional
        Merges the sketches of versions in learning mode.
    state : State, optional
        Of another store, to share with it what two processes share in a file.
    """

    def __init__(
        self, clock: Clock, *, merge_sketches: MergeSketches | None = None, state: State | None = None
    ) -> None:
        self._clock = clock
        self._merge = partial(codec.merge, merge_sketches=merge_sketches)
        self._held = state or State()
        self._closed = False

    @classmethod
    async def open(cls, path: Path, clock: Clock, *, merge_sketches: MergeSketches | None = None) -> Self:
        """Take up a backup."""
        state = msgspec.msgpack.decode(await asyncio.to_thread(path.read_bytes), type=State)
        return cls(clock, merge_sketches=merge_sketches, state=state)

    @property
    def state(self) -> State:
        """What the store holds."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        return self._held

    async def now_us(self) -> int:
        """Time by the store's clock."""
        return self._clock.now_us()

    async def check(self) -> None:
        """Return unless the store is closed."""
        _ = self.state

    async def close(self) -> None:
        """Let go of the store."""
        self._closed = True

    async def backup(self, path: Path) -> None:
        """Write a copy that `open` takes up."""
        await asyncio.to_thread(path.write_bytes, msgspec.msgpack.encode(self.state))

    # counts

    async def commit(self, commits: Sequence[Commit]) -> Sequence[Committed]:
        """Add counts and marks."""
        state = self.state
        return [counts.commit(state, commit, self._clock.now_us()) for commit in commits]

    async def marks(self, model: str, keys: Sequence[str]) -> Sequence[Mark]:
        """Those marks that are known."""
        known = self._model(model).marks
        return [known[key][0] for key in keys if key in known]

    async def panes(self, series: Series, first_us: int, last_us: int) -> Sequence[Pane]:
        """Panes that start in [first_us, last_us), in order."""
        return counts.panes(self.state, series, first_us, last_us)

    async def rows_by_window(self, series: Series, first_us: int, last_us: int) -> Sequence[tuple[int, int]]:
        """Start and rows of each base window that starts in [first_us, last_us) and has a row."""
        return counts.rows_by_window(self.state, series, first_us, last_us)

    async def progress(self, model: str | None = None) -> Sequence[Progress]:
        """Of every version that has had a row."""
        return list(counts.progress(self.state, model))

    async def sweep(
        self,
        keepings: Sequence[Keeping],
        marks_before_us: int,
        marks_max: int,
        deliveries_before_us: int | None = None,
        turns_before_us: int | None = None,
    ) -> Swept:
        """Expire, evict, fold, coarsen."""
        if deliveries_before_us is not None:
            outbox.drop(self.state, deliveries_before_us)
        return counts.sweep(
            self.state, keepings, marks_before_us, marks_max, self._merge, turns_before_us=turns_before_us
        )

    # models and references

    async def models(self) -> Sequence[ModelRow]:
        """All of them, by name."""
        return [_row_of(name, model) for name, model in sorted(self.state.models.items())]

    async def model(self, model: str) -> ModelRow | None:
        """One of them."""
        return _row_of(model, self.state.models[model]) if model in self.state.models else None

    async def epochs(self) -> Mapping[str, int]:
        """Epoch of each model."""
        return {name: model.epoch for name, model in self.state.models.items()}

    async def put_model(
        self, model: str, configuration: bytes, owner: Literal["api", "file"], epoch: int | None
    ) -> int | None:
        """Make a model (epoch None) or change it (its epoch); the new epoch."""
        found = self.state.models.get(model)
        if (None if found is None else found.epoch) != epoch:
            return None
        new = self.state.next_epoch(self._clock.now_us())
        if found is None:
            self.state.models[model] = ModelState(epoch=new, owner=owner, configuration=configuration)
        else:
            found.epoch, found.owner, found.configuration = new, owner, configuration
        return new

    async def delete_model(self, model: str) -> bool:
        """Drop a model and all that is kept of it."""
        if self.state.models.pop(model, None) is None:
            return False
        for key in [key for key in self.state.references if key[0] == model]:
            del self.state.references[key]
        for delivery_id in [key for key, row in self.state.outbox.items() if row.delivery.model == model]:
            del self.state.outbox[delivery_id]
        return True

    async def put_reference(self, row: ReferenceRow, document: bytes | None) -> None:
        """Keep a reference or the state of a job; a ready one keeps its document."""
        _, before = self.state.references.get((row.model, row.id), (None, None))
        kept = before if document is None and row.state == "ready" else document
        self.state.references[row.model, row.id] = row, kept

    async def references(self, model: str) -> Sequence[ReferenceRow]:
        """Of a model, in the order they were made."""
        rows = [row for row, _ in self.state.references.values() if row.model == model]
        return sorted(rows, key=lambda row: row.created_at_us)

    async def reference(self, model: str, reference_id: str) -> ReferenceRow | None:
        """One of them."""
        found = self.state.references.get((model, reference_id))
        return None if found is None else found[0]

    async def reference_document(self, model: str, reference_id: str) -> bytes | None:
        """Document of a ready reference."""
        found = self.state.references.get((model, reference_id))
        return found[1] if found is not None and found[0].state == "ready" else None

    async def delete_reference(self, model: str, reference_id: str) -> bool:
        """Drop one that no activation names and no pane needs."""
        found = self._model(model)
        named = any(activation.reference_id == reference_id for activation in found.activations)
        needed = any(panes and key[1] == reference_id for key, panes in found.panes.items())
        if named or needed:
            return False
        return self.state.references.pop((model, reference_id), None) is not None

    async def activate(self, model: str, epoch: int, activation: Activation) -> int | None:
        """Append an activation; the new epoch."""
        found = self.state.models.get(model)
        if found is None or found.epoch != epoch:
            return None
        found.activations.append(activation)
        found.epoch = self.state.next_epoch(self._clock.now_us())
        return found.epoch

    # evaluations, episodes, decisions

    async def record(self, record: Record) -> bool:
        """Write a step, unless something that it relied on has changed."""
        return records.record(self.state, record, self._clock.now_us())

    async def evaluations(
        self, model: str, version: str, *, size: str | None, first_us: int | None, last_us: int | None, limit: int
    ) -> Sequence[EvaluationRow]:
        """Whose windows end in (first_us, last_us], latest end first."""
        rows = [
            row
            for row in reversed(self._model(model).evaluations.values())
            if row.version == version
            and size in {None, row.size}
            and (first_us is None or row.end_us > first_us)
            and (last_us is None or row.end_us <= last_us)
        ]
        return sorted(rows, key=lambda row: row.end_us, reverse=True)[:limit]

    async def alert(self, model: str, version: str, segment: str = "") -> tuple[int, bytes] | None:
        """Revision and document of an alert state."""
        return self._model(model).alerts.get((version, segment))

    async def episodes(self, *, model: str | None, open_only: bool, limit: int) -> Sequence[EpisodeRow]:
        """Latest first."""
        found = [
            (episode.opened_at_us, episode.number, records.row_of(name, episode))
            for name, state in self.state.models.items()
            for episode in state.episodes.values()
            if model in {None, name} and (episode.open or not open_only)
        ]
        return [row for _, _, row in sorted(found, key=lambda item: item[:2], reverse=True)[:limit]]

    async def episode(self, episode_id: str) -> EpisodeRow | None:
        """One of them."""
        for name, model in self.state.models.items():
            if episode_id in model.episodes:
                return records.row_of(name, model.episodes[episode_id])
        return None

    async def put_episode(self, row: EpisodeRow, alert: AlertChange | None, notices: Sequence[OutboxNotice]) -> bool:
        """Change an episode by hand."""
        return records.put_episode(self.state, row, alert, notices, self._clock.now_us())

    async def decisions(self, model: str, version: str, first_us: int, last_us: int) -> Sequence[tuple[int, bytes]]:
        """Of windows that end in (first_us, last_us], in the order they were made."""
        made = self._model(model).decisions
        return [(end, document) for of, end, document in made if of == version and first_us < end <= last_us]

    # outbox

    async def enqueue(self, notices: Sequence[OutboxNotice]) -> None:
        """Put notices into the outbox."""
        outbox.enqueue(self.state, notices, self._clock.now_us())

    async def claim(self, target: str, owner: str, until_us: int, limit: int) -> Sequence[Delivery]:
        """Pending deliveries of a target that are due, for one owner until a time; oldest first."""
        return outbox.claim(self.state, target, owner, until_us, limit=limit, now_us=self._clock.now_us())

    async def settle(self, owner: str, settled: Sequence[Settled]) -> None:
        """End attempts."""
        outbox.settle(self.state, owner, settled, self._clock.now_us())

    async def deliveries(self, *, state: DeliveryState | None, target: str | None, limit: int) -> Sequence[Delivery]:
        """Latest first."""
        return outbox.deliveries(self.state, state, target, limit)

    async def retry_delivery(self, delivery_id: str) -> bool:
        """Make a dead delivery pending again, at once."""
        return outbox.retry(self.state, delivery_id, self._clock.now_us())

    async def outbox_counts(self) -> Mapping[tuple[str, DeliveryState], int]:
        """Number of deliveries by target and state."""
        return Counter((row.delivery.target, row.delivery.state) for row in self.state.outbox.values())

    async def targets_disabled(self) -> Mapping[str, str]:
        """Targets that asked for no more, and when."""
        return dict(self.state.targets_disabled)

    async def set_target_disabled(self, target: str, reason: str | None) -> None:
        """Disable a target, or enable it again (None)."""
        if reason is None:
            self.state.targets_disabled.pop(target, None)
        else:
            self.state.targets_disabled[target] = reason

    # replicas, and the roles they have

    async def attend(self, member: str, ttl_us: int) -> Sequence[str]:
        """Say that a replica is there until now + ttl; all that are."""
        return roles.attend(self.state, member, ttl_us, self._clock.now_us())

    async def leave(self, member: str) -> None:
        """Say that a replica is there no more."""
        self.state.members.pop(member, None)

    async def hold(self, models: Sequence[str], owner: str, ttl_us: int) -> Mapping[str, int]:
        """Take or renew roles; the fences of those that are the owner's now."""
        return roles.hold(self.state, models, owner, ttl_us, self._clock.now_us())

    async def release(self, models: Sequence[str], owner: str) -> None:
        """Give roles back."""
        roles.release(self.state, models, owner)

    def _model(self, name: str) -> ModelState:
        """A model, or one that has nothing."""
        return self.state.models.get(name) or ModelState(epoch=0, owner="api", configuration=b"")


def _row_of(name: str, model: ModelState) -> ModelRow:
    return ModelRow(
        model=name,
        epoch=model.epoch,
        owner=model.owner,
        configuration=model.configuration,
        activations=tuple(model.activations),
    )
