"""How counts are written down: pure, exact, versioned.

A payload is opaque to a store but for its first byte, which says what it holds: `C` counts, `S` a sketch (learning mode;
the bytes after the first belong to the sketch itself). Payloads of one kind can be merged.

Counts, version 1, little-endian::

    C | version | form | widths | n_bins: u4 | entries: u4 | checksum: u4 | body

The body is `entries` counts of every bin in order (dense), or the gaps between the bins that are not zero and then their
counts (sparse), each in the narrowest unsigned type. Whichever is smaller is taken, and zstd-1 where that makes it smaller
still. A gap is the number of zero bins skipped, so that any sequence of gaps is a strictly increasing sequence of bins:
there is no malformed order to check for. Gaps compress half as large again as plain positions do; choosing between sparse
and dense by their raw sizes was within a tenth of choosing by the compressed ones (50 columns x 512 bins, 1 to 100,000
rows). The checksum (CRC-32 of all the rest, 3 GB/s) is there because SQLite has none: a flipped bit is an error, not a
count.
"""

import struct
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zstandard

from detectors.arrays import Counts
from service.errors import PayloadError

__all__ = [
    "BINS_MAX",
    "MergeSketches",
    "add_into",
    "bins_of",
    "encode_dense",
    "encode_sparse",
    "entries",
    "merge",
    "summed",
    "unwrap_sketch",
    "wrap_sketch",
]

MergeSketches = Callable[[Sequence[bytes]], bytes]
"""Bytes of several sketches to those of their sum; what it cannot read, it refuses with a ValueError or PayloadError."""

BINS_MAX: Final = 1 << 26  # half a gigabyte of int64: a hostile header must not make us allocate more

_COUNTS: Final = b"C"
_SKETCH: Final = b"S"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<cBBBII")
_CHECKSUM: Final = struct.Struct("<I")
_BODY_FROM: Final = _HEAD.size + _CHECKSUM.size
_SPARSE, _COMPRESSED = 1, 2  # bits of `form`
_TYPES: Final = (np.dtype("<u1"), np.dtype("<u2"), np.dtype("<u4"), np.dtype("<u8"))
_COMPRESS_FROM_BYTES: Final = 256  # a single row of 50 columns would gain a tenth, for three times the time
_GAP_TYPES_MAX: Final = 2  # bins are numbered by u4

_Ints = npt.NDArray[np.int64]


def encode_dense(counts: _Ints) -> bytes:
    """Payload of the counts of all bins, int64[n_bins]."""
    counts = np.ascontiguousarray(counts, dtype=np.int64)
    width = _narrowest(counts)
    entries = int(np.count_nonzero(counts))
    # One byte a gap is the least that sparse can take: only then is it worth finding the positions.
    if entries * (1 + (1 << width)) < len(counts) << width:
        positions = np.flatnonzero(counts)
        body, widths = _sparse_body(positions, counts[positions])
        if len(body) < len(counts) << width:
            return _payload(_SPARSE, widths, len(counts), entries, body)
    return _payload(0, width, len(counts), len(counts), counts.astype(_TYPES[width]).tobytes())


def encode_sparse(positions: npt.NDArray[Any], counts: npt.NDArray[Any], n_bins: int) -> bytes:
    """Payload of counts that are zero but for some bins, at strictly increasing positions."""
    counts = np.ascontiguousarray(counts, dtype=np.int64)
    positions = np.ascontiguousarray(positions, dtype=np.int64)
    if len(positions) != len(counts):
        raise ValueError(f"{len(positions)} positions and {len(counts)} counts")
    if len(positions) and not 0 <= positions[0] <= positions[-1] < n_bins:
        raise ValueError(f"positions beyond the {n_bins} bins")
    body, widths = _sparse_body(positions, counts)
    if len(body) >= n_bins << (widths & 15):
        total = np.zeros(n_bins, dtype=np.int64)
        total[positions] = counts
        return encode_dense(total)
    return _payload(_SPARSE, widths, n_bins, len(counts), body)


def add_into(total: _Ints, payload: bytes) -> None:
    """Add a payload of counts to a vector of the same bins.

    Raises
    ------
    PayloadError
        The payload is not of counts, has another number of bins, is corrupt or of a later version. The vector is as it was.
    """
    positions, counts = entries(payload, len(total))
    if positions is None:
        np.add(total, counts, out=total)
    else:  # positions are distinct; of one type, `add.at` takes half the time of reading, adding and writing
        np.add.at(total, positions, counts.astype(np.int64))


def entries(payload: bytes, n_bins: int) -> tuple[_Ints | None, npt.NDArray[Any]]:
    """Bins that a payload has counts of, strictly increasing, and the counts; None for all bins in order.

    Counts are of the type that they are stored in. Those of 64 bits are taken as signed: one that is beyond them is negative.

    Raises
    ------
    PayloadError
        As for `add_into`; of a payload of other bins, nothing is inflated.
    """
    form, widths, n_found, n_entries = _header(payload)
    if n_found != n_bins:
        raise PayloadError(f"counts: {n_found} bins in the payload, {n_bins} wanted")
    counts_type, gaps_type = _TYPES[widths & 15], _TYPES[widths >> 4]
    gaps_bytes = n_entries * gaps_type.itemsize if form & _SPARSE else 0
    body = _body(payload, form, gaps_bytes + n_entries * counts_type.itemsize)
    counts = np.frombuffer(body, counts_type, n_entries, gaps_bytes)
    if widths & 15 == len(_TYPES) - 1:
        counts = counts.view(np.int64)  # u8 and int64 would add up to float64
    if not form & _SPARSE:
        return None, counts
    positions = np.frombuffer(body, gaps_type, n_entries).astype(np.int64)
    positions[1:] += 1
    np.cumsum(positions, out=positions)
    if n_entries and positions[-1] >= n_bins:
        raise PayloadError("counts: positions beyond the bins")
    return positions, counts


