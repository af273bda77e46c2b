"""`POST /v1/models/{model}/inferences`, as raw ASGI: three times the requests of a framework's route.

JSON, CSV and Parquet bodies are read whole, within their limits. NDJSON and Arrow streams are decoded as they arrive and
committed in chunks, each before the next is read: memory is bounded whatever their length, and a slow store slows the sender
down. Chunks are cut by content, never by how the network cut it, so that a repeat of the stream has the same chunks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO, Final, TypeAlias, cast
from urllib.parse import parse_qs

import structlog

from service.api.access import Access, authorize, presented_key
from service.api.problem import CONTENT_TYPE, Problem, problem_of
from service.api.reading import Disconnected, PipeReader, Receive, encoding_of, pieces, whole
from service.errors import DriftlineError
from service.ingest.buffer import CommitBuffer
from service.ingest.decode import (
    BodyFormat,
    DecodedColumns,
    DecodedRows,
    Encoding,
    Inflater,
    JsonLimits,
    NdjsonDecoder,
    ParquetLimits,
    RowSchema,
    decode_arrow,
    decode_csv,
    decode_json,
    decode_parquet,
    format_of,
)
from service.ingest.pending import Answer, Key, Pending
from service.ingest.schemas import Schemas
from service.ports import Clock
from service.registry.models import LiveModel, LiveVersion, Registry

__all__ = ["Inferences", "IngestLimits"]

_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Decoded: TypeAlias = DecodedRows | DecodedColumns

_KEY_MAX: Final = 128
_CELL_BYTES: Final = 32  # a number as a Python object, and its place in a tuple
_PREFIX: Final = "/v1/models/"
_SUFFIX: Final = "/inferences"
_JSON: Final = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestLimits:
    """Bounds of one request."""

    body_bytes_max: int = 64 << 20
    inflated_bytes_max: int = 256 << 20
    json: JsonLimits = field(default_factory=JsonLimits)
    parquet: ParquetLimits = field(default_factory=ParquetLimits)
    read_timeout_s: float = 30.0
    body_timeout_s: float = 60.0
    arrow_streams_max: int = 8


@dataclass(slots=True, kw_only=True, eq=False)
class _Request:
    model: LiveModel
    version: LiveVersion
    schema: RowSchema
    key: str | None
    encoding: Encoding
    length: int | None
    received_us: int

    def pending(self, decoded: _Decoded, chunk: int, digest: bytes) -> Pending:
        return Pending(
            model=self.model.model,
            version=self.version.version,
            decoded=decoded,
            received_us=self.received_us,
            key=None if self.key is None else Key(key=f"{self.version.version}/{self.key}#{chunk}", digest=digest),
        )


class Inferences:
    """Takes rows.

    Parameters
    ----------
    registry : Registry
    buffer : CommitBuffer
    schemas : Schemas
    clock : Clock
    access : Access
    limits : IngestLimits
    unknown : callable
        Makes a model that nobody has declared, or returns None where that is not allowed.
    observe : callable
        Told of the status and the seconds of each request.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        buffer: CommitBuffer,
        schemas: Schemas,
        clock: Clock,
        access: Access,
        limits: IngestLimits,
        unknown: Callable[[str], Awaitable[LiveModel | None]],
        observe: Callable[[str, int, float], None],
    ) -> None:
        self._registry = registry
        self._buffer = buffer
        self._schemas = schemas
        self._clock = clock
        self._access = access
        self._limits = limits
        self._unknown = unknown
        self._observe = observe
        self._arrow_threads = ThreadPoolExecutor(limits.arrow_streams_max, thread_name_prefix="arrow")
        self._arrow_streams = 0

    @staticmethod
    def model_of(path: str) -> str | None:
        """The model that a path is about, if it is this route's."""
        if path.startswith(_PREFIX) and path.endswith(_SUFFIX):
            name = path[len(_PREFIX) : -len(_SUFFIX)]
            return name if name and "/" not in name else None
        return None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: _Send, model: str) -> None:
        """Answer one request."""
        started = time.perf_counter()
        headers = [_JSON]
        try:
            status, body = 200, (await self._take(scope, receive, model)).body()
        except Disconnected:
            self._observe("inferences", 499, time.perf_counter() - started)
            return
        except (Problem, DriftlineError) as error:
            problem = error if isinstance(error, Problem) else problem_of(error)
            status, body = problem.status, problem.body()
            headers = [(b"content-type", CONTENT_TYPE.encode())]
            headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
        except Exception as error:  # noqa: BLE001 - the last line of defence
            structlog.get_logger().exception("request failed", route="inferences", error=type(error).__name__)
            status, body = 500, Problem(500, "internal error; the log has more").body()
            headers = [(b"content-type", CONTENT_TYPE.encode())]
        headers.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        self._observe("inferences", status, time.perf_counter() - started)

    async def _take(self, scope: MutableMapping[str, Any], receive: Receive, model: str) -> Answer:
        if scope["method"] != "POST":
            raise Problem(405, "wanted POST", headers={"Allow": "POST"})
        fields: dict[bytes, bytes] = dict(scope["headers"])
        authorize(self._access, presented_key(fields), "ingest", model)
        request = await self._request(scope, fields, model)
        kind = format_of(fields.get(b"content-type", b"").decode("latin-1"))
        if kind is None:
            raise Problem(
                415,
                "Content-Type: wanted application/json, application/x-ndjson, text/csv, "
                "application/vnd.apache.arrow.stream or application/vnd.apache.parquet",
            )
        self._buffer.room()
        if kind == "ndjson":
            return await self._ndjson(request, receive)
        if kind == "arrow":
            return await self._arrow(request, receive)
        body = await self._whole(request, receive, json=kind == "json")
        if kind == "json":
            return await self._json(request, *body)
        decoded = await asyncio.to_thread(self._decoded, kind, body[0], request.schema)
        return await self._chunks(request, decoded, body[1])

    def _decoded(self, kind: BodyFormat, body: bytes, schema: RowSchema) -> list[DecodedColumns]:
        if kind == "csv":
            return list(decode_csv(body, schema))
        return list(decode_parquet(body, schema, self._limits.parquet))

    async def _request(self, scope: MutableMapping[str, Any], fields: dict[bytes, bytes], name: str) -> _Request:
        live = self._registry.get(name) or await self._unknown(name)
        if live is None:
            raise Problem(404, "no such model; PUT it, or upload its training data to .../references")
        wanted = _version(scope["query_string"])
        version = live.version(wanted)
        if version is None:
            raise Problem(404, "no such version of the model: it is not declared and has no reference")
        key = fields.get(b"idempotency-key")
        if key is not None and not (0 < len(key) <= _KEY_MAX and key.isascii()):
            raise Problem(422, f"Idempotency-Key: wanted 1 to {_KEY_MAX} ASCII characters")
        return _Request(
            model=live,
            version=version,
            schema=self._schemas.of(live, version),
            key=None if key is None else key.decode(),
            encoding=encoding_of(fields[b"content-encoding"].decode("latin-1"))
            if b"content-encoding" in fields
            else "identity",
            length=_length(fields.get(b"content-length")),
            received_us=self._clock.now_us(),
        )

    async def _whole(self, request: _Request, receive: Receive, *, json: bool) -> tuple[bytes, bytes]:
        """Contents of a body after inflation, and the digest of what was sent."""
        limits = self._limits
        bytes_max = limits.body_bytes_max
        if request.length is not None and request.length > bytes_max:
            raise Problem(413, f"the body is larger than {bytes_max:,} bytes")
        body = await whole(
            receive, bytes_max=bytes_max, timeout_s=limits.read_timeout_s, body_timeout_s=limits.body_timeout_s
        )
        digest = blake2b(body, digest_size=16).digest() if request.key is not None else b""
        if request.encoding == "identity":
            return body, digest
        inflated_max = limits.json.bytes_max + 1 if json else limits.inflated_bytes_max
        inflater = Inflater(request.encoding, inflated_max)
        parts = [*inflater.feed(body)]
        inflater.finish()
        return b"".join(parts), digest

    async def _json(self, request: _Request, body: bytes, digest: bytes) -> Answer:
        decoded = decode_json(body, request.schema, self._limits.json)
        return await self._commit(request, decoded, 0, digest, len(body))

    async def _chunks(self, request: _Request, decoded: Sequence[_Decoded], digest: bytes) -> Answer:
        answer: Answer | None = None
        for number, some in enumerate(decoded):
            one = await self._commit(request, some, number, digest, 0)
            answer = one if answer is None else answer.merged(one)
        return answer or Answer()

    async def _ndjson(self, request: _Request, receive: Receive) -> Answer:
        decoder = NdjsonDecoder(request.schema, digests=request.key is not None)
        answer: Answer | None = None
        number = 0
        async for chunk in self._ndjson_chunks(request, decoder, receive):
            one = await self._commit(request, chunk, number, chunk.digest, 0)
            answer = one if answer is None else answer.merged(one)
            number += 1
        return answer or Answer()

    async def _ndjson_chunks(
        self, request: _Request, decoder: NdjsonDecoder, receive: Receive
    ) -> AsyncIterator[DecodedRows]:
        async for part in self._inflated(request, receive):
            for chunk in decoder.feed(part):
                yield chunk
        for chunk in decoder.finish():
            yield chunk

    async def _inflated(self, request: _Request, receive: Receive) -> AsyncIterator[bytes]:
        timeout_s = self._limits.read_timeout_s
        body = pieces(receive, bytes_max=None, timeout_s=timeout_s)
        if request.encoding == "identity":
            async for piece in body:
                yield piece
            return
        inflater = Inflater(request.encoding, None)
        async for piece in body:
            for part in inflater.feed(piece):
                yield part
        inflater.finish()

    async def _arrow(self, request: _Request, receive: Receive) -> Answer:
        if self._arrow_streams >= self._limits.arrow_streams_max:
            raise Problem(429, "too many Arrow streams at a time", retry_after_s=1)
        self._arrow_streams += 1
        reader = PipeReader()
        feeding = asyncio.create_task(self._feed(request, receive, reader))
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._arrow_threads, self._read_arrow, request, reader, loop)
        finally:
            self._arrow_streams -= 1
            reader.stop()
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding

    async def _feed(self, request: _Request, receive: Receive, reader: PipeReader) -> None:
        try:
            async for part in self._inflated(request, receive):
                await reader.put(part)
            await reader.end()
        except (Disconnected, Problem, DriftlineError) as error:
            reader.fail(error)

    def _read_arrow(self, request: _Request, reader: PipeReader, loop: asyncio.AbstractEventLoop) -> Answer:
        answer: Answer | None = None
        for number, decoded in enumerate(decode_arrow(cast("BinaryIO", reader), request.schema)):
            committing = self._commit(request, decoded, number, reader.digest(), 0)
            one = asyncio.run_coroutine_threadsafe(committing, loop).result()
            answer = one if answer is None else answer.merged(one)
        return answer or Answer()

    async def _commit(self, request: _Request, decoded: _Decoded, chunk: int, digest: bytes, size_bytes: int) -> Answer:
        pending = request.pending(decoded, chunk, digest)
        size_bytes = max(size_bytes, pending.rows * len(request.schema.names) * _CELL_BYTES)
        if request.model.configuration.ack == "received":
            taken = self._buffer.offer(pending, size_bytes)
            return Answer(
                accepted=pending.rows if taken else 0,
                rejected=decoded.rejected + (0 if taken else pending.rows),
                errors=decoded.errors,
            )
        return await self._buffer.add(pending, size_bytes)


def _version(query: bytes) -> str | None:
    if not query:
        return None
    return parse_qs(query.decode("latin-1")).get("version", [None])[-1]


def _length(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
