"""Compressed bodies, and which format a body is in."""

import gzip
import os
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from service.errors import DecodeError
from service.ingest.decode import Inflater, format_of

BODY = b'{"a": 1.25}\n' * 5_000 + os.urandom(3_000)


def inflated(data, encoding, *, step=None, bytes_max=None):
    inflater = Inflater(encoding, bytes_max)
    step = step or max(1, len(data))
    found = [piece for start in range(0, len(data), step) for piece in inflater.feed(data[start : start + step])]
    inflater.finish()
    assert all(found)
    return b"".join(found)


def refused(data, encoding, **how):
    with pytest.raises(DecodeError) as caught:
        inflated(data, encoding, **how)
    return caught.value


def deflated(data, encoding):
    return {"gzip": gzip.compress, "zstd": zstandard.compress, "identity": bytes}[encoding](data)


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("step", [None, 1, 7, 1000])
def test_what_was_compressed_comes_back(encoding, step):
    assert inflated(deflated(BODY, encoding), encoding, step=step, bytes_max=len(BODY)) == BODY


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", [None, 1])
def test_members_may_follow_one_another(encoding, step):
    data = deflated(b"one, ", encoding) + deflated(b"", encoding) + deflated(b"two", encoding)

    assert inflated(data, encoding, step=step) == b"one, two"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_cut_off_anywhere_is_refused(encoding):
    data = deflated(b"some text, and some more text", encoding)

    for end in range(len(data)):
        error = refused(data[:end], encoding)
        assert (error.status, "cut off" in error.detail) == (400, True)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("step", [None, 1])
def test_anything_else_is_refused(encoding, step):
    data = deflated(b"text", encoding)
    broken = data[:-6] + bytes(byte ^ 0x55 for byte in data[-6:])
    other = deflated(b"text", "zstd" if encoding == "gzip" else "gzip")

    for bad in (b"plain text", data + b"garbage", data + b"\0", broken, other):
        assert refused(bad, encoding, step=step).status == 400


def test_a_plain_body_has_no_end_of_its_own():
    assert inflated(b"", "identity") == b""
    assert refused(b"12345", "identity", bytes_max=4).detail == "the body has more than 4 bytes"


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused_at_once(encoding):
    megabyte = bytes(1 << 20)
    if encoding == "gzip":
        compressor = zlib.compressobj(9, wbits=31)
        bomb = b"".join(compressor.compress(megabyte) for _ in range(256)) + compressor.flush()
    else:
        bomb = zstandard.ZstdCompressor(level=19).compress(megabyte * 256)
    tracemalloc.start()

    error = refused(bomb, encoding, bytes_max=1 << 20)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (error.status, error.detail) == (413, "the body has more than 1,048,576 bytes when inflated")
    assert peak < 20 << 20


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_without_a_limit_pieces_are_bounded(encoding):
    data = deflated(bytes(1 << 26), encoding)

    sizes = list(map(len, Inflater(encoding, None).feed(data)))

    assert sum(sizes) == 1 << 26
    assert max(sizes) <= 1 << 23


def test_a_window_that_takes_more_memory_than_http_allows_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()

    assert refused(compressor.compress(b"text") + compressor.flush(), "zstd").status == 400


@given(data=st.binary(max_size=60), encoding=st.sampled_from(["gzip", "zstd"]), real=st.booleans())
def test_random_bytes_are_refused(data, encoding, real):
    data = deflated(b"x", encoding) + data if real else data
    if real and not data.removeprefix(deflated(b"x", encoding)):
        assert inflated(data, encoding) == b"x"
    else:
        assert refused(data, encoding).status == 400


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/json", "json"), (" Application/JSON ", "json"), ("application/json; charset=UTF-8", "json"),
        ('application/json;charset="utf-8"', "json"), ("application/x-ndjson", "ndjson"), ("application/jsonl", "ndjson"),
        ("text/csv; header=present; charset=us-ascii", "csv"), ("application/vnd.apache.arrow.stream", "arrow"),
        ("application/vnd.apache.parquet; charset=latin-1", "parquet"), ("text/plain", None), ("", None), (";", None),
        ("application/json\r\nx: y; z", None), ("multipart/form-data; boundary=x", None), ("application/json; q", "json"),
    ],
)  # fmt: skip
def test_content_types_name_formats(content_type, expected):
    assert format_of(content_type) == expected


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=latin-1", "text/csv; charset=utf-16", "text/csv; header=absent"]
)
def test_text_that_cannot_be_taken_is_refused_by_its_type(content_type):
    with pytest.raises(DecodeError) as caught:
        format_of(content_type)

    assert caught.value.status == 415


@given(content_type=st.text(max_size=30))
def test_any_text_may_be_a_content_type(content_type):
    try:
        found = format_of(f"application/json;{content_type}")
    except DecodeError as error:
        found = error.status
    assert found in {"json", None, 415}
