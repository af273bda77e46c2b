"""The parts of the service, put together, started and stopped."""

import asyncio
import gc
import os
import random
import re
import secrets
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Self

import structlog
from prometheus_client import CollectorRegistry

from service.alerts.rules import Rules, rules_of
from service.api.application import Application
from service.api.context import Context
from service.api.counts import Counts, CountsLimits
from service.api.guard import Guard
from service.api.inferences import Inferences
from service.api.intake import Intake
from service.api.models import make_model
from service.api.plane import operations_only
from service.app.bounds import control_limits, ingest_limits, key_ring
from service.app.declared import apply_models
from service.app.steady import settle_down
from service.app.stores import open_store
from service.app.waiting import Outage, begin_when_there
from service.app.watching import Watching
from service.clock import SystemClock
from service.domain.configuration import NAME_PATTERN
from service.domain.durations import parse_duration_s
from service.errors import StoreUnavailableError
from service.evaluation.evaluators import Evaluators
from service.evaluation.job import EvaluationJob
from service.evaluation.provisional import Looks
from service.evaluation.silence import SilenceWatch
from service.evaluation.trusting import Trusts
from service.exporter import DriftSeries, OwnMetrics, render
from service.ingest.buffer import CommitBuffer, Limits
from service.ingest.gathering import CountsBuffer
from service.ingest.schemas import Schemas
from service.ports import Clock, DeliveryState, Store
from service.references.jobs import ReferenceJobs
from service.references.learning import Learning
from service.registry.models import LiveModel, Registry
from service.scheduler.board import Board
from service.scheduler.roles import Roles
from service.scheduler.ticks import Kept, Ticks
from service.settings import Settings
from service.webhooks import Dispatcher, resolve_targets

__all__ = ["Service"]

_VERSION = version_of("driftline")
_PROBE_S = 2.0
"""For so long a probe or a scrape waits for the store: both are given up soon, and have something to say without it."""


