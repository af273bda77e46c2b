"""The store: what the port asks for. What is done stands in the modules by subject, and in scripts by operation."""

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
from service.storage.redis import backup, counts, dropping, index, keys, models, outbox, reading, records, roles
from service.storage.redis.connecting import Connecting
from service.storage.redis.folding import Folding, Merge
from service.storage.redis.server import Server

__all__ = ["RedisStore"]

_HEALTH: Final = f"{keys.ALL}health"
_HEALTH_KEPT_MS: Final = 60_000
_FILLER: Final = bytes(64 << 10)  # about two panes: with less left than that, the store is as good as full


class RedisStore:
    """A store in a Redis or Valkey, which any number of processes may share; made by `at` or `open`."""

    def __init__(self, server: Server, merge_sketches: MergeSketches | None) -> None:
        self._server = server
        self._progress: counts.Known = {}
        self._merge: Merge = partial(codec.merge, merge_sketches=merge_sketches)

    @classmethod
    def at(
        cls,
        url: str,
        clock: Clock | None = None,
        *,
        connecting: Connecting | None = None,
        merge_sketches: MergeSketches | None = None,
    ) -> Self:
        """As `open` makes it, and connected to when it is first used, which may be later than it is there.

        Raises
        ------
        StoreUnavailableError
            A file with a certificate or key cannot be read.
        """
        return cls(Server.at(url, clock, connecting or Connecting()), merge_sketches)

    @classmethod
    async def open(
        cls,
        url: str,
        clock: Clock | None = None,
        *,
        connecting: Connecting | None = None,
        merge_sketches: MergeSketches | None = None,
    ) -> Self:
        """Connect to a server.

        Parameters
        ----------
        url : str
            As `service.domain.redis_address` reads it: of a server, a socket, Sentinels or a cluster.
        clock : Clock, optional
            In the place of the server's own, for tests.
        connecting : Connecting, optional
            Passwords, certificates, limits and time-outs.
        merge_sketches : callable, optional
            Merges the sketches of versions in learning mode; without it they are kept, but not folded.

        Raises
        ------
        StoreUnavailableError
            The server cannot be reached, refuses, or holds keys of a later layout.
        """
        return cls(await Server.open(url, clock, connecting or Connecting()), merge_sketches)

    @classmethod
    async def restore(
        cls,
        path: Path,
        url: str,
        clock: Clock | None = None,
        *,
        connecting: Connecting | None = None,
        merge_sketches: MergeSketches | None = None,
    ) -> Self:
        """Put a backup into a Redis that holds no model, and open it."""
        store = await cls.open(url, clock, connecting=connecting, merge_sketches=merge_sketches)
        try:
            await backup.load(store._server, path)  # noqa: SLF001 - our own
        except BaseException:
            await store.close()
            raise
        return store

    async def now_us(self) -> int:
        """Time by the store's clock: the server's."""
        return await self._server.now_us()

    async def check(self) -> None:
        """Return if the store can be written to."""
        await self._server.written("SET", _HEALTH, _FILLER, "PX", _HEALTH_KEPT_MS)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._server.close()

    async def backup(self, path: Path) -> None:
        """Write a copy to a file, while writers go on."""
        await backup.save(self._server, path)

    # counts

    async def commit(self, commits: Sequence[Commit]) -> Sequence[Committed]:
        """Add counts and marks."""
        return await counts.commit(self._server, commits)

    async def marks(self, model: str, keys: Sequence[str]) -> Sequence[Mark]:
        """Those marks that are known."""
        return await counts.marks(self._server, model, keys)

    async def panes(self, series: Series, first_us: int, last_us: int) -> Sequence[Pane]:
        """Panes that start in [first_us, last_us), in order."""
        return await counts.panes(self._server, series, first_us, last_us)

    async def rows_by_window(self, series: Series, first_us: int, last_us: int) -> Sequence[tuple[int, int]]:
        """Start and rows of each base window that starts in [first_us, last_us) and has a row."""
        return await counts.rows_by_window(self._server, series, first_us, last_us)

    async def progress(self, model: str | None = None) -> Sequence[Progress]:
        """Of every version that has had a row."""
        if model is not None:
            return await counts.progress(self._server, model)
        return await counts.progress_of_all(self._server, await self._models(), self._progress)

    async def sweep(
        self,
        keepings: Sequence[Keeping],
        marks_before_us: int,
        marks_max: int,
        deliveries_before_us: int | None = None,
        turns_before_us: int | None = None,
    ) -> Swept:
        """Expire, evict, fold, coarsen; a pane that cannot be read is told of when all the others are done."""
        server = self._server
        expired = await dropping.expire(server, keepings)
        folding = Folding(server=server, merge=self._merge, errors=[])
        names = await self._models()
        evicted = await dropping.evict_marks(server, names, marks_before_us, marks_max)
        evicted += await dropping.forget_senders(server, names, turns_before_us, marks_max)
        folded = await folding.fold(names)
        coarsened = await folding.coarsen(keepings)
        if deliveries_before_us is not None:
            for model in await index.names(server, "outbox"):
                await dropping.drop_deliveries(server, model, deliveries_before_us)
        await index.strike(server, "models")
        await index.strike(server, "outbox")
        if folding.errors:
            raise folding.errors[0]
        return Swept(
            deltas_folded=folded,
            panes_coarsened=coarsened,
            panes_expired=expired,
            marks_evicted=evicted,
        )

    # models and references

    async def models(self) -> Sequence[ModelRow]:
        """All of them, by name."""
        return await models.models(self._server, await self._models())

    async def model(self, model: str) -> ModelRow | None:
        """One of them."""
        found = await models.models(self._server, [model])
        return found[0] if found else None

    async def epochs(self) -> Mapping[str, int]:
        """Epoch of each model."""
        return await models.epochs(self._server, await self._models())

    async def put_model(
        self, model: str, configuration: bytes, owner: Literal["api", "file"], epoch: int | None
    ) -> int | None:
        """Make a model (epoch None) or change it (its epoch); the new epoch."""
        return await models.put_model(self._server, model, configuration, owner, epoch)

    async def delete_model(self, model: str) -> bool:
        """Drop a model and all that is kept of it."""
        return await models.delete_model(self._server, model)

    async def put_reference(self, row: ReferenceRow, document: bytes | None) -> None:
        """Keep a reference or the state of a job."""
        await models.put_reference(self._server, row, document)

    async def references(self, model: str) -> Sequence[ReferenceRow]:
        """Of a model, in the order they were made."""
        return await models.references(self._server, model)

    async def reference(self, model: str, reference_id: str) -> ReferenceRow | None:
        """One of them."""
        return await models.reference(self._server, model, reference_id)

    async def reference_document(self, model: str, reference_id: str) -> bytes | None:
        """Document of a ready reference."""
        return await models.document(self._server, model, reference_id)

    async def delete_reference(self, model: str, reference_id: str) -> bool:
        """Drop one that no activation names and no pane needs."""
        return await models.delete_reference(self._server, model, reference_id)

    async def activate(self, model: str, epoch: int, activation: Activation) -> int | None:
        """Append an activation; the new epoch."""
        return await models.activate(self._server, model, epoch, activation)

    # evaluations, episodes, decisions

    async def record(self, record: Record) -> bool:
        """Write a step, unless something that it relied on has changed."""
        return await records.record(self._server, record)

    async def evaluations(
        self, model: str, version: str, *, size: str | None, first_us: int | None, last_us: int | None, limit: int
    ) -> Sequence[EvaluationRow]:
        """Whose windows end in (first_us, last_us], latest end first."""
        return await reading.of_version(
            self._server, model, version, size=size, first_us=first_us, last_us=last_us, limit=limit
        )

    async def alert(self, model: str, version: str, segment: str = "") -> tuple[int, bytes] | None:
        """Revision and document of an alert state."""
        return await reading.alert(self._server, model, version, segment)

    async def episodes(self, *, model: str | None, open_only: bool, limit: int) -> Sequence[EpisodeRow]:
        """Latest first."""
        wanted = await self._models() if model is None else [model]
        return await reading.episodes(self._server, wanted, limit, open_only=open_only)

    async def episode(self, episode_id: str) -> EpisodeRow | None:
        """One of them."""
        return await reading.episode(self._server, await self._models(), episode_id)

    async def put_episode(self, row: EpisodeRow, alert: AlertChange | None, notices: Sequence[OutboxNotice]) -> bool:
        """Change an episode by hand."""
        return await records.put_episode(self._server, row, alert, notices)

    async def decisions(self, model: str, version: str, first_us: int, last_us: int) -> Sequence[tuple[int, bytes]]:
        """Of windows that end in (first_us, last_us], in the order they were made."""
        return await reading.decisions(self._server, model, version, first_us, last_us)

    # outbox

    async def enqueue(self, notices: Sequence[OutboxNotice]) -> None:
        """Put notices into the outbox."""
        await outbox.enqueue(self._server, notices)

    async def claim(self, target: str, owner: str, until_us: int, limit: int) -> Sequence[Delivery]:
        """Pending deliveries of a target that are due, for one owner until a time; oldest first."""
        return await outbox.claim(self._server, target, owner, until_us, limit)

    async def settle(self, owner: str, settled: Sequence[Settled]) -> None:
        """End attempts."""
        await outbox.settle(self._server, owner, settled)

    async def deliveries(self, *, state: DeliveryState | None, target: str | None, limit: int) -> Sequence[Delivery]:
        """Latest first."""
        return await outbox.deliveries(self._server, state, target, limit)

    async def retry_delivery(self, delivery_id: str) -> bool:
        """Make a dead delivery pending again, at once."""
        return await outbox.retry(self._server, delivery_id)

    async def outbox_counts(self) -> Mapping[tuple[str, DeliveryState], int]:
        """Number of deliveries by target and state."""
        return await outbox.counts(self._server)

    async def targets_disabled(self) -> Mapping[str, str]:
        """Targets that asked for no more, and when."""
        return await outbox.targets_disabled(self._server)

    async def set_target_disabled(self, target: str, reason: str | None) -> None:
        """Disable a target, or enable it again (None)."""
        await outbox.set_target_disabled(self._server, target, reason)

    # replicas, and the roles they have

    async def attend(self, member: str, ttl_us: int) -> Sequence[str]:
        """Say that a replica is there until now + ttl; all that are."""
        return await roles.attend(self._server, member, ttl_us)

    async def leave(self, member: str) -> None:
        """Say that a replica is there no more."""
        await roles.leave(self._server, member)

    async def hold(self, models: Sequence[str], owner: str, ttl_us: int) -> Mapping[str, int]:
        """Take or renew roles; the fences of those that are the owner's now."""
        return await roles.hold(self._server, models, owner, ttl_us)

    async def release(self, models: Sequence[str], owner: str) -> None:
        """Give roles back."""
        await roles.release(self._server, models, owner)

    async def _models(self) -> Sequence[str]:
        return await index.names(self._server, "models")
