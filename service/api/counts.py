"""`POST /v1/models/{model}/counts`: counts from sidecars, as raw ASGI beside the route of rows.

A batch that was counted by another epoch of the model is a conflict (409): its sidecar fetches what has changed and counts
the rows again. Whether it was counted before is looked up first, whatever its epoch: what was added once is not added anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from service.api.access import Access
from service.api.parts import inflated
from service.api.problem import Problem
from service.api.raw import RawRoute
from service.api.reading import Patience, Receive, encoding_of, whole
from service.api.response import Response
from service.errors import NOT_KNOWN, StoreUnavailableError
from service.ingest.decode import Encoding
from service.ingest.gathering import CountsBuffer
from service.ingest.reached import Reached
from service.ingest.sent import NO_EPOCH, AnotherClockError, commit_of, identity_of
from service.ports import LEARNING, Commit, Committed, CountsStore
from service.registry.models import LiveModel, Registry
from service.storage.wire import (
    COUNTS_TYPE,
    CountsAnswer,
    CountsDocument,
    KnownRequest,
    VersionProgress,
    decode_counts,
)

__all__ = ["ROUTE", "Counts", "CountsLimits"]

_Scope: TypeAlias = MutableMapping[str, Any]

ROUTE: Final = "/v1/models/{model}/counts"
_INLINE_BYTES_MAX: Final = 1 << 16
"""Larger bodies are read in a thread: more than about a millisecond of work."""

_CONFLICT: Final = "the counts are of another epoch of the model; fetch /v1/models/{model}/counting, and count again"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsLimits:
    """Bounds of one request."""

    body_bytes_max: int
    inflated_bytes_max: int
    read_timeout_s: float
    body_timeout_s: float


class Counts(RawRoute):
    """Takes counts.

    Parameters
    ----------
    store : CountsStore
    registry : Registry
    buffer : CountsBuffer
    access : Access
    limits : CountsLimits
    begun : callable
        Returns once requests can be answered; raises `StoreUnavailableError` until then.
    unknown : callable
        Makes a model that nobody has declared, or returns None where that is not allowed.
    observe : callable
        Told of the route, the status and the seconds of each request.
    """

    def __init__(
        self,
        *,
        store: CountsStore,
        registry: Registry,
        buffer: CountsBuffer,
        access: Access,
        limits: CountsLimits,
        begun: Callable[[], None],
        unknown: Callable[[str], Awaitable[LiveModel | None]],
        observe: Callable[[str, int, float], None],
    ) -> None:
        super().__init__(ROUTE, access, begun, observe)
        self._store = store
        self._registry = registry
        self._buffer = buffer
        self._limits = limits
        self._patience = Patience(silence_s=limits.read_timeout_s, total_s=limits.body_timeout_s)
        self._unknown = unknown
        self._reached = Reached(store)

    async def _response(self, scope: _Scope, fields: dict[bytes, bytes], receive: Receive, model: str) -> Response:  # noqa: ARG002 - a query says nothing here
        if fields.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower() != COUNTS_TYPE:
            raise Problem(415, f"Content-Type: wanted {COUNTS_TYPE}")
        encoding = encoding_of(fields.get(b"content-encoding", b"").decode("latin-1"))
        body = await whole(receive, bytes_max=self._limits.body_bytes_max, patience=self._patience)
        document = await self._read(body, encoding)
        live = await self._live(model, document.epoch)
        now_us = await self._store.now_us()
        commit, conflict = await self._commit_of(live, document, now_us, len(body))
        committed = await self._buffer.commit(commit, len(body))
        if committed.status == "stale":
            raise Problem(409, conflict)
        return _written(await self._answer(live, commit, committed=committed, now_us=now_us))

    async def _read(self, body: bytes, encoding: Encoding) -> CountsDocument:
        def read() -> CountsDocument:
            plain = encoding == "identity"
            return decode_counts(body if plain else inflated(body, encoding, self._limits.inflated_bytes_max))

        small = encoding == "identity" and len(body) <= _INLINE_BYTES_MAX
        return read() if small else await asyncio.to_thread(read)

    async def _live(self, model: str, epoch: int) -> LiveModel:
        """The model as it is, read again if the sidecar knows another one."""
        live = self._registry.get(model)
        if live is not None and live.epoch != epoch:
            await self._registry.refresh(model)
            live = self._registry.get(model)
        live = live or await self._unknown(model)
        if live is None:
            raise Problem(404, "no such model")
        return live

    async def _commit_of(
        self, live: LiveModel, document: CountsDocument, now_us: int, size_bytes: int
    ) -> tuple[Commit, str]:
        """A batch for the store, and why it is a conflict if the store does not take it."""
        if live.epoch != document.epoch:
            return identity_of(live.model, document, document.epoch), _CONFLICT
        try:
            sketches = any(delta.reference_id == LEARNING for delta in document.deltas)  # few bytes may be much to read
            if size_bytes <= _INLINE_BYTES_MAX and not sketches:
                return commit_of(live, document, now_us), _CONFLICT
            return await asyncio.to_thread(commit_of, live, document, now_us), _CONFLICT
        except AnotherClockError as error:
            return identity_of(live.model, document, NO_EPOCH), str(error)

    async def _answer(self, live: LiveModel, commit: Commit, *, committed: Committed, now_us: int) -> CountsAnswer:
        if committed.status == "committed":
            self._reached.advance(live.model, dict(commit.newest_us), now_us)
        duplicate = committed.status == "passed"
        try:
            progress = await self._reached.versions(live, now_us)
        except (
            StoreUnavailableError
        ) as error:  # the counts are in the store by now, and whoever sent them must not think otherwise
            raise StoreUnavailableError(f"{error}; whether the rows were counted {NOT_KNOWN}") from error
        return CountsAnswer(
            counted=duplicate or committed.status == "committed",
            duplicate=duplicate,
            known=[KnownRequest.of(mark) for mark in committed.known],
            now_us=now_us,
            progress=[VersionProgress.of(one) for one in progress],
        )


def _written(answer: CountsAnswer) -> Response:
    body = msgspec.json.encode(answer)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return Response(200, headers, body)
