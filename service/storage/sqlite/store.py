"""The store: what the port asks for, each on its lane. What is done there stands in the modules by subject.

To restore a backup, open it: it is a store like any other.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Literal, Self

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
from service.storage.sqlite import (
    committing,
    counts,
    dropping,
    evaluations,
    folding,
    health,
    models,
    opening,
    outbox,
    records,
    references,
    roles,
)
from service.storage.sqlite.failures import translated
from service.storage.sqlite.lane import Lane, Lanes
from service.storage.sqlite.log import LogCopier
from service.storage.sqlite.opening import Durability
from service.storage.sqlite.succession import Succession

__all__ = ["Durability", "SqliteStore"]

_CHECK_EVERY_US: Final = 1_000_000  # probes may come as often as they like
_LOCK_TIMEOUT_S: Final = 10.0  # another process holds the lock for milliseconds; this one has died or is stopped


class SqliteStore:
    """A store in one SQLite file; made by `open`."""

    def __init__(
        self, lanes: Lanes, clock: Clock, merge_sketches: MergeSketches | None, succession: Succession
    ) -> None:
        self._lanes = lanes
        self._succession = succession
        self._read, self._write = lanes.reader.read, lanes.writer.write
        self._clock = clock
        self._merge: folding.Merge = partial(codec.merge, merge_sketches=merge_sketches)
        self._proved_at_us: int | None = None
        self._log = LogCopier(lanes.keeper)

    @classmethod
    async def open(
        cls,
        path: Path,
        clock: Clock,
        *,
        merge_sketches: MergeSketches | None = None,
        durability: Durability = "process",
        lock_timeout_s: float = _LOCK_TIMEOUT_S,
        steps: Sequence[str] | None = None,
    ) -> Self:
        """Open a file, making it or bringing it up to date; any number of processes may have it open.

        Parameters
        ----------
        path : Path
            On a local disk: the write-ahead log needs shared memory.
        clock : Clock
        merge_sketches : callable, optional
            Merges the sketches of versions in learning mode; without it they are kept, but not folded.
        durability : {"process", "power"}
            What an acknowledged commit survives: a killed process, or a power cut as well.
        lock_timeout_s : float
            For so long a call waits for other processes.
        steps : sequence of str, optional
            Schema and migrations, for tests of migrations.

        Raises
        ------
        StoreUnavailableError
            The file cannot be opened, is damaged, not a store, or was written by a later version.
        """
        with translated():
            await asyncio.to_thread(
                opening.prepare, path, opening.scripts() if steps is None else steps, lock_timeout_s=lock_timeout_s
            )
        connect = partial(opening.connect, path, durability=durability, lock_timeout_s=lock_timeout_s)
        return cls(
            Lanes(
                writer=Lane("writer", connect),
                reader=Lane("reader", partial(connect, reading=True)),
                keeper=Lane("keeper", partial(connect, reading=True)),
            ),
            clock,
            merge_sketches,
            Succession(path),
        )

    async def now_us(self) -> int:
        """Time by the store's clock."""
        return self._clock.now_us()

    async def check(self) -> None:
        """Return if the store can be written to; a yes holds for a second."""
        now_us = self._clock.now_us()
        if self._proved_at_us is None or not 0 <= now_us - self._proved_at_us < _CHECK_EVERY_US:
            self._proved_at_us = None
            await self._write(health.prove)
            self._proved_at_us = now_us

    async def close(self) -> None:
        """Finish what was begun, and let go of the file."""
        await self._log.close()
        for lane in (self._lanes.keeper, self._lanes.reader, self._lanes.writer):
            await lane.close()
        self._succession.close()

    async def backup(self, path: Path) -> None:
        """Write a consistent copy, which can be opened as it is, while writers go on."""
        await self._lanes.keeper.run(partial(health.copy, path=path))

    # counts

    async def commit(self, commits: Sequence[Commit]) -> Sequence[Committed]:
        """Add counts and marks."""
        committed = await self._write(lambda c: committing.commit(c, commits, self._clock.now_us()))
        self._log.written(commits)
        return committed

    async def marks(self, model: str, keys: Sequence[str]) -> Sequence[Mark]:
        """Those marks that are known."""
        return await self._read(lambda c: committing.marks(c, model, keys))

    async def panes(self, series: Series, first_us: int, last_us: int) -> Sequence[Pane]:
        """Panes that start in [first_us, last_us), in order."""
        return await self._read(lambda c: counts.panes(c, series, first_us, last_us))

    async def rows_by_window(self, series: Series, first_us: int, last_us: int) -> Sequence[tuple[int, int]]:
        """Start and rows of each base window that starts in [first_us, last_us) and has a row."""
        return await self._read(lambda c: counts.rows_by_window(c, series, first_us, last_us))

    async def progress(self, model: str | None = None) -> Sequence[Progress]:
        """Of every version that has had a row."""
        return await self._read(lambda c: counts.progress(c, model))

    async def sweep(
        self,
        keepings: Sequence[Keeping],
        marks_before_us: int,
        marks_max: int,
        deliveries_before_us: int | None = None,
        turns_before_us: int | None = None,
    ) -> Swept:
        """Expire, evict, fold, coarsen; a pane that cannot be read is told of when all the others are done."""
        # Dropping comes first: in a full store it makes the room that folding needs.
        await dropping.drop_deleted_models(self._lanes)
        expired = [await dropping.expire(self._lanes, keeping) for keeping in keepings]
        evicted = await dropping.evict_marks(self._lanes, marks_before_us, marks_max)
        evicted += await dropping.forget_senders(self._lanes, turns_before_us, marks_max)
        if deliveries_before_us is not None:
            await dropping.drop_deliveries(self._lanes, deliveries_before_us)
        errors: folding.Errors = []
        folded = await folding.fold(self._lanes, self._merge, errors)
        coarsened = [await folding.coarsen(self._lanes, self._merge, keeping, errors) for keeping in keepings]
        if errors:
            raise errors[0]
        return Swept(
            deltas_folded=folded,
            panes_coarsened=sum(coarsened),
            panes_expired=sum(expired),
            marks_evicted=evicted,
        )

    # models and references

    async def models(self) -> Sequence[ModelRow]:
        """All of them, by name."""
        return await self._read(models.models)

    async def model(self, model: str) -> ModelRow | None:
        """One of them."""
        return await self._read(lambda c: models.model(c, model))

    async def epochs(self) -> Mapping[str, int]:
        """Epoch of each model."""
        return await self._read(models.epochs)

    async def put_model(
        self, model: str, configuration: bytes, owner: Literal["api", "file"], epoch: int | None
    ) -> int | None:
        """Make a model (epoch None) or change it (its epoch); the new epoch."""
        return await self._write(
            lambda c: models.put_model(c, model, configuration, owner, epoch, now_us=self._clock.now_us())
        )

    async def delete_model(self, model: str) -> bool:
        """Drop a model and all that is kept of it."""
        return await self._write(lambda c: models.delete_model(c, model))

    async def put_reference(self, row: ReferenceRow, document: bytes | None) -> None:
        """Keep a reference or the state of a job."""
        await self._write(lambda c: references.put_reference(c, row, document))

    async def references(self, model: str) -> Sequence[ReferenceRow]:
        """Of a model, in the order they were made."""
        return await self._read(lambda c: references.references(c, model))

    async def reference(self, model: str, reference_id: str) -> ReferenceRow | None:
        """One of them."""
        found = await self._read(lambda c: references.references(c, model, reference_id))
        return found[0] if found else None

    async def reference_document(self, model: str, reference_id: str) -> bytes | None:
        """Document of a ready reference."""
        return await self._read(lambda c: references.document(c, model, reference_id))

    async def delete_reference(self, model: str, reference_id: str) -> bool:
        """Drop one that no activation names and no pane needs."""
        return await self._write(lambda c: references.delete_reference(c, model, reference_id))

    async def activate(self, model: str, epoch: int, activation: Activation) -> int | None:
        """Append an activation; the new epoch."""
        return await self._write(lambda c: models.activate(c, model, epoch, activation, now_us=self._clock.now_us()))

    # evaluations, episodes, decisions

    async def record(self, record: Record) -> bool:
        """Write a step, unless something that it relied on has changed."""
        return await self._write(lambda c: records.record(c, record, self._clock.now_us()))

    async def evaluations(
        self, model: str, version: str, *, size: str | None, first_us: int | None, last_us: int | None, limit: int
    ) -> Sequence[EvaluationRow]:
        """Whose windows end in (first_us, last_us], latest end first."""
        return await self._read(
            lambda c: evaluations.of_version(
                c, model, version, size=size, first_us=first_us, last_us=last_us, limit=limit
            )
        )

    async def alert(self, model: str, version: str, segment: str = "") -> tuple[int, bytes] | None:
        """Revision and document of an alert state."""
        return await self._read(lambda c: evaluations.alert(c, model, version, segment))

    async def episodes(self, *, model: str | None, open_only: bool, limit: int) -> Sequence[EpisodeRow]:
        """Latest first."""
        return await self._read(lambda c: evaluations.episodes(c, model, limit, open_only=open_only))

    async def episode(self, episode_id: str) -> EpisodeRow | None:
        """One of them."""
        return await self._read(lambda c: evaluations.episode(c, episode_id))

    async def put_episode(self, row: EpisodeRow, alert: AlertChange | None, notices: Sequence[OutboxNotice]) -> bool:
        """Change an episode by hand."""
        return await self._write(lambda c: records.put_episode(c, row, alert, notices, self._clock.now_us()))

    async def decisions(self, model: str, version: str, first_us: int, last_us: int) -> Sequence[tuple[int, bytes]]:
        """Of windows that end in (first_us, last_us], in the order they were made."""
        return await self._read(lambda c: evaluations.decisions(c, model, version, first_us, last_us))

    # outbox

    async def enqueue(self, notices: Sequence[OutboxNotice]) -> None:
        """Put notices into the outbox."""
        await self._write(lambda c: outbox.enqueue(c, notices, self._clock.now_us()))

    async def claim(self, target: str, owner: str, until_us: int, limit: int) -> Sequence[Delivery]:
        """Pending deliveries of a target that are due, for one owner until a time; oldest first."""
        now_us = self._clock.now_us()
        claimed: list[Delivery] = []
        while due := await self._read(partial(outbox.due, target=target, limit=limit - len(claimed), now_us=now_us)):
            got = await self._write(partial(outbox.claim, numbers=due, owner=owner, until_us=until_us, now_us=now_us))
            claimed += got
            if len(got) == len(due):  # else another owner was faster, and there may be more
                break
        return claimed

    async def settle(self, owner: str, settled: Sequence[Settled]) -> None:
        """End attempts."""
        await self._write(lambda c: outbox.settle(c, owner, settled, self._clock.now_us()))

    async def deliveries(self, *, state: DeliveryState | None, target: str | None, limit: int) -> Sequence[Delivery]:
        """Latest first."""
        return await self._read(lambda c: outbox.deliveries(c, state, target, limit))

    async def retry_delivery(self, delivery_id: str) -> bool:
        """Make a dead delivery pending again, at once."""
        return await self._write(lambda c: outbox.retry(c, delivery_id, self._clock.now_us()))

    async def outbox_counts(self) -> Mapping[tuple[str, DeliveryState], int]:
        """Number of deliveries by target and state."""
        return await self._read(outbox.counts)

    async def targets_disabled(self) -> Mapping[str, str]:
        """Targets that asked for no more, and when."""
        return await self._read(outbox.targets_disabled)

    async def set_target_disabled(self, target: str, reason: str | None) -> None:
        """Disable a target, or enable it again (None)."""
        await self._write(lambda c: outbox.set_target_disabled(c, target, reason))

    # replicas, and the roles they have

    async def attend(self, member: str, ttl_us: int) -> Sequence[str]:
        """Say that a replica is there until now + ttl; all that are."""
        now_us = self._clock.now_us()
        take = self._succession.take
        return await self._write(lambda c: roles.attend(c, member, now_us + ttl_us, now_us, dead=take(member)))

    async def leave(self, member: str) -> None:
        """Say that a replica is there no more."""
        await self._write(lambda c: roles.leave(c, member))

    async def hold(self, models: Sequence[str], owner: str, ttl_us: int) -> Mapping[str, int]:
        """Take or renew roles; the fences of those that are the owner's now."""
        now_us = self._clock.now_us()
        return await self._write(lambda c: roles.hold(c, models, owner, now_us + ttl_us, now_us))

    async def release(self, models: Sequence[str], owner: str) -> None:
        """Give roles back."""
        await self._write(lambda c: roles.release(c, models, owner))
