"""The messages of an Arrow IPC stream, looked over before pyarrow sees them.

::

    0xFFFFFFFF | size of metadata: int32 | metadata: a flatbuffer Message, padded | body     (older: without 0xFFFFFFFF)

Sizes are declared by the sender, and pyarrow believes them: a few bytes could ask for all memory. So what the metadata
says of a message is held against limits first: its size, its rows, and the size of its buffers when inflated.

Flatbuffers: a table starts with the distance back to its vtable; the vtable holds its own size, the table's size, and the
distance of each field from the table's start, 0 where it is not there. Arrow's tables (format/Message.fbs, File.fbs 1.5)::

    Message     version, header_type, header, bodyLength
    RecordBatch length, nodes, buffers: [(offset, length)], compression        DictionaryBatch  id, data: RecordBatch
"""

import io
import struct
from typing import BinaryIO, Final

from service.errors import DecodeError

__all__ = ["CheckedFrames"]

_CONTINUATION: Final = b"\xff\xff\xff\xff"
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_BUFFER_BYTES: Final = 16

_LENGTH_BYTES: Final = 4
_METADATA_BYTES_MAX: Final = 1 << 22  # a schema of 10,000 columns takes about one
_BODY_BYTES_MAX: Final = 1 << 26
# Columns of nulls, and runs, take no space: their rows would cost time all the same.
_ROWS_PER_BYTE: Final = 64
_ROWS_FREE: Final = 1 << 16


class CheckedFrames(io.RawIOBase):
    """A stream of Arrow IPC messages that pyarrow may read from.

    Parameters
    ----------
    source : binary file

    Raises
    ------
    DecodeError
        From `read`: 400 cut off or corrupt, 413 a message beyond the limits. What `source` raises is passed on.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._ready: list[bytes] = []  # parts of the current message, the next one last
        self._ended = False
        self.failure: BaseException | None = None

    def readable(self) -> bool:
        """Whether it can be read: always, as pyarrow wants to know."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Bytes, as many as asked for unless the stream ends."""
        try:
            return self._read(size)
        except BaseException as error:
            self.failure = error  # on the way through pyarrow it may lose its type
            raise

    def _read(self, size: int) -> bytes:
        found: list[bytes] = []
        while size:
            if not self._ready and not self._next():
                break
            part = self._ready.pop()
            if 0 <= size < len(part):
                self._ready.append(part[size:])
                part = part[:size]
            found.append(part)
            size -= len(part) if size > 0 else 0
        return found[0] if len(found) == 1 else b"".join(found)

    def _next(self) -> bool:
        if self._ended:
            return False
        prefix = self._exactly(_LENGTH_BYTES, at_start=True)
        if prefix == _CONTINUATION:
            prefix += self._exactly(_LENGTH_BYTES)
        if not prefix or prefix[-4:] == b"\0\0\0\0":
            self._ended = True
            self._ready = [prefix] if prefix else []
            return bool(prefix)
        metadata_bytes = int.from_bytes(prefix[-4:], "little", signed=True)
        if metadata_bytes < 0:
            raise _corrupt()
        if metadata_bytes > _METADATA_BYTES_MAX:
            # Without the marker it is the form of before 2019, or text, whose first letters are a large number.
            marked = len(prefix) > _LENGTH_BYTES
            raise _too_large("metadata", metadata_bytes, _METADATA_BYTES_MAX) if marked else _corrupt()
        metadata = self._exactly(metadata_bytes)
        try:
            body = self._body(metadata)
        except struct.error:
            raise _corrupt() from None
        self._ready = [part for part in (body, metadata, prefix) if part]
        return True

    def _body(self, metadata: bytes) -> bytes:
        flat = _Flat(metadata)
        message = flat.root()
        body_bytes = flat.integer(flat.field(message, 3), "<q")
        if body_bytes < 0:
            raise _corrupt()
        if body_bytes > _BODY_BYTES_MAX:
            raise _too_large("body", body_bytes, _BODY_BYTES_MAX)
        body = self._exactly(body_bytes)
        kind = flat.integer(flat.field(message, 1), "<B")
        header = flat.field(message, 2)
        if kind in {_DICTIONARY_BATCH, _RECORD_BATCH} and header is not None:
            batch = flat.table(header)
            data = flat.field(batch, 1) if kind == _DICTIONARY_BATCH else None
            _check_batch(flat, batch if data is None else flat.table(data), body)
        return body

    def _exactly(self, size: int, *, at_start: bool = False) -> bytes:
        parts = []
        left = size
        while left:
            part = self._source.read(left)
            if not part:
                if at_start and left == size:
                    return b""
                raise DecodeError(400, "the Arrow stream is cut off")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


class _Flat:
    """Just enough of flatbuffers; a place outside the buffer is a `struct.error`."""

    def __init__(self, buffer: bytes) -> None:
        self._buffer = buffer

    def root(self) -> int:
        return self.table(0)

    def table(self, at: int) -> int:
        return at + self.integer(at, "<I")

    def field(self, table: int, number: int) -> int | None:
        vtable = table - self.integer(table, "<i")
        if 6 + 2 * number > self.integer(vtable, "<H"):
            return None
        distance = self.integer(vtable + 4 + 2 * number, "<H")
        return table + distance if distance else None

    def integer(self, at: int | None, layout: str) -> int:
        if at is None:
            return 0
        if at < 0:
            raise struct.error
        return int(struct.unpack_from(layout, self._buffer, at)[0])

    def buffers(self, at: int) -> list[tuple[int, int]]:
        start = self.table(at)
        count = self.integer(start, "<I")
        end = start + 4 + count * _BUFFER_BYTES
        if end > len(self._buffer):
            raise struct.error
        return list(struct.iter_unpack("<qq", self._buffer[start + 4 : end]))


def _check_batch(flat: _Flat, batch: int, body: bytes) -> None:
    rows = flat.integer(flat.field(batch, 0), "<q")
    size = len(body)
    buffers = flat.field(batch, 2)
    if flat.field(batch, 3) is not None and buffers is not None:
        size += _inflated_bytes(flat.buffers(buffers), body)
        if size > _BODY_BYTES_MAX:
            raise _too_large("inflated body", size, _BODY_BYTES_MAX)
    if not 0 <= rows <= _ROWS_FREE + _ROWS_PER_BYTE * size:
        raise DecodeError(413, f"an Arrow message that says it has {rows:,} rows in {size:,} bytes")


def _inflated_bytes(buffers: list[tuple[int, int]], body: bytes) -> int:
    # Each compressed buffer starts with its size when inflated, or -1 where it is not compressed after all.
    total = 0
    for offset, length in buffers:
        if length > 0:
            if offset < 0:
                raise struct.error
            total += max(0, struct.unpack_from("<q", body, offset)[0])
    return total


def _corrupt() -> DecodeError:
    return DecodeError(400, "the body is not an Arrow IPC stream, or corrupt")


def _too_large(what: str, size: int, size_max: int) -> DecodeError:
    return DecodeError(
        413, f"an Arrow message with {size:,} bytes of {what}, wanted at most {size_max:,}: send smaller record batches"
    )
