"""Payloads: whatever is written is read again, and nothing else is."""

import base64
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from service.errors import PayloadError
from service.storage import codec

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "payloads_v1.json").read_text())
LARGEST = 2**63 - 1

SIZES = st.sampled_from([1, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, LARGEST])
VECTORS = st.lists(st.one_of(st.just(0), st.integers(0, 3), SIZES), min_size=1, max_size=400)


def decoded(payload, n_bins):
    return codec.summed([payload], n_bins)


def sparse_of(counts):
    positions = np.flatnonzero(counts)
    return codec.encode_sparse(positions, np.asarray(counts)[positions], len(counts))


def header(*, kind=b"C", version=1, form=0, widths=0, n_bins=1, entries=1, body=b"\0"):
    """A payload whose checksum is right, whatever else it says."""
    head = struct.pack("<cBBBII", kind, version, form, widths, n_bins, entries)
    return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


@given(VECTORS)
def test_counts_are_read_as_they_were_written(counts):
    for payload in (codec.encode_dense(np.array(counts)), sparse_of(counts)):
        assert decoded(payload, len(counts)).tolist() == counts
        assert codec.bins_of(payload) == len(counts)


@given(VECTORS)
def test_however_counts_are_given_their_payload_is_the_same(counts):
    assert codec.encode_dense(np.array(counts)) == sparse_of(counts)


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=5, max_size=5), min_size=1, max_size=6))
def test_a_merged_payload_holds_the_sum(vectors):
    payloads = [codec.encode_dense(np.array(vector)) for vector in vectors]

    merged = codec.merge(payloads)

    assert merged == codec.encode_dense(np.sum(vectors, axis=0))
    assert decoded(merged, 5).tolist() == np.sum(vectors, axis=0).tolist()


def test_adding_adds_to_what_is_there():
    total = np.array([1, 2, 3])

    codec.add_into(total, codec.encode_dense(np.array([10, 0, 0])))
    codec.add_into(total, codec.encode_dense(np.array([1, 1, 1])))

    assert total.tolist() == [12, 3, 4]


def test_nothing_adds_up_to_zero():
    assert codec.summed([], 3).tolist() == [0, 0, 0]
    empty = codec.encode_sparse(np.empty(0, np.intp), np.empty(0, np.int64), 25_000)
    assert decoded(empty, 25_000).sum() == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint64])
def test_integers_of_any_type_are_taken(dtype):
    payload = codec.encode_sparse(np.array([1, 3], dtype), np.array([5, 6], dtype), 5)

    assert decoded(payload, 5).tolist() == [0, 5, 0, 6, 0]


def test_a_row_of_fifty_columns_takes_few_bytes():
    positions = np.arange(50) * 500 + 7

    payload = codec.encode_sparse(positions, np.ones(50, np.int64), 25_000)

    assert len(payload) == 16 + 50 * (2 + 1)


def test_the_smaller_form_is_taken():
    few, many = np.zeros(1_000, np.int64), np.ones(1_000, np.int64)
    few[::100] = 1
    noise = np.random.default_rng(1).integers(0, 256, 1_000)

    assert len(codec.encode_dense(few)) == 16 + 10 * 2
    assert len(codec.encode_dense(many)) < 50
    assert len(codec.encode_dense(noise)) == 16 + 1_000


def test_one_wide_gap_makes_dense_the_smaller_form():
    counts = np.zeros(1_000, np.int64)
    counts[:400] = np.random.default_rng(1).integers(1, 256, 400)
    counts[-1] = 1

    for payload in (codec.encode_dense(counts), sparse_of(counts)):
        assert decoded(payload, 1_000).tolist() == counts.tolist()
        assert payload[2] & 1 == 0


@pytest.mark.parametrize(
    ("positions", "counts", "n_bins"),
    [
        ([0, 1], [1, -1], 5),
        ([1, 1], [1, 1], 5),
        ([2, 1], [1, 1], 5),
        ([0, 5], [1, 1], 5),
        ([-1, 2], [1, 1], 5),
        ([1, 2], [1], 5),
        ([], [], 0),
        ([0], [1], codec.BINS_MAX + 1),
        ([0, 2**33], [1, 1], 2**34),
    ],
)
def test_what_cannot_be_counts_is_not_written(positions, counts, n_bins):
    with pytest.raises(ValueError, match=r"wanted|positions"):
        codec.encode_sparse(np.array(positions, np.int64), np.array(counts, np.int64), n_bins)


def test_a_negative_count_is_not_written():
    with pytest.raises(ValueError, match="not negative"):
        codec.encode_dense(np.array([1, -1]))


def test_other_bins_are_refused_and_named():
    total = np.zeros(12, np.int64)

    with pytest.raises(PayloadError, match="20 bins in the payload, 12 wanted"):
        codec.add_into(total, codec.encode_dense(np.ones(20, np.int64)))
    with pytest.raises(PayloadError, match="bins"):
        codec.merge([codec.encode_dense(np.ones(n, np.int64)) for n in (12, 20)])

    assert not total.any()


def test_a_sum_beyond_64_bits_is_refused():
    with pytest.raises(PayloadError, match="64 bits"):
        codec.merge([codec.encode_dense(np.array([LARGEST]))] * 2)


