"""Bodies of rows, each in its format, to commits.

JSON, CSV and Parquet bodies are read whole, within their limits; nothing of a CSV or Parquet body is counted before all of it
was read. NDJSON and Arrow streams are decoded as they arrive and committed in chunks, each before the next is read: memory is
bounded whatever their length, and a slow store slows the sender down. Chunks are cut by content, never by how the network cut
it, so that a repeat of the stream has the same chunks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Final, TypeAlias, cast

from service.api.parts import Answers, digest_of, inflated, parts_of
from service.api.problem import Problem
from service.api.reading import Patience, PipeReader, Receive, WholeReader, pieces, whole
from service.errors import DecodeError
from service.ingest.buffer import BufferFullError, CommitBuffer
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
)
from service.ingest.pending import ERRORS_MAX, Answer, Asker, Key, Pending
from service.registry.models import LiveModel, LiveVersion

__all__ = ["IngestLimits", "Intake", "Sending"]

_Decoded: TypeAlias = DecodedRows | DecodedColumns

_CELL_BYTES: Final = 32  # a number as a Python object, and its place in a tuple
_SLICE_BYTES: Final = 1 << 16
"""What is decoded of a compressed stream before others have their turn: few bytes may inflate to very many."""

_ARROW_BYTES_PER_S: Final = 1_000
"""An Arrow stream holds one of few threads: a sender that is slower than a modem of 1990 has to give it back."""

_ARROW_WHOLE_BYTES: Final = 4 << 20
"""Streams that say they are no longer than this are read before they are decoded: half the work is to wake a thread up for each
piece."""

_JSON_INSTEAD: Final = "send application/x-ndjson or application/vnd.apache.arrow.stream instead"
_NOTHING: Final = DecodedRows(names=(), cells=(), numbers=())


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
class Sending:
    """A request to log rows, as far as its head says.

    Parameters
    ----------
    model : LiveModel
    version : LiveVersion
    asked_version : str
        As the sender named it, empty if he did not: a repeat is the same request, whatever the default version is by then.
    schema : RowSchema
    key : str or None
    encoding : {"identity", "gzip", "zstd"}
    length : int or None
        Of the body as it is sent, if the sender has said it.
    received_us : int
    """

    model: LiveModel
    version: LiveVersion
    asked_version: str
    schema: RowSchema
    key: str | None
    encoding: Encoding
    length: int | None
    received_us: int

    def pending(self, decoded: _Decoded, chunk: int, digest: bytes) -> Pending:
        """Rows of it on their way to the store."""
        return Pending(
            model=self.model.model,
            version=self.version.version,
            decoded=decoded,
            received_us=self.received_us,
            key=None if self.key is None else Key(key=f"{self.asked_version}/{self.key}#{chunk}", digest=digest),
        )


class Intake:
    """Takes bodies.

    Parameters
    ----------
    buffer : CommitBuffer
    limits : IngestLimits
    """

    def __init__(self, buffer: CommitBuffer, limits: IngestLimits) -> None:
        self._buffer = buffer
        self._limits = limits
        self._patience = Patience(silence_s=limits.read_timeout_s, total_s=limits.body_timeout_s)
        self._stream_patience = Patience(silence_s=limits.read_timeout_s)
        self._arrow_patience = Patience(
            silence_s=limits.read_timeout_s, total_s=limits.body_timeout_s, bytes_per_s=_ARROW_BYTES_PER_S
        )
        self._arrow_threads = ThreadPoolExecutor(limits.arrow_streams_max, thread_name_prefix="arrow")
        self._arrow_streams = 0

    async def take(self, sending: Sending, kind: BodyFormat, receive: Receive) -> Answer:
        """Commit the rows of a body.

        Raises
        ------
        Problem
        Disconnected
        DriftlineError
        """
        self._room(sending)
        match kind:
            case "json":
                return await self._json(sending, receive)
            case "ndjson":
                return await self._ndjson(sending, receive)
            case "arrow":
                return await self._arrow(sending, receive)
            case "csv":
                return await self._parts(sending, receive, decode_csv)
            case "parquet":
                return await self._parts(sending, receive, partial(decode_parquet, limits=self._limits.parquet))

    def at_once(self, sending: Sending, body: bytes, asker: Asker) -> bool:
        """Take a JSON body that has come whole: it is answered now, or when its rows are committed.

        False leaves it to `take`: it is compressed, or larger than it may be.

        Raises
        ------
        DriftlineError
            Nothing was taken.
        """
        limits = self._limits
        if sending.encoding != "identity" or len(body) > min(limits.json.bytes_max, limits.body_bytes_max):
            return False
        self._room(sending)
        self._handed_over(sending, *self._read_json(sending, body), asker)
        return True

    def _room(self, sending: Sending) -> None:
        # What nobody sends again is read even if there is no room for it: how many rows are dropped has to be known.
        if sending.model.configuration.ack == "committed":
            self._buffer.room()

    async def _json(self, sending: Sending, receive: Receive) -> Answer:
        limits = self._limits
        plain = sending.encoding == "identity"
        bytes_max = min(limits.json.bytes_max, limits.body_bytes_max) if plain else limits.body_bytes_max
        try:
            body = await self._whole(sending, receive, bytes_max)
            if not plain:  # a megabyte takes two milliseconds
                body = inflated(body, sending.encoding, limits.json.bytes_max)
        except (Problem, DecodeError) as error:
            if error.status != 413:  # noqa: PLR2004 - of HTTP
                raise
            raise Problem(413, f"{error.detail}: {_JSON_INSTEAD}") from None
        return await self._answer(sending, *self._read_json(sending, body))

    def _read_json(self, sending: Sending, body: bytes) -> tuple[Pending, int]:
        decoded = decode_json(body, sending.schema, self._limits.json)
        digest = digest_of(body) if sending.key is not None else b""
        return sending.pending(decoded, 0, digest), len(body)

    async def _parts(
        self, sending: Sending, receive: Receive, decode: Callable[[bytes, RowSchema], Iterator[DecodedColumns]]
    ) -> Answer:
        body = await self._whole(sending, receive, self._limits.body_bytes_max)
        if sending.encoding != "identity":
            inflated_max = self._limits.inflated_bytes_max
            body = await asyncio.to_thread(inflated, body, sending.encoding, inflated_max)
        digest = await asyncio.to_thread(digest_of, body) if sending.key is not None else b""
        answers = Answers()
        async for part in parts_of(lambda: decode(body, sending.schema)):
            answers.add(await self._commit(sending, part, answers.chunks, digest))
        return await self._whole_answer(sending, answers, digest)

    async def _whole(self, sending: Sending, receive: Receive, bytes_max: int) -> bytes:
        if sending.length is not None and sending.length > bytes_max:
            raise Problem(413, f"the body is larger than {bytes_max:,} bytes")
        return await whole(receive, bytes_max=bytes_max, patience=self._patience)

    async def _ndjson(self, sending: Sending, receive: Receive) -> Answer:
        decoder = NdjsonDecoder(sending.schema, digests=sending.key is not None)
        answers = Answers()
        async for part in self._inflated(sending, receive, self._stream_patience):
            for chunk in decoder.feed(part):
                answers.add(await self._commit(sending, chunk, answers.chunks, chunk.digest))
        for chunk in decoder.finish():
            answers.add(await self._commit(sending, chunk, answers.chunks, chunk.digest))
        return await self._whole_answer(sending, answers, b"")

    async def _inflated(self, sending: Sending, receive: Receive, patience: Patience) -> AsyncIterator[bytes]:
        body = pieces(receive, bytes_max=None, patience=patience)
        if sending.encoding == "identity":
            async for piece in body:
                yield piece
            return
        inflater = Inflater(sending.encoding, None)
        async for piece in body:
            for part in inflater.feed(piece):
                for start in range(0, len(part), _SLICE_BYTES):
                    yield part[start : start + _SLICE_BYTES]
                    await asyncio.sleep(0)
        inflater.finish()

    async def _arrow(self, sending: Sending, receive: Receive) -> Answer:
        if self._arrow_streams >= self._limits.arrow_streams_max:
            raise Problem(429, "too many Arrow streams at a time", retry_after_s=1)
        self._arrow_streams += 1
        try:
            if sending.encoding == "identity" and (sending.length or _ARROW_WHOLE_BYTES + 1) <= _ARROW_WHOLE_BYTES:
                body = await whole(receive, bytes_max=_ARROW_WHOLE_BYTES, patience=self._arrow_patience)
                return await self._decoded_arrow(sending, WholeReader(body, digests=sending.key is not None))
            return await self._arrow_stream(sending, receive)
        finally:
            self._arrow_streams -= 1

    async def _arrow_stream(self, sending: Sending, receive: Receive) -> Answer:
        reader = PipeReader(digests=sending.key is not None)
        feeding = asyncio.create_task(self._feed(sending, receive, reader))
        try:
            return await self._decoded_arrow(sending, reader)
        except DecodeError:
            if reader.failure is not None:  # the decoder only saw a stream that ended too early
                raise reader.failure from None
            raise
        finally:
            reader.stop()
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding

    async def _decoded_arrow(self, sending: Sending, reader: PipeReader | WholeReader) -> Answer:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._arrow_threads, self._read_arrow, sending, reader, loop)

    async def _feed(self, sending: Sending, receive: Receive, reader: PipeReader) -> None:
        try:
            async for part in self._inflated(sending, receive, self._arrow_patience):
                await reader.put(part)
            await reader.end()
        except Exception as error:  # noqa: BLE001 - whatever it is, the decoder must not wait for more
            reader.fail(error)

    def _read_arrow(
        self, sending: Sending, reader: PipeReader | WholeReader, loop: asyncio.AbstractEventLoop
    ) -> Answer:
        answers = Answers()
        for decoded in decode_arrow(cast("BinaryIO", reader), sending.schema):
            committing = self._commit(sending, decoded, answers.chunks, reader.digest())
            answers.add(asyncio.run_coroutine_threadsafe(committing, loop).result())
        while reader.read(_SLICE_BYTES):  # what it was compressed with may have something to say of the end
            pass
        ending = self._whole_answer(sending, answers, reader.digest())
        return asyncio.run_coroutine_threadsafe(ending, loop).result()

    async def _whole_answer(self, sending: Sending, answers: Answers, digest: bytes) -> Answer:
        if not answers.chunks and sending.key is not None:  # no row, but the key is used
            answers.add(await self._commit(sending, _NOTHING, 0, digest))
        return answers.together

    async def _commit(self, sending: Sending, decoded: _Decoded, chunk: int, digest: bytes) -> Answer:
        if chunk:  # a part of the request is in the store already: better to slow its sender down than to refuse
            await self._buffer.until_room()
        return await self._answer(sending, sending.pending(decoded, chunk, digest), 0)

    async def _answer(self, sending: Sending, pending: Pending, size_bytes: int) -> Answer:
        done: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._handed_over(sending, pending, size_bytes, done)
        return await done

    def _handed_over(self, sending: Sending, pending: Pending, size_bytes: int, asker: Asker) -> None:
        """Give rows to the buffer. Who asks is answered when they are committed, or on receipt where that is wanted."""
        size_bytes = max(size_bytes, pending.rows * len(sending.schema.names) * _CELL_BYTES)
        if sending.model.configuration.ack == "committed":
            self._buffer.put(pending, size_bytes, asker)
            return
        if not self._buffer.offer(pending, size_bytes):
            raise BufferFullError("too many rows wait for the store; these were dropped")
        decoded = pending.decoded
        ignored = sorted(decoded.ignored)[:ERRORS_MAX] if decoded.ignored else ()
        asker.set_result(
            Answer(accepted=pending.rows, rejected=decoded.rejected, errors=decoded.errors, ignored=ignored)
        )
