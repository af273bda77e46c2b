"""Build jobs: uploads become references, and references become active.

A job is a row of the store (`receiving`, `building`, `replaying`, `ready`, `failed`), so that every replica can tell how it
stands. The upload lies in a file of this process until the job ends; a job whose process has died is found and failed at the
next start.
"""

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import structlog

from detectors.reference import Reference, reference_id
from service.calibration.trusts import trust_document, without_calibration
from service.domain.configuration import PolicyConfiguration
from service.errors import DriftlineError, StoreUnavailableError
from service.ports import Activation, JobState, ReferenceRow, Store
from service.references.building import UploadOptions, order_of, run_worker
from service.references.comparison import Comparison, compare, sentence_of, strongest
from service.references.worker import summary_of
from service.registry.models import LiveModel, Registry
from service.registry.reference_file import reference_bytes
from service.windows.watermark import is_live

__all__ = ["ActivationError", "ReferenceJobs", "UploadTooLargeError"]

_SUFFIXES: Final = {"csv": ".csv", "ndjson": ".ndjson", "parquet": ".parquet", "arrow": ".arrows"}
_UNDER_WAY: Final = frozenset({"receiving", "building", "replaying"})
_STALE_US: Final = 60 * 1_000_000
"""A job that has not been heard of for so long has lost its process."""


class UploadTooLargeError(DriftlineError):
    """More bytes than an upload may have."""


class ActivationError(DriftlineError):
    """A reference cannot be made active as asked."""


