"""Bodies as they arrive: piece by piece, within a limit and a time."""

import asyncio
import io
import queue
import time
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from service.api.problem import Problem
from service.ingest.decode import Encoding

__all__ = ["Disconnected", "Patience", "PipeReader", "Receive", "WholeReader", "encoding_of", "pieces", "whole"]

Receive: TypeAlias = Callable[[], Coroutine[Any, Any, MutableMapping[str, Any]]]
_QUEUE_PIECES: Final = 8  # of 64 to 320 KiB each: what may lie between the network and a decoder's thread
_WAIT_S: Final = 0.5


def encoding_of(header: str) -> Encoding:
    """How a body is compressed, by its `Content-Encoding`.

    Raises
    ------
    Problem
        415.
    """
    match header.strip().lower():
        case "" | "identity":
            return "identity"
        case "gzip" | "x-gzip":
            return "gzip"
        case "zstd":
            return "zstd"
        case _:
            raise Problem(
                415, "Content-Encoding: wanted gzip, zstd or identity", headers={"Accept-Encoding": "gzip, zstd"}
            )


class Disconnected(Exception):  # noqa: N818 - nobody is left to be told of an error
    """The sender has gone in the middle of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a sender is waited for. The time that we take ourselves is not held against him.

    Parameters
    ----------
    silence_s : float
        For each piece of the body.
    total_s : float or None
        For all pieces together; None for streams of any length.
    bytes_per_s : float or None
        Each so many bytes earn another second of the total.
    """

    silence_s: float
    total_s: float | None = None
    bytes_per_s: float | None = None

    def left_s(self, waited_s: float, size_bytes: int) -> float:
        """How long the next piece is waited for."""
        if self.total_s is None:
            return self.silence_s
        earned_s = size_bytes / self.bytes_per_s if self.bytes_per_s is not None else 0.0
        return max(0.0, min(self.silence_s, self.total_s + earned_s - waited_s))


async def pieces(receive: Receive, *, bytes_max: int | None, patience: Patience) -> AsyncIterator[bytes]:
    """Pieces of a body.

    Raises
    ------
    Problem
        408 when no piece comes in time; 413 when there are more bytes than allowed.
    Disconnected
    """
    arriving = _Arriving(receive, bytes_max, patience)
    while True:
        piece, more = await arriving.piece()
        if piece:
            yield piece
        if not more:
            return


async def whole(receive: Receive, *, bytes_max: int, patience: Patience) -> bytes:
    """A body in one piece; raises as `pieces` does."""
    # Most bodies come with their head, in one message: they need no generator and no list.
    arriving = _Arriving(receive, bytes_max, patience)
    piece, more = await arriving.piece()
    if not more:
        return piece
    parts = [piece]
    while more:
        piece, more = await arriving.piece()
        parts.append(piece)
    return b"".join(parts)


class _Arriving:
    """A body on its way."""

    __slots__ = ("_bytes_max", "_patience", "_receive", "_size", "_waited_s")

    def __init__(self, receive: Receive, bytes_max: int | None, patience: Patience) -> None:
        self._receive = receive
        self._bytes_max = bytes_max
        self._patience = patience
        self._size = 0
        self._waited_s = 0.0

    async def piece(self) -> tuple[bytes, bool]:
        """The next piece, and whether there are more."""
        # What has arrived already needs no timer, which would be a fifth of what a request of one row costs.
        receiving = self._receive()
        try:
            waits_for = receiving.send(None)
        except StopIteration as received:
            message: MutableMapping[str, Any] = received.value
        else:
            message = await self._awaited(receiving, waits_for)
        if message["type"] == "http.disconnect":
            raise Disconnected
        piece: bytes = message.get("body", b"")
        self._size += len(piece)
        if self._bytes_max is not None and self._size > self._bytes_max:
            raise Problem(413, f"the body is larger than {self._bytes_max:,} bytes")
        return piece, message.get("more_body", False)

    async def _awaited(self, receiving: Coroutine[Any, Any, Any], waits_for: Any) -> MutableMapping[str, Any]:
        started_s = time.monotonic()
        try:
            async with asyncio.timeout(self._patience.left_s(self._waited_s, self._size)):
                return await _resumed(receiving, waits_for)
        except TimeoutError:
            # The connection is of no more use: nobody knows where in it the next request would begin.
            raise Problem(408, "the body did not come in time", headers={"Connection": "close"}) from None
        finally:
            self._waited_s += time.monotonic() - started_s


@types.coroutine
def _resumed(receiving: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, MutableMapping[str, Any]]:
    """Go on with a coroutine that has been begun and waits for something."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - a cancellation is the coroutine's to deal with
                waits_for = receiving.throw(error)
            else:
                waits_for = receiving.send(sent)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]


class PipeReader(io.RawIOBase):
    """A file to a decoder in a thread, a queue to the event loop.

    The digest is of what the decoder has read so far: a function of the content, not of how the network cut it.

    Parameters
    ----------
    digests : bool
        Whether anybody will ask for one; a tenth of the work is then spared.
    """

    def __init__(self, *, digests: bool) -> None:
        self._queue: queue.Queue[bytes] = queue.Queue(_QUEUE_PIECES)
        self._left = memoryview(b"")
        self._ended = False
        self._failure: Exception | None = None
        self._hash = blake2b(digest_size=16) if digests else None

    async def put(self, piece: bytes) -> None:
        """Hand on a piece; waits while the decoder is behind."""
        while not self._ended:
            try:
                self._queue.put_nowait(piece)
            except queue.Full:
                await asyncio.sleep(0.002)
            else:
                return

    async def end(self) -> None:
        """No more will come."""
        await self.put(b"")

    @property
    def failure(self) -> Exception | None:
        """What the sender failed with."""
        return self._failure

    def fail(self, error: Exception) -> None:
        """The sender has failed: the decoder sees the error at its next read, or now if it waits for one."""
        self._failure = error
        self._wake()

    def stop(self) -> None:
        """The decoder has gone, or is to go: nothing more is taken."""
        self._ended = True
        self._wake()

    def digest(self) -> bytes:
        """Digest of what was read."""
        return b"" if self._hash is None else self._hash.copy().digest()

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes; fewer only at the end."""
        parts: list[memoryview] = []
        wanted = size
        while wanted:
            if not self._left:
                self._left = memoryview(self._next())
                if not self._left:
                    break
            part = self._left if size < 0 else self._left[:wanted]
            self._left = self._left[len(part) :]
            if self._hash is not None:
                self._hash.update(part)
            parts.append(part)
            wanted -= len(part) if size >= 0 else 0
        return b"".join(parts)

    def _wake(self) -> None:
        with suppress(queue.Full):  # then nobody waits
            self._queue.put_nowait(b"")

    def _next(self) -> bytes:
        while not self._ended:
            if self._failure is not None:
                raise self._failure
            try:
                piece = self._queue.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            if piece:
                return piece
            self._ended = self._failure is None
        return b""


class WholeReader(io.BytesIO):
    """A body that is there, as a file with the digest of what was read of it.

    Parameters
    ----------
    body : bytes
    digests : bool
        Whether anybody will ask for one.
    """

    def __init__(self, body: bytes, *, digests: bool) -> None:
        super().__init__(body)
        self._hash = blake2b(digest_size=16) if digests else None
        self._hashed = 0

    def digest(self) -> bytes:
        """Digest of what was read."""
        if self._hash is None:
            return b""
        with self.getbuffer() as body:
            self._hash.update(body[self._hashed : self.tell()])
        self._hashed = self.tell()
        return self._hash.copy().digest()
