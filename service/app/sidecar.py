"""A sidecar, put together, started and stopped: rows in, counts out to the centre.

It has the way of rows of any Driftline (decoding, checks, bins, the commit buffer), on a store that is the centre. There are
no evaluations, alerts, webhooks or series of drift: the centre has all counts, and decides. Nothing is written to a disk.
"""

import random
import secrets
from collections.abc import Mapping
from importlib.metadata import version as version_of
from typing import Final, Self

import structlog
from prometheus_client import CollectorRegistry

from service.api.guard import Guard
from service.api.inferences import Inferences
from service.api.intake import Intake
from service.api.plane import operations_only
from service.api.sidecar import SidecarContext, sidecar_application
from service.api.sidecar_page import SidecarDocument, SidecarModel, SidecarVersion
from service.app.bounds import control_limits, ingest_limits, key_ring
from service.app.following import Following
from service.app.relaying import Relaying
from service.app.steady import settle_down
from service.errors import StoreUnavailableError
from service.exporter import DriftSeries, OwnMetrics, UpstreamMetrics, render
from service.ingest.buffer import CommitBuffer, Limits
from service.ingest.schemas import Schemas
from service.ports import Clock
from service.registry.models import LiveModel, Registry
from service.settings import Settings
from service.storage.upstream import Patience, UpstreamStore
from service.windows.times import format_instant

__all__ = ["Sidecar"]

_VERSION: Final = version_of("driftline")
_KEY_VARIABLE: Final = "DRIFTLINE_STORE_KEY"
_AGAIN_FOR_S: Final = 12 * 3600.0
"""Half as long as a centre remembers a sender after its last batch (`service.ports.TURNS_KEPT_US`)."""

_LINGER_S: Final = 0.5
"""Two batches a second, where nobody waits for them: each is a commit at the centre, beside those of all other sidecars."""

_US_PER_S: Final = 1_000_000


class Sidecar:
    """A running sidecar.

    Parameters
    ----------
    settings : Settings
    store : UpstreamStore
    rng : random.Random
    """

    def __init__(self, settings: Settings, store: UpstreamStore, rng: random.Random) -> None:
        limits = settings.limits
        self.settings = settings
        self.store = store
        self.registry = Registry(store)
        self._collectors = CollectorRegistry()
        self.own = OwnMetrics(self._collectors, _VERSION)
        self.upstream = UpstreamMetrics(self._collectors)
        self.relaying = Relaying(
            self.own, self.upstream, rows_max=limits.buffer_rows_max, bytes_max=int(limits.buffer_bytes_max)
        )
        self._drift = DriftSeries(0)
        self._schemas = Schemas(limits.columns_max)
        self._stopping = False
        self._started = False
        self.following = Following(self.registry, store.check, rng, self.relaying.store_failed, on_gone=self._forget)
        self.buffer = CommitBuffer(
            store,
            self.registry,
            self.relaying,
            Limits(rows_max=limits.buffer_rows_max, bytes_max=int(limits.buffer_bytes_max)),
            tallied=True,
            linger_s=_LINGER_S,
            again_for_s=_AGAIN_FOR_S,
            keyed_for_s=lambda: store.keys_kept_us / _US_PER_S / 2,
        )
        access = key_ring(settings)
        self.context = SidecarContext(
            access=access,
            limits=control_limits(limits),
            begun=_begun,
            ready=self._not_ready,
            metrics=self._metrics,
            info={"version": _VERSION},
            standing=self._standing,
            centre=settings.store.place,
        )
        inferences = Inferences(
            registry=self.registry,
            intake=Intake(self.buffer, ingest_limits(limits)),
            schemas=self._schemas,
            clock=store.clock,
            access=access,
            begun=_begun,
            unknown=self._unknown,
            observe=self.relaying.requested,
        )
        self.application = sidecar_application(self.context, inferences, _VERSION, self.relaying.requested)

    @classmethod
    async def open(cls, settings: Settings, environment: Mapping[str, str], clock: Clock | None = None) -> Self:
        """Make the sidecar of the centre that the settings name; it need not be there yet."""
        rng = random.Random()  # noqa: S311 - jitter is no secret
        store = UpstreamStore(
            settings.store.url or "",
            environment.get(_KEY_VARIABLE) or None,
            clock,
            name=secrets.token_hex(8),
            patience=Patience(),
            rng=rng,
        )
        return cls(settings, store, rng)

    @property
    def operations(self) -> Guard:
        """Health and metrics alone, for a listener of their own."""
        return operations_only(self.context, _VERSION, self.relaying.requested)

    async def start(self) -> None:
        """Begin to work, whether the centre is there or not."""
        self.buffer.start()
        self.following.start()
        self._started = True
        settle_down()
        structlog.get_logger().info("ready", centre=self.settings.store.place)

    def retire(self) -> None:
        """Say that the end is near: the sidecar is not ready any more."""
        self._stopping = True

    async def stop(self) -> None:
        """Send what waits, and let go of the centre."""
        self._stopping = True
        await self.following.stop()
        await self.buffer.stop()
        await self.store.close()
        structlog.get_logger().info("stopped")

    async def _unknown(self, model: str) -> LiveModel | None:
        """A model that was not asked for before; it is followed from now on. The centre may make one that it does not know."""
        await self.registry.refresh(model)
        if self.registry.get(model) is None and await self.store.introduce(model):
            await self.registry.refresh(model)
        return self.registry.get(model)

    def _forget(self, model: str) -> None:
        self._schemas.forget(model)
        self.buffer.forget(model)

    async def _not_ready(self) -> str | None:
        if self._stopping or not self._started:
            return "stopping" if self._stopping else "starting"
        if self.settings.server.readiness == "sidecar":
            return None
        try:
            await self.store.check()
        except StoreUnavailableError as error:
            return str(error)
        return None

    def _standing(self) -> SidecarDocument:
        sent_at_us = self.store.sent_at_us
        return SidecarDocument(
            version=_VERSION,
            centre=self.settings.store.place,
            up=self.store.up,
            pending_rows=self.buffer.rows,
            oldest_pending_seconds=self.oldest_pending_s,
            dropped_rows=self.relaying.dropped_rows,
            last_sent=None if sent_at_us is None else format_instant(sent_at_us),
            models=[
                SidecarModel(
                    model=name,
                    versions=[
                        SidecarVersion(
                            version=version.version, reference_id=None if version.active is None else version.active.id
                        )
                        for version in live.versions.values()
                    ],
                )
                for name, live in sorted(self.registry.models.items())
            ],
        )

    async def _metrics(self, accept: str) -> tuple[bytes, str]:
        sent_at_us = self.store.sent_at_us
        self.upstream.keep_models(self.registry.models)
        self.upstream.stands(
            up=self.store.up,
            pending_rows=self.buffer.rows,
            oldest_pending_s=self.oldest_pending_s,
            last_sent_s=None if sent_at_us is None else sent_at_us / _US_PER_S,
        )
        return render(self._collectors, self._drift, accept)

    @property
    def oldest_pending_s(self) -> float:
        """How long the oldest row that waits has waited; 0 if none does."""
        oldest_us = self.buffer.oldest_us
        return 0.0 if oldest_us is None else max(0.0, (self.store.clock.now_us() - oldest_us) / _US_PER_S)


def _begun() -> None:
    """A sidecar answers whether its centre is there or not: what it has fetched before, it counts by."""
