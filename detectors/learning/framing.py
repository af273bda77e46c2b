"""Bytes of a sketch: a JSON header and arrays behind one another.

::

    magic (3)  version (1)  CRC-32 of the rest (4)  length of the header (4)  header, by zlib  arrays

The header says of each array its type and length. All numbers are little-endian. Arrays take the narrowest type that fits,
and are not compressed: mantissas of measurements are noise, of which zlib saves a seventh in ten times the time.
"""

import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from detectors.errors import SketchFormatError

__all__ = ["HEADER_BYTES_MAX", "Arrays", "packed", "unpacked"]

_MAGIC: Final = b"DLS"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<3sBI")
_LENGTH: Final = struct.Struct("<I")
HEADER_BYTES_MAX: Final = 1 << 30  # a gigabyte of names is an attack or a mistake
_LEVEL: Final = 1
_TYPES: Final = ("<u1", "<u2", "<u4", "<u8", "<f8")

# Every way in which a header that is not what it says can fail to be read.
_FAULTS: Final = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
)

_T = TypeVar("_T")


class Arrays:
    """Arrays of a frame, taken out in the order in which they were put in."""

    def __init__(self, arrays: Sequence[npt.NDArray[Any]] = ()) -> None:
        self._arrays = list(arrays)
        self._taken = 0

    def put(self, array: npt.NDArray[Any]) -> None:
        """Append floats, or integers that are not negative."""
        self._arrays.append(array)

    def take(self, dtype: type[np.generic]) -> npt.NDArray[Any]:
        """Next array, of one dimension, as a type that must be able to hold it."""
        if self._taken == len(self._arrays):
            raise ValueError("arrays: too few")
        array = self._arrays[self._taken]
        self._taken += 1
        if (dtype is np.float64) != (array.dtype.kind == "f"):
            raise ValueError("arrays: floats for integers, or the other way round")
        return array.astype(dtype)

    def finish(self) -> None:
        """Make sure that all have been taken."""
        if self._taken != len(self._arrays):
            raise ValueError("arrays: too many")

    def narrowed(self) -> list[npt.NDArray[Any]]:
        """All of them, little-endian, in the narrowest type."""
        return [array.astype(_narrowest(array)) for array in self._arrays]


def packed(header: Mapping[str, object], arrays: Arrays) -> bytes:
    """Bytes of a header and its arrays."""
    narrow = arrays.narrowed()
    listed = [[_TYPES.index(_code(array.dtype)), array.size] for array in narrow]
    text = json.dumps({"content": header, "arrays": listed}, separators=(",", ":"), sort_keys=True).encode()
    small = zlib.compress(text, _LEVEL)
    body = b"".join([_LENGTH.pack(len(small)), small, *(array.tobytes() for array in narrow)])
    return _HEAD.pack(_MAGIC, _VERSION, zlib.crc32(body)) + body


def unpacked(data: bytes, read: Callable[[Any, Arrays], _T], header_bytes_max: int = HEADER_BYTES_MAX) -> _T:
    """What `read` makes of the header, inflated to so many bytes at most, and the arrays.

    Raises
    ------
    SketchFormatError
        The bytes are foreign, cut off, corrupt or of a later version, or `read` found them inconsistent.
    """
    if len(data) < _HEAD.size or data[:3] != _MAGIC:
        raise SketchFormatError("not a sketch")
    _, version, checksum = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise SketchFormatError(f"sketch of format {version}: this release reads {_VERSION}")
    body = data[_HEAD.size :]
    if zlib.crc32(body) != checksum:
        raise SketchFormatError("sketch: corrupt, its checksum differs")
    try:
        content, arrays = _opened(body, header_bytes_max)
        made = read(content, arrays)
        arrays.finish()
    except _FAULTS as error:
        raise SketchFormatError(f"sketch: inconsistent ({type(error).__name__})") from error
    return made


def _opened(body: bytes, header_bytes_max: int) -> tuple[Any, Arrays]:
    (size,) = _LENGTH.unpack_from(body)
    at = _LENGTH.size + size
    inflater = zlib.decompressobj()
    text = inflater.decompress(body[_LENGTH.size : at], header_bytes_max)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("header: cut off, too long, or followed by more")
    header = json.loads(text)
    found = []
    for code, length in header["arrays"]:
        dtype = np.dtype(_TYPES[code])
        found.append(np.frombuffer(body, dtype=dtype, count=length, offset=at) if length else np.empty(0, dtype))
        at += dtype.itemsize * length
    if at != len(body):
        raise ValueError("arrays: shorter or longer than the header says")
    return header["content"], Arrays(found)


def _narrowest(array: npt.NDArray[Any]) -> str:
    if array.dtype.kind == "f":
        return "<f8"
    largest = int(array.max(initial=0))
    return next(code for code in _TYPES if largest <= np.iinfo(code).max)


def _code(dtype: np.dtype[Any]) -> str:
    return f"<{dtype.kind}{dtype.itemsize}"