@dataclass(slots=True, eq=False)
class _Job:
    row: ReferenceRow
    summary: dict[str, Any] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class ReferenceJobs:
    """Receives training data and makes references of it.

    Parameters
    ----------
    store : Store
    registry : Registry
    folder : Path
        Where uploads lie while they are built.
    upload_bytes_max : int
    builds_max : int
        Builds at a time; further ones wait.
    """

    def __init__(
        self, store: Store, registry: Registry, folder: Path, *, upload_bytes_max: int, builds_max: int = 1
    ) -> None:
        self._store = store
        self._registry = registry
        self._folder = folder
        self._upload_bytes_max = upload_bytes_max
        self._turn = asyncio.Semaphore(builds_max)
        self._jobs: dict[tuple[str, str], _Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(
        self,
        model: LiveModel,
        version: str,
        kind: Literal["csv", "ndjson", "parquet", "arrow"],
        body: AsyncIterator[bytes],
        options: UploadOptions,
    ) -> ReferenceRow:
        """Take an upload, and begin to build.

        Raises
        ------
        UploadTooLargeError
            Nothing of it is kept.
        """
        job = await self._begin(model.model, version)
        path: Path | None = None
        try:
            handle, name = tempfile.mkstemp(dir=self._folder, prefix="upload-", suffix=_SUFFIXES[kind])
            path = Path(name)
            size = 0
            with open(handle, "wb") as file:  # noqa: PTH123, ASYNC230 - a descriptor; writes go to the page cache
                async for piece in body:
                    size += len(piece)
                    self._check_size(size)
                    file.write(piece)
            await self._say(job, "building", {"received_bytes": size})
        except BaseException as error:
            if path is not None:
                path.unlink(missing_ok=True)
            reason = str(error) if isinstance(error, DriftlineError) else "the upload was cut off"
            with contextlib.suppress(StoreUnavailableError):
                await self._end(job, "failed", {"failed": reason})
            raise
        task = asyncio.create_task(self._build(model, version, job, path, options), name=f"build {job.row.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job.row

    async def wait(self, model: str, job_id: str, timeout_s: float) -> ReferenceRow | None:
        """How a job stands when it has ended, or when the time is up."""
        job = self._jobs.get((model, job_id))
        if job is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(job.ended.wait(), timeout_s)
        return await self._store.reference(model, job_id)

    async def keep(self, model: str, reference: Reference) -> ReferenceRow:
        """Put a finished reference into the store."""
        identity = reference_id(reference)
        known = await self._store.reference(model, identity)
        if known is not None and known.state == "ready":
            return known
        now_us = await self._store.now_us()
        document = await asyncio.to_thread(reference_bytes, reference, compressed=True)
        row = ReferenceRow(
            id=identity,
            model=model,
            version=reference.version,
            state="ready",
            created_at_us=now_us,
            updated_at_us=now_us,
            summary=msgspec.json.encode(summary_of(reference, self._calibration(model, reference))),
        )
        await self._store.put_reference(row, document)
        return row

    async def activate(
        self, model: str, version: str, identity: str, from_us: int | None, *, first_only: bool = False
    ) -> Comparison | None:
        """Make a reference the one that counts from an event time on; if `first_only`, unless there is one already.

        Says how it compares with the one before it, if there was one.

        Raises
        ------
        ActivationError
            The model or the reference is not there, or not ready.
        """
        while True:
            await self._registry.refresh(model)
            live = self._registry.get(model)
            row = await self._store.reference(model, identity)
            if live is None or row is None or row.state != "ready":
                raise ActivationError("no such reference is ready")
            known = live.version(version)
            active = known.active if known is not None else None
            if active is not None and (first_only or active.id == identity):
                return None
            begins = await self._begins(live, version, from_us) if active is not None else None
            activation = Activation(
                version=version, reference_id=identity, from_us=begins, at_us=await self._store.now_us()
            )
            if await self._store.activate(model, live.epoch, activation) is not None:
                await self._registry.refresh(model)
                comparison = None
                if active is not None:
                    comparison = await compare(active, await self._registry.reference(model, identity))
                structlog.get_logger().info(
                    "reference activated",
                    model=model,
                    version=version,
                    reference=identity,
                    before=None if active is None else active.id,
                    changed=[] if comparison is None else strongest(comparison.found),
                )
                return comparison

    async def tend(self) -> None:
        """Say that the jobs of this process are alive, and fail those that another one left behind."""
        for job in list(self._jobs.values()):
            await self._say(job, job.row.state, {})
        now_us = await self._store.now_us()
        for model in await self._store.models():
            for row in await self._store.references(model.model):
                mine = (row.model, row.id) in self._jobs
                if row.state in _UNDER_WAY and not mine and row.updated_at_us < now_us - _STALE_US:
                    summary = msgspec.json.decode(row.summary) | {"failed": "interrupted; upload the data again"}
                    failed = replace(row, state="failed", updated_at_us=now_us, summary=msgspec.json.encode(summary))
                    await self._store.put_reference(failed, None)

    async def stop(self) -> None:
        """End the builds that are under way; their jobs fail, and say so."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _calibration(self, model: str, reference: Reference) -> dict[str, Any] | None:
        """What is known without work; None if it is to be seen."""
        if reference.blocks is not None:
            return None
        live = self._registry.get(model)
        policy = PolicyConfiguration() if live is None else live.configuration.policy
        return trust_document(without_calibration(reference), policy.false_alarms_per_30d)

    def _check_size(self, size: int) -> None:
        if size > self._upload_bytes_max:
            raise UploadTooLargeError(f"the upload is larger than {self._upload_bytes_max:,} bytes")

    async def _begins(self, live: LiveModel, version: str, from_us: int | None) -> int | None:
        """From the time that was asked for, else now; a replay of old logs goes on with its next row.

        What was counted by the one before lies before, also rows whose clock is a little fast.
        """
        if from_us is not None:
            return from_us
        for progress in await self._store.progress(live.model):
            if progress.version == version:
                next_us = progress.newest_us + 1
                return max(await self._store.now_us(), next_us) if is_live(progress, live.lateness) else next_us
        return None  # nothing was counted by the one before: it counts nothing, not even logs of last year

    async def _begin(self, model: str, version: str) -> _Job:
        now_us = await self._store.now_us()
        row = ReferenceRow(
            id=f"job_{uuid.uuid4().hex}",
            model=model,
            version=version,
            state="receiving",
            created_at_us=now_us,
            updated_at_us=now_us,
            summary=b"{}",
        )
        await self._store.put_reference(row, None)
        job = self._jobs[model, row.id] = _Job(row)
        return job

    async def _say(self, job: _Job, state: JobState, more: Mapping[str, Any]) -> None:
        job.summary |= more
        now_us = await self._store.now_us()
        job.row = replace(job.row, state=state, updated_at_us=now_us, summary=msgspec.json.encode(job.summary))
        await self._store.put_reference(job.row, None)

    async def _end(self, job: _Job, state: Literal["ready", "failed"], more: Mapping[str, Any]) -> None:
        try:
            await self._say(job, state, more)
        finally:
            self._jobs.pop((job.row.model, job.row.id), None)
            job.ended.set()

    async def _build(self, model: LiveModel, version: str, job: _Job, path: Path, options: UploadOptions) -> None:
        output = path.with_suffix(".reference.json")
        try:
            async with self._turn:
                order = order_of(model, version, path, output, options)
                outcome = await run_worker(order, lambda progress: self._say(job, _state_of(progress), progress))
            if "failed" in outcome:
                await self._end(job, "failed", {"failed": outcome["failed"]})
                return
            await self._take(job, version, output, outcome["ready"], options)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreUnavailableError):
                await self._end(job, "failed", {"failed": "interrupted; upload the data again"})
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the job has failed and says so
            structlog.get_logger().exception("build failed", job=job.row.id, error=type(error).__name__)
            reason = str(error) if isinstance(error, DriftlineError) else "internal error; the log has more"
            with contextlib.suppress(StoreUnavailableError):
                await self._end(job, "failed", {"failed": reason})
        finally:
            await asyncio.to_thread(_remove, path, output)

    async def _take(self, job: _Job, version: str, output: Path, ready: dict[str, Any], options: UploadOptions) -> None:
        model = job.row.model
        now_us = await self._store.now_us()
        plain = {name: ready[name] for name in ready if name not in {"findings", "rejected"}}
        row = ReferenceRow(
            id=ready["reference_id"],
            model=model,
            version=version,
            state="ready",
            created_at_us=now_us,
            updated_at_us=now_us,
            summary=msgspec.json.encode(plain),
        )
        await self._store.put_reference(row, await asyncio.to_thread(_compressed, output))
        live = self._registry.get(model)
        known = live.version(version) if live is not None else None
        first = known is None or known.active is None
        activate = first if options.activate is None else options.activate
        comparison = await self.activate(model, version, row.id, None) if activate else None
        compared = None if comparison is None else sentence_of(comparison.found)
        await self._end(job, "ready", ready | {"activated": activate, "compared": compared})


def _state_of(progress: Mapping[str, Any]) -> JobState:
    return "replaying" if progress["stage"] == "replaying" else "building"


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _compressed(output: Path) -> bytes:
    import gzip  # noqa: PLC0415 - only builds need it

    return gzip.compress(output.read_bytes(), compresslevel=6, mtime=0)
