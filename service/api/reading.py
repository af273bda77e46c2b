"""Bodies as they arrive: piece by piece, within a limit and a time."""

import asyncio
import io
import queue
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, MutableMapping
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from service.api.problem import Problem
from service.ingest.decode import Encoding

__all__ = ["Disconnected", "PipeReader", "Receive", "encoding_of", "pieces", "whole"]

Receive: TypeAlias = Callable[[], Coroutine[Any, Any, MutableMapping[str, Any]]]
_QUEUE_PIECES: Final = 16  # of 64 KiB each: what may lie between the network and a decoder's thread
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


async def pieces(
    receive: Receive, *, bytes_max: int | None, timeout_s: float, first: MutableMapping[str, Any] | None = None
) -> AsyncIterator[bytes]:
    """Pieces of a body, of which the first message may have been received already.

    Raises
    ------
    Problem
        408 when no piece comes for so long; 413 when there are more bytes than allowed.
    Disconnected
    """
    size = 0
    message = first
    while True:
        if message is None:
            message = await _message(receive, timeout_s)
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if bytes_max is not None and size > bytes_max:
            raise Problem(413, f"the body is larger than {bytes_max:,} bytes")
        if piece:
            yield piece
        if not message.get("more_body", False):
            return
        message = None


async def whole(receive: Receive, *, bytes_max: int, timeout_s: float) -> bytes:
    """A body in one piece; raises as `pieces` does."""
    # Most bodies come with their head, in one message: they need no generator and no list.
    first = await _message(receive, timeout_s)
    body: bytes = first.get("body", b"")
    if not first.get("more_body", False) and len(body) <= bytes_max:
        return body
    parts = [piece async for piece in pieces(receive, bytes_max=bytes_max, timeout_s=timeout_s, first=first)]
    return b"".join(parts)


async def _message(receive: Receive, timeout_s: float) -> MutableMapping[str, Any]:
    # What has arrived already needs no timer, which would be a fifth of what a request of one row costs.
    receiving = receive()
    try:
        first = receiving.send(None)
    except StopIteration as received:
        message: MutableMapping[str, Any] = received.value
    else:
        try:
            async with asyncio.timeout(timeout_s):
                message = await _resumed(receiving, first)
        except TimeoutError:
            raise Problem(408, f"no further part of the body came within {timeout_s:g} s") from None
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message


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
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes] = queue.Queue(_QUEUE_PIECES)
        self._left = b""
        self._ended = False
        self._failure: BaseException | None = None
        self._hash = blake2b(digest_size=16)

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

    def fail(self, error: BaseException) -> None:
        """The sender has failed: the decoder sees the error at its next read."""
        self._failure = error

    def stop(self) -> None:
        """The decoder has gone: nothing more is taken."""
        self._ended = True

    def digest(self) -> bytes:
        """Digest of what was read."""
        return self._hash.copy().digest()

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes; fewer only at the end."""
        parts: list[bytes] = []
        wanted = size
        while wanted:
            if not self._left:
                self._left = self._next()
                if not self._left:
                    break
            part = self._left if size < 0 else self._left[:wanted]
            self._left = self._left[len(part) :]
            self._hash.update(part)
            parts.append(part)
            wanted -= len(part) if size >= 0 else 0
        return b"".join(parts)

    def _next(self) -> bytes:
        while not self._ended:
            if self._failure is not None:
                raise self._failure
            try:
                piece = self._queue.get(timeout=_WAIT_S)
            except queue.Empty:
                continue
            if not piece:
                self._ended = True
            return piece
        return b""
