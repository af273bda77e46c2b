"""Bodies that were sent compressed: gzip (RFC 1952) and zstd (RFC 8878), inflated as they arrive.

A few kilobytes can inflate to gigabytes, so output comes in pieces and is counted as it comes: over the limit the request
is refused at once, and without a limit (streams that are counted in chunks) no piece is larger than a few megabytes.

Either may consist of several members, one behind the other. Anything else behind the end is refused.
"""

import zlib
from collections.abc import Iterator
from typing import Any, Final, Literal, Protocol, TypeAlias

import zstandard

from service.errors import DecodeError

__all__ = ["Encoding", "Inflater"]

Encoding: TypeAlias = Literal["identity", "gzip", "zstd"]

_PIECE_BYTES: Final = 1 << 16
_GZIP_WINDOW_BITS: Final = 31  # 32 KiB, and a gzip header
# zstandard gives out all that its input holds, up to 128 KiB for 4 bytes. So it is fed in slices that hold at most 8 MiB;
# that costs a third more time than feeding all at once, slices of a quarter cost twice the time.
_ZSTD_SLICE_BYTES: Final = 256
_ZSTD_WINDOW_BYTES_MAX: Final = 1 << 23  # what RFC 9659 allows for HTTP


class Inflater:
    """Inflates one body.

    Parameters
    ----------
    encoding : {"identity", "gzip", "zstd"}
    inflated_bytes_max : int or None
        None where the reader keeps a limit of its own.
    """

    def __init__(self, encoding: Encoding, inflated_bytes_max: int | None) -> None:
        self._encoding = encoding
        self._bytes_max = inflated_bytes_max
        self._inflated_bytes = 0
        self._member: _Member | None = None
        self._members = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Inflate the next bytes, piece by piece; the pieces have to be taken before more is fed.

        Raises
        ------
        DecodeError
            400 not of the encoding, 413 over the limit.
        """
        for piece in self._pieces(data):
            self._inflated_bytes += len(piece)
            if self._bytes_max is not None and self._inflated_bytes > self._bytes_max:
                what = "" if self._encoding == "identity" else " when inflated"
                raise DecodeError(413, f"the body has more than {self._bytes_max:,} bytes{what}")
            if piece:
                yield piece

    def finish(self) -> None:
        """End the body.

        Raises
        ------
        DecodeError
            400: it is cut off.
        """
        if self._encoding != "identity" and (self._member is not None or not self._members):
            raise DecodeError(400, f"the {self._encoding} body is cut off")

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if self._encoding == "identity":
            yield data
            return
        while data:
            if self._member is None:
                self._member = _Gzip() if self._encoding == "gzip" else _Zstd()
                self._members += 1
            member = self._member
            try:
                yield from member.inflate(data)
            except (zlib.error, zstandard.ZstdError):  # their texts say nothing more
                raise DecodeError(400, f"the body is not {self._encoding}, or broken") from None
            data = member.rest
            if not member.ended:
                return
            self._member = None


class _Member(Protocol):
    rest: bytes
    ended: bool

    def inflate(self, data: bytes) -> Iterator[bytes]: ...


class _Gzip:
    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(_GZIP_WINDOW_BITS)
        self.rest = b""
        self.ended = False

    def inflate(self, data: bytes) -> Iterator[bytes]:
        while data and not self.ended:
            yield self._inflater.decompress(data, _PIECE_BYTES)
            data = self._inflater.unconsumed_tail
            self.ended = self._inflater.eof
        self.rest = self._inflater.unused_data


class _Zstd:
    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX)
        self._inflater: Any = decompressor.decompressobj(write_size=_PIECE_BYTES)
        self.rest = b""
        self.ended = False

    def inflate(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE_BYTES):
            end = start + _ZSTD_SLICE_BYTES
            yield self._inflater.decompress(data[start:end])
            if self._inflater.eof:
                self.ended = True
                self.rest = self._inflater.unused_data + data[end:]
                return
        self.rest = b""
