"""The ticks of the service, driven by APScheduler.

Each tick is short and starts where the last one ended; a tick that is missed is not made up for. Which models are evaluated here
is decided by roles; a race between two replicas changes nothing, because every record says what it relied on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from service.domain import Evaluation
from service.domain.durations import parse_duration_s
from service.errors import StoreUnavailableError
from service.evaluation.job import EvaluationJob
from service.evaluation.provisional import Looks
from service.evaluation.silence import SilenceWatch
from service.evaluation.spans import earliest_us
from service.ports import TURNS_KEPT_US, Keeping, Progress, Store, Swept
from service.references.jobs import ReferenceJobs
from service.references.learning import Learning
from service.registry.models import LiveModel, Registry
from service.scheduler.board import Board
from service.scheduler.roles import Roles
from service.windows.zones import US_PER_S

__all__ = ["Kept", "Ticks"]

EVALUATE_EVERY_S: Final = 1.0
SWEEP_EVERY_S: Final = 5.0
TEND_EVERY_S: Final = 15.0
KEEP_ROLES_EVERY_S: Final = 5.0
"""Beside the ticks that evaluate, of which one may take longer than a lease lasts."""

_BUDGET_S: Final = 0.5
"""Time that one model may take of a tick before the others have their turn."""

_END_S: Final = 5.0
"""Time that the ticks under way have to end when the service stops; what they have not recorded by then is done again."""


class Kept:
    """How long things are kept that the configuration of a model says nothing of."""

    def __init__(self, *, evaluations_s: int, marks_s: int, marks_max: int) -> None:
        self.evaluations_us = evaluations_s * US_PER_S
        self.marks_us = marks_s * US_PER_S
        self.marks_max = marks_max


class Ticks:
    """Runs what happens by itself.

    Parameters
    ----------
    store, registry, job, looks, silence, learning, jobs, board, roles
        Parts of the service.
    kept : Kept
    on_notices : callable
    on_swept : callable
    on_store_failed : callable
        Told of the operation.
    monotonic_s : callable
        What rounds are timed by.
    """

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        job: EvaluationJob,
        looks: Looks,
        silence: SilenceWatch,
        learning: Learning,
        jobs: ReferenceJobs,
        board: Board,
        roles: Roles,
        kept: Kept,
        on_notices: Callable[[], None],
        on_swept: Callable[[Swept], None],
        on_store_failed: Callable[[str], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._registry = registry
        self._job = job
        self._looks = looks
        self._silence = silence
        self._learning = learning
        self._jobs = jobs
        self._board = board
        self._roles = roles
        self._kept = kept
        self._on_notices = on_notices
        self._on_swept = on_swept
        self._on_store_failed = on_store_failed
        self._monotonic_s = monotonic_s
        self._scheduler = AsyncIOScheduler()
        self._touched: set[str] = set()
        self._next_look_s: dict[tuple[str, str], float] = {}
        self._looked: list[tuple[LiveModel, Sequence[Evaluation]]] = []
        self._failing: set[str] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._stopping = False

    def touch(self, models: set[str]) -> None:
        """Counts of models have changed."""
        self._touched |= models

    async def take_up(self) -> None:
        """Take the roles that this replica should have and that are free, and show their models: a restart leaves no gap."""
        with suppress(StoreUnavailableError):  # readiness tells that it cannot be written to, and the ticks try again
            await self.keep_roles()
        await self._show()

    def start(self) -> None:
        """Begin to tick."""
        for name, work, every_s in (
            ("roles", self.keep_roles, KEEP_ROLES_EVERY_S),
            ("evaluate", self.evaluate, EVALUATE_EVERY_S),
            ("sweep", self.sweep, SWEEP_EVERY_S),
            ("tend", self._jobs.tend, TEND_EVERY_S),
        ):
            self._scheduler.add_job(
                self._guarded, "interval", args=(name, work), seconds=every_s, max_instances=1, coalesce=True, id=name
            )
        self._scheduler.start()

    async def stop(self) -> None:
        """Let the ticks that are under way end, stop ticking, and give the roles back."""
        self._stopping = True
        self._scheduler.pause()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_END_S)
        self._scheduler.shutdown(wait=False)
        await self._roles.leave()

    async def _guarded(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        log = structlog.get_logger()
        tick = asyncio.current_task()
        assert tick is not None  # noqa: S101 - the scheduler runs each in a task
        self._under_way.add(tick)
        tick.add_done_callback(self._under_way.discard)
        try:
            await work()
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            # What it was about is in the store whole or not at all, and the next process goes on with it.
            log.info("tick cut off by the stop", operation=name)
        except StoreUnavailableError as error:
            self._on_store_failed(name)
            if name not in self._failing:
                log.warning("store unavailable", operation=name, reason=str(error))
            self._failing.add(name)
        except Exception as error:
            log.exception("tick failed", operation=name, error=type(error).__name__)
        else:
            if name in self._failing:
                log.info("store available again", operation=name)
            self._failing.discard(name)

    async def evaluate(self) -> None:
        """Close what is due, look at what is open, and show it."""
        await self._registry.refresh()
        self._looked.clear()
        await self.keep_roles()
        # Before anything is read that a record may rest on: a role that is lost from here on is noticed by its fence.
        fences = await self._show()
        progress: dict[str, list[Progress]] = {}
        for item in await self._store.progress() if fences else ():
            progress.setdefault(item.model, []).append(item)
        for name, fence in fences.items():
            if self._stopping:
                return
            model = self._registry.get(name)
            if model is None or not self._roles.holds(name, fence):
                continue
            try:
                await self._advance(model, progress.get(name, []), fence)
            except StoreUnavailableError:
                raise
            except Exception as error:  # noqa: BLE001 - one model that breaks must not cost the others their verdicts
                structlog.get_logger().exception("evaluation failed", model=name, error=type(error).__name__)
        await self._board.sync()
        for model, looks in self._looked:  # after the windows that were closed just now
            self._board.look(model, looks)

    async def keep_roles(self) -> None:
        """Renew the roles of this replica in time."""
        await self._roles.keep(self._registry.models)

    async def sweep(self) -> None:
        """Fold, coarsen and expire counts, if housekeeping is this replica's."""
        if not self._roles.keeps_house:
            return
        now_us = await self._store.now_us()
        keepings = [
            _keeping(model, progress, self._kept.evaluations_us)
            for progress in await self._store.progress()
            if (model := self._registry.get(progress.model)) is not None
        ]
        swept = await self._store.sweep(
            keepings,
            now_us - self._kept.marks_us,
            self._kept.marks_max,
            now_us - self._kept.evaluations_us,
            now_us - TURNS_KEPT_US,
        )
        self._on_swept(swept)

    async def _show(self) -> Mapping[str, int]:
        fences = self._roles.fences
        for model in await self._board.show(fences):
            self._silence.forget(model)
        return fences

    async def _advance(self, model: LiveModel, known: Sequence[Progress], fence: int) -> None:
        started = self._monotonic_s()
        for version in model.versions.values():
            if version.learning and self._is_touched(model.model):
                await self._learning.advance(model, version)
                self._next_look_s[model.model, ""] = self._monotonic_s() + parse_duration_s(
                    model.configuration.provisional_every
                )
        advanced = await self._job.advance(model, known, fence=fence)
        worked = advanced != "idle"
        while advanced == "more" and self._monotonic_s() - started < _BUDGET_S:
            await self._registry.refresh(model.model)  # by a model that has changed nothing could be recorded
            found = self._registry.get(model.model)
            if found is None or not self._roles.holds(model.model, fence):
                return
            model = found
            advanced = await self._job.advance(model, fence=fence)
        if worked:
            known = await self._store.progress(model.model)
        now_us = await self._store.now_us()
        for progress in known:
            if await self._silence.watch(model, progress, now_us, fence=fence):
                self._on_notices()
            self._looked.append((model, await self._look(model, progress)))
        self._touched.discard(model.model)

    def _is_touched(self, model: str) -> bool:
        # Rows that came through another process are seen at the next round of looks.
        return model in self._touched or self._monotonic_s() >= self._next_look_s.get((model, ""), 0.0)

    async def _look(self, model: LiveModel, progress: Progress) -> Sequence[Evaluation]:
        version = model.version(progress.version)
        if version is None or version.learning:
            return ()
        key = model.model, progress.version
        if self._monotonic_s() < self._next_look_s.get(key, 0.0):
            return ()
        looks = await self._looks.look(model, version, progress)
        if looks:  # else what opens next is looked at with its first rows
            self._next_look_s[key] = self._monotonic_s() + parse_duration_s(model.configuration.provisional_every)
        return looks


def _keeping(model: LiveModel, progress: Progress, evaluations_us: int) -> Keeping:
    """How long the counts of a version are kept: nothing is folded or dropped before it was evaluated.

    All of it is by event time: of a log of 2012 that is replayed today nothing is old before its own time.
    """
    version = model.version(progress.version)
    keeping = Keeping(
        model=model.model,
        version=progress.version,
        base_window_us=model.grid.base_s * US_PER_S,
        learned=version is not None and not version.learning,
        epoch=model.epoch,
    )
    if progress.evaluated_until_us is None:
        return keeping
    fold_after_us = parse_duration_s(model.configuration.fold_after) * US_PER_S
    needed_us = earliest_us(model, model.grid.base_end(progress.evaluated_until_us))
    return replace(
        keeping,
        coarsen_before_us=min(progress.newest_us - fold_after_us, progress.evaluated_until_us),
        expire_before_us=min(progress.newest_us - model.retention_us, needed_us),
        # Corrections need evaluations for as long as there are counts, silence the one before it.
        evaluations_before_us=min(progress.newest_us - max(evaluations_us, model.retention_us), needed_us),
    )