class Service:
    """A running service.

    Parameters
    ----------
    settings : Settings
    store : Store
    clock : Clock
    environment : mapping
        Where secrets of targets are.
    monotonic_s : callable
        What rounds and leases are timed by.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        environment: Mapping[str, str],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        limits = settings.limits
        self.settings = settings
        self.store = store
        self.registry = Registry(store)
        self.owner = f"{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"
        self._collectors = CollectorRegistry()
        self.own = OwnMetrics(self._collectors, _VERSION)
        self.watching = Watching(self.own, rows_max=limits.buffer_rows_max, bytes_max=int(limits.buffer_bytes_max))
        self._drift = DriftSeries(limits.series_max)
        evaluators = Evaluators(limits.rows_exposed_min)
        self._looks = Looks(store, evaluators)
        self._schemas = Schemas(limits.columns_max)
        self._stopping = False
        self._taken_up = self._started = False
        self._outage = Outage("the store is away: the start waits for it", "the store is there")
        self.dispatcher = Dispatcher(
            store,
            resolve_targets(settings.targets, environment),
            clock,
            random.Random(),  # noqa: S311 - jitter is no secret
            self.owner,
            on_outcome=self.watching.delivered,
            drain_s=parse_duration_s(limits.stop_timeout),
        )
        folder = settings.store.database.parent
        self.jobs = ReferenceJobs(store, self.registry, folder, upload_bytes_max=int(limits.upload_bytes_max))
        self.board = Board(store, self.registry, self._drift)
        self.roles = Roles(store, self.owner, monotonic_s=monotonic_s)
        self.ticks = Ticks(
            store=store,
            registry=self.registry,
            job=EvaluationJob(
                store=store,
                registry=self.registry,
                evaluators=evaluators,
                rules=self._rules,
                observer=self.watching,
                on_notices=self.dispatcher.wake,
                on_recorded=self.board.take,
            ),
            looks=self._looks,
            silence=SilenceWatch(store, self._rules),
            learning=Learning(store, self.jobs),
            jobs=self.jobs,
            board=self.board,
            roles=self.roles,
            kept=Kept(
                evaluations_s=parse_duration_s(limits.evaluations_retention),
                marks_s=parse_duration_s(limits.idempotency_retention),
                marks_max=limits.idempotency_max,
            ),
            on_notices=self.dispatcher.wake,
            on_swept=self.watching.swept,
            on_store_failed=self.watching.store_failed,
            monotonic_s=monotonic_s,
        )
        self.buffer = CommitBuffer(
            store,
            self.registry,
            self.watching,
            Limits(rows_max=limits.buffer_rows_max, bytes_max=int(limits.buffer_bytes_max)),
            on_commit=self.ticks.touch,
        )
        self.counts = CountsBuffer(
            store, self.watching, bytes_max=int(limits.buffer_bytes_max), on_commit=self.ticks.touch
        )
        access = key_ring(settings)
        self.context = Context(
            store=store,
            registry=self.registry,
            jobs=self.jobs,
            evaluators=evaluators,
            looks=self._looks,
            trusts=Trusts(evaluators),
            clock=clock,
            access=access,
            limits=control_limits(limits),
            rules=self._rules,
            targets=frozenset(settings.targets),
            begun=self._begun,
            ready=self._not_ready,
            metrics=self._metrics,
            on_notices=self.dispatcher.wake,
            forget=self._forget,
            info={"version": _VERSION},
        )
        ingest = ingest_limits(limits)
        inferences = Inferences(
            registry=self.registry,
            intake=Intake(self.buffer, ingest),
            schemas=self._schemas,
            clock=clock,
            access=access,
            begun=self._begun,
            unknown=self._unknown,
            observe=self.watching.requested,
        )
        counts = Counts(
            store=store,
            registry=self.registry,
            buffer=self.counts,
            access=access,
            begun=self._begun,
            limits=CountsLimits(
                body_bytes_max=ingest.body_bytes_max,
                inflated_bytes_max=ingest.inflated_bytes_max,
                read_timeout_s=ingest.read_timeout_s,
                body_timeout_s=ingest.body_timeout_s,
            ),
            unknown=self._unknown,
            observe=self.watching.requested,
        )
        self.application = Application(self.context, inferences, counts, _VERSION, self.watching.requested)

    @classmethod
    async def open(cls, settings: Settings, environment: Mapping[str, str], clock: Clock | None = None) -> Self:
        """Open the store that the settings name, and make the service on it; a Redis is waited for by `start`.

        Raises
        ------
        StoreUnavailableError
        DeclarationError
            A secret of a target is missing.
        """
        at = clock or SystemClock()
        await asyncio.to_thread(Path.mkdir, settings.store.database.parent, parents=True, exist_ok=True)
        store = await open_store(settings.store, environment, clock)
        try:
            return cls(settings, store, at, environment)
        except BaseException:
            await store.close()
            raise

    @property
    def operations(self) -> Guard:
        """Health and metrics alone, for a listener of their own."""
        return operations_only(self.context, _VERSION, self.watching.requested)

    async def start(self) -> None:
        """Read what is there as soon as it is, and begin to work.

        Raises
        ------
        UnusableStoreError
        UnusableReferenceError
            Of a model in the settings.
        """
        started = time.perf_counter()
        jitter = random.Random()  # noqa: S311 - jitter is no secret
        await begin_when_there(self.take_up, jitter, self._outage, self._not_yet)
        self.buffer.start()
        self.counts.start()
        self._delivering = asyncio.create_task(self.dispatcher.run(), name="dispatcher")
        self.ticks.start()
        self._started = True
        settle_down()
        structlog.get_logger().info(
            "ready",
            models=len(self.registry.models),
            store=self.settings.store.place,
            seconds=round(time.perf_counter() - started, 3),
        )

    async def take_up(self) -> None:
        """Read what is there; requests are answered from then on."""
        await self.registry.refresh()
        await apply_models(self.settings, self.store, self.registry, self.jobs)
        await self.ticks.take_up()
        self._taken_up = True

    def retire(self) -> None:
        """Say that the end is near: the service is not ready any more, and begins no delivery."""
        if not self._stopping:
            self._stopping = True
            self._retiring = asyncio.create_task(self.dispatcher.stop(), name="last deliveries")

    async def stop(self) -> None:
        """Commit what waits, end what was begun, and let go of the store."""
        self._stopping = True
        await self.buffer.stop()
        await self.counts.stop()
        await self.jobs.stop()
        await self.dispatcher.stop()
        if self._started:
            await self._delivering
            await self.ticks.stop()
        await self.store.close()
        structlog.get_logger().info("stopped")

    def _not_yet(self) -> None:
        self.watching.store_failed("start")
        if not gc.isenabled():  # it is off for a start that is short; to wait may take hours
            settle_down()

    def _begun(self) -> None:
        if not self._taken_up:
            state = "the service is stopping" if self._stopping else "the service is starting"
            raise StoreUnavailableError(self._outage.reason or state)

    def _rules(self, model: LiveModel) -> Rules:
        return rules_of(model.configuration, self.settings.targets)

    async def _unknown(self, model: str) -> LiveModel | None:
        """The store may know of a model that this process does not know of yet; else it may be made."""
        await self.registry.refresh(model)
        live = self.registry.get(model)
        if (
            live is None
            and self.settings.limits.unknown_models == "learn"
            and re.fullmatch(NAME_PATTERN, model) is not None
        ):
            return await make_model(self.context, model)
        return live

    async def _not_ready(self) -> str | None:
        if self._stopping:
            return "stopping"
        waits_for = None if self._started else self._outage.reason or "starting"
        if self.settings.server.readiness == "sidecar" and waits_for != "starting":
            return None
        if waits_for is not None:
            return waits_for
        try:
            async with asyncio.timeout(_PROBE_S):
                await self.store.check()
        except StoreUnavailableError as error:
            return str(error)
        except TimeoutError:
            return f"the store does not answer within {_PROBE_S:.0f} s"
        return None

    async def _metrics(self, accept: str) -> tuple[bytes, str]:
        started = time.perf_counter()
        fences = self.roles.fences
        self.board.keep(fences)
        self.own.leases(len(fences))
        self.own.keep_models(self.registry.models)
        for model in self.registry.models:
            self.own.add_model(model)
        self.own.outbox(await self._outbox_counts() if self._started else {})
        body, content_type = render(self._collectors, self._drift, accept)
        self.own.scraped(time.perf_counter() - started)
        return body, content_type

    async def _outbox_counts(self) -> Mapping[tuple[str, DeliveryState], int]:
        try:
            async with asyncio.timeout(_PROBE_S):
                return await self.store.outbox_counts()
        except (StoreUnavailableError, TimeoutError):
            self.watching.store_failed("outbox_counts")
            return {}  # what was known is not known any more

    def _forget(self, model: str) -> None:
        self.board.forget(model)
        self._looks.forget(model)
        self._schemas.forget(model)
        self.buffer.forget(model)
        self.own.remove_model(model)