# --- what is broken


@pytest.mark.parametrize("name", GOLDEN)
def test_payloads_cut_off_anywhere_or_with_any_bit_flipped_are_refused(name):
    golden = GOLDEN[name]
    payload = base64.b64decode(golden["payload"])
    broken = [payload[:size] for size in range(len(payload))]
    broken += [payload + b"\0"]
    broken += [payload[:i] + bytes([payload[i] ^ 1 << i % 8]) + payload[i + 1 :] for i in range(len(payload))]

    for one in broken:
        total = np.zeros(golden["n_bins"], np.int64)
        with pytest.raises(PayloadError):
            codec.add_into(total, one)
        assert not total.any()


@given(st.binary(max_size=80), st.integers(1, 20))
def test_random_bytes_are_refused(noise, n_bins):
    with pytest.raises(PayloadError):
        codec.add_into(np.zeros(n_bins, np.int64), noise)
    if noise[:1] != b"S":
        with pytest.raises(PayloadError):
            codec.merge([noise])


@given(
    form=st.integers(0, 4),
    widths=st.integers(0, 255),
    n_bins=st.integers(0, 10),
    entries=st.integers(0, 10),
    body=st.binary(max_size=40),
)
def test_a_header_that_lies_under_a_right_checksum_is_refused_or_its_counts_are_of_those_bins(**parts):
    total = np.zeros(5, np.int64)
    try:
        codec.add_into(total, header(**parts))
    except PayloadError:
        assert not total.any()
    else:
        assert parts["n_bins"] == 5


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "something else"),
        (codec.wrap_sketch(b"x" * 40), "something else"),
        (header(version=2), "version 2"),
        (header(form=4), "header"),
        (header(widths=4), "header"),
        (header(widths=3 << 4), "header"),
        (header(n_bins=0, entries=0), "header"),
        (header(n_bins=codec.BINS_MAX + 1, entries=1, form=1), "header"),
        (header(entries=2), "header"),
        (header(form=1, entries=2), "header"),
        (header(body=b"\0\0"), "2 bytes, 1 wanted"),
        (header(form=2, body=zstandard.compress(b"\0\0")), "another length"),
        (header(form=2, body=b"not zstd"), "cannot be read"),
        (header(form=2, body=zstandard.compress(b"\0") + b"\0"), "cannot be read"),
        (header(form=1, body=b"\1\1"), "beyond the bins"),
    ],
)
def test_the_error_says_what_is_wrong(payload, said):
    with pytest.raises(PayloadError, match=said):
        codec.add_into(np.zeros(1, np.int64), payload)


def test_a_frame_that_promises_more_than_the_header_is_not_inflated():
    bomb = zstandard.compress(bytes(50_000_000))

    with pytest.raises(PayloadError, match="another length"):
        codec.add_into(np.zeros(1, np.int64), header(form=2, body=bomb))


# --- what earlier releases wrote


@pytest.mark.parametrize("name", GOLDEN)
def test_version_1_is_read(name):
    golden = GOLDEN[name]
    expected = np.zeros(golden["n_bins"], np.int64)
    expected[[int(place) for place in golden["counts"]]] = list(golden["counts"].values())

    assert np.array_equal(decoded(base64.b64decode(golden["payload"]), golden["n_bins"]), expected)


@pytest.mark.parametrize("name", ["one row", "dense, one byte", "largest"])
def test_version_1_is_what_is_written(name):
    # Those that are not compressed: zstd may write other bytes in a later version of its own.
    golden = GOLDEN[name]
    counts = decoded(base64.b64decode(golden["payload"]), golden["n_bins"])

    assert codec.encode_dense(counts) == base64.b64decode(golden["payload"])


# --- sketches


def test_sketches_are_wrapped_and_merged_by_who_knows_how():
    payloads = [codec.wrap_sketch(sketch) for sketch in (b"one", b"two")]

    merged = codec.merge(payloads, merge_sketches=b"+".join)

    assert [codec.unwrap_sketch(payload) for payload in payloads] == [b"one", b"two"]
    assert codec.unwrap_sketch(merged) == b"one+two"


def test_counts_are_no_sketch():
    with pytest.raises(PayloadError, match="sketch"):
        codec.unwrap_sketch(codec.encode_dense(np.array([1])))


def test_kinds_are_not_mixed():
    counts, sketch = codec.encode_dense(np.array([1])), codec.wrap_sketch(b"s")

    for payloads in ([counts, sketch], [], [b"X"], [b""]):
        with pytest.raises(PayloadError, match="kind"):
            codec.merge(payloads, merge_sketches=b"".join)


def test_sketches_need_somebody_who_merges_them():
    with pytest.raises(PayloadError, match="merges"):
        codec.merge([codec.wrap_sketch(b"s")])


def test_a_sketch_that_cannot_be_read_is_a_payload_that_cannot():
    def refusing(_):
        raise ValueError("not a sketch")

    with pytest.raises(PayloadError, match="sketches"):
        codec.merge([codec.wrap_sketch(b"s")], merge_sketches=refusing)
