"""What scripts are given, as the msgpack that `cmsgpack` of Redis reads: it knows raw strings only, none marked as binary.

What is large goes beside it, as an argument of its own: Lua hashes every text that it makes, and would make it twice.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Blob", "pack"]

_SHORT: Final = 32  # lengths that fit into the first byte
_FALSE, _TRUE, _RAW16, _RAW32, _ARRAY32, _MAP32, _INT64 = b"\xc2", b"\xc3", b"\xda", b"\xdb", b"\xdd", b"\xdf", b"\xd3"
_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_I64: Final = struct.Struct(">q")


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that go beside what is packed; a script is given their number, and calls `blob` with it."""

    content: bytes


def pack(value: Any) -> list[bytes]:
    """Mappings, sequences, texts, bytes, whole numbers within 2^53, and truths; then the blobs among them."""
    parts: list[bytes] = []
    blobs: list[bytes] = []
    _append(parts, blobs, value)
    return [b"".join(parts), *blobs]


def _append(parts: list[bytes], blobs: list[bytes], value: Any) -> None:
    match value:
        case str():
            _append_raw(parts, value.encode())
        case bytes():
            _append_raw(parts, value)
        case bool():
            parts.append(_TRUE if value else _FALSE)
        case int():
            parts.append(_INT64 + _I64.pack(value))
        case Blob():
            blobs.append(value.content)
            parts.append(_INT64 + _I64.pack(len(blobs)))
        case Mapping():
            parts.append(_MAP32 + _U32.pack(len(value)))
            for name, item in value.items():
                _append_raw(parts, name.encode())
                _append(parts, blobs, item)
        case Sequence():
            parts.append(_ARRAY32 + _U32.pack(len(value)))
            for item in value:
                _append(parts, blobs, item)
        case _:
            raise TypeError(f"nothing that a script is given: {type(value).__name__}")


def _append_raw(parts: list[bytes], text: bytes) -> None:
    length = len(text)
    if length < _SHORT:
        parts.append(bytes([0xA0 | length]))
    elif length < 1 << 16:
        parts.append(_RAW16 + _U16.pack(length))
    else:
        parts.append(_RAW32 + _U32.pack(length))
    parts.append(text)