def summed(payloads: Sequence[bytes], n_bins: int) -> Counts:
    """Sum of payloads of counts, int64[n_bins]; of none it is zero."""
    total = np.zeros(n_bins, dtype=np.int64)
    for payload in payloads:
        add_into(total, payload)
    return Counts(total)


def bins_of(payload: bytes) -> int:
    """Number of bins of a payload of counts."""
    return _header(payload)[2]


def merge(payloads: Sequence[bytes], merge_sketches: MergeSketches | None = None) -> bytes:
    """One payload that holds what all of these hold together; all counts of the same bins, or all sketches.

    Raises
    ------
    PayloadError
        There is none, kinds or bins differ, one is corrupt, or there are sketches but nobody to merge them.
    """
    kinds = {payload[:1] for payload in payloads}
    if kinds == {_COUNTS}:
        return _merge_counts(payloads)
    if kinds != {_SKETCH}:
        raise PayloadError("payloads of no kind or of several; wanted all counts or all sketches")
    if merge_sketches is None:
        raise PayloadError("sketches: this store was opened without what merges them")
    try:
        return wrap_sketch(merge_sketches([payload[1:] for payload in payloads]))
    except ValueError as error:
        raise PayloadError("sketches: at least one cannot be read") from error


def wrap_sketch(sketch: bytes) -> bytes:
    """Payload of a sketch."""
    return _SKETCH + sketch


def unwrap_sketch(payload: bytes) -> bytes:
    """The sketch in a payload."""
    if payload[:1] != _SKETCH:
        raise PayloadError("the payload does not hold a sketch")
    return payload[1:]


def _merge_counts(payloads: Sequence[bytes]) -> bytes:
    total = summed(payloads, bins_of(payloads[0]))
    try:
        return encode_dense(total)
    except ValueError as error:
        raise PayloadError("counts: the sum is beyond 64 bits") from error


def _sparse_body(positions: _Ints, counts: _Ints) -> tuple[bytes, int]:
    gaps = np.empty_like(positions)
    gaps[:1] = positions[:1]
    np.subtract(positions[1:], positions[:-1], out=gaps[1:])
    gaps[1:] -= 1
    gap_width, width = _narrowest(gaps), _narrowest(counts)
    if gap_width > _GAP_TYPES_MAX:
        raise ValueError("positions beyond 32 bits")
    return gaps.astype(_TYPES[gap_width]).tobytes() + counts.astype(_TYPES[width]).tobytes(), width | gap_width << 4


def _narrowest(values: _Ints) -> int:
    """Binary logarithm of the bytes that the largest value needs."""
    # As unsigned, what is negative is beyond all else: one pass finds both.
    largest = int(np.maximum.reduce(values.view(np.uint64), initial=0))
    if largest >> 63:
        raise ValueError("wanted counts that are not negative, at positions that increase")
    return 0 if largest < 1 << 8 else 1 if largest < 1 << 16 else 2 if largest < 1 << 32 else 3


def _payload(form: int, widths: int, n_bins: int, entries: int, body: bytes) -> bytes:
    if not 0 < n_bins <= BINS_MAX:
        raise ValueError(f"{n_bins} bins; wanted 1 to {BINS_MAX}")
    if len(body) >= _COMPRESS_FROM_BYTES:
        compressed = _zstd.compressor.compress(body)
        if len(compressed) < len(body):
            form, body = form | _COMPRESSED, compressed
    head = _HEAD.pack(_COUNTS, _VERSION, form, widths, n_bins, entries)
    return head + _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(head))) + body


def _header(payload: bytes) -> tuple[int, int, int, int]:
    """Form, widths, bins and entries of a payload of counts, once they are known to make sense."""
    if len(payload) < _BODY_FROM or payload[:1] != _COUNTS:
        raise PayloadError("counts: the payload holds something else, or is cut off")
    _, version, form, widths, n_bins, entries = _HEAD.unpack_from(payload)
    if version != _VERSION:
        raise PayloadError(f"counts: a payload of version {version}; this program reads version {_VERSION}")
    if (
        form > _SPARSE | _COMPRESSED
        or widths & 15 >= len(_TYPES)
        or widths >> 4 > _GAP_TYPES_MAX
        or not 0 < n_bins <= BINS_MAX
        or (entries > n_bins if form & _SPARSE else entries != n_bins)
    ):
        raise PayloadError("counts: a header that makes no sense")
    return form, widths, n_bins, entries


def _body(payload: bytes, form: int, size_bytes: int) -> bytes | memoryview:
    body = memoryview(payload)[_BODY_FROM:]
    (checksum,) = _CHECKSUM.unpack_from(payload, _HEAD.size)
    if zlib.crc32(body, zlib.crc32(payload[: _HEAD.size])) != checksum:
        raise PayloadError("counts: the checksum does not match; the payload is corrupt")
    if not form & _COMPRESSED:
        if len(body) != size_bytes:
            raise PayloadError(f"counts: {len(body)} bytes, {size_bytes} wanted")
        return body
    try:
        # The frame says how long it is: a small body cannot make us allocate more than the header promised.
        if zstandard.frame_content_size(body) != size_bytes:
            raise PayloadError("counts: the compressed body has another length than the header says")
        return _zstd.decompressor.decompress(body, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise PayloadError("counts: the compressed body cannot be read") from error


class _Zstd(threading.local):
    """Contexts are costly to make and belong to one thread at a time."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=1)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd: Final = _Zstd()
