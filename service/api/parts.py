"""Bodies of several parts: inflated, read through before the first is counted, and answered as one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import blake2b

from service.ingest.decode import DecodedColumns, Encoding, Inflater
from service.ingest.pending import Answer

__all__ = ["Answers", "digest_of", "inflated", "parts_of"]


class Answers:
    """Answers of the chunks of one request."""

    def __init__(self) -> None:
        self.chunks = 0
        self.together = Answer()

    def add(self, answer: Answer) -> None:
        """Take the answer of the next chunk."""
        self.together = self.together.merged(answer) if self.chunks else answer
        self.chunks += 1


def digest_of(body: bytes) -> bytes:
    """Of what was meant, not of what was sent: a repeat may be compressed anew, and gzip writes the time into its head."""
    return blake2b(body, digest_size=16).digest()


def inflated(body: bytes, encoding: Encoding, bytes_max: int) -> bytes:
    """A compressed body as it was; raises `DecodeError` if it is corrupt or larger than it may be."""
    inflater = Inflater(encoding, bytes_max)
    parts = [*inflater.feed(body)]
    inflater.finish()
    return b"".join(parts)


async def parts_of(decode: Callable[[], Iterator[DecodedColumns]]) -> AsyncIterator[DecodedColumns]:
    """Parts of a body, one at a time in memory, and none before all of it could be read.

    A body of several parts is decoded twice: text is twenty times as large as Python objects.
    """
    first, several = await asyncio.to_thread(_read_through, decode())
    if first is not None:
        yield first
    elif several:
        parts = decode()
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            yield part


def _read_through(parts: Iterator[DecodedColumns]) -> tuple[DecodedColumns | None, bool]:
    first = next(parts, None)
    several = False
    for _ in parts:
        several = True
        first = None
    return first, several
