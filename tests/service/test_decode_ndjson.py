"""NDJSON as it arrives: chunks follow the content, never the network."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from service.errors import DecodeError, RowError
from service.ingest.decode import NdjsonDecoder, RowSchema


def chunks_of(body, *, cuts=(), schema=None, **limits):
    """Chunks of a body that the network cut somewhere."""
    decoder = NdjsonDecoder(RowSchema(["a", "b"]) if schema is None else schema, **limits)
    ends = sorted({min(cut, len(body)) for cut in cuts} | {len(body)})
    starts = [0, *ends[:-1]]
    found = [chunk for start, end in zip(starts, ends, strict=True) for chunk in decoder.feed(body[start:end])]
    return [*found, *decoder.finish()]


def told(chunks):
    return [
        (chunk.names, repr(chunk.cells), list(chunk.numbers), list(chunk.errors), chunk.rejected, chunk.ignored, chunk.ignored_cells)
        for chunk in chunks
    ]  # fmt: skip


def test_a_line_is_a_row():
    [chunk] = chunks_of(b'{"a": 1, "b": "x"}\n{"b": 2}\n')

    assert chunk.cells == [(1, "x"), (UNSET, 2)]
    assert list(chunk.numbers) == [1, 2]


def test_byte_order_marks_blank_lines_and_line_ends_of_windows_are_passed_over():
    [chunk] = chunks_of(b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \n\t\n{"a": 2}\r\n\n{"a": 3}')

    assert [cells[0] for cells in chunk.cells] == [1, 2, 3]
    assert list(chunk.numbers) == [1, 5, 7]
    assert chunk.rejected == 0


@pytest.mark.parametrize("body", [b"", b"\n", b"\r\n\n  \n", b"\xef\xbb\xbf"])
def test_a_body_may_have_no_rows(body):
    assert chunks_of(body) == []


@pytest.mark.parametrize("seen", [b"", b'{"a": 0}\n'])
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1", "not an object"), (b"[1]", "not an object"), (b"null", "not an object"), (b"x", "not an object"),
        (b"{", "cut off, or broken text in it"), (b'{"a": 1', "cut off, or broken text in it"), (b"{}x", "not JSON near byte 3"),
        (b"{},{}", "not JSON near byte 3"), (b"{}{}", "not JSON near byte 3"), (b"1],[2", "not an object"),
        (b'{"a": [{}', "cut off, or broken text in it"), (b'{"a": "\xff"}', "text that is not UTF-8"),
        (b'{"a": "\\ud800"}', "cut off, or broken text in it"), (b'{"a": ' + b"9" * 5000 + b"}", "a number too long"),
        (b'{"a": ' + b"[" * 50_000, "nested too deeply"), (b'{"a": I}', "not JSON near byte 6"),
    ],
)  # fmt: skip
def test_a_broken_line_is_a_rejected_row_with_its_number(line, reason, seen):
    first = seen.count(b"\n")

    [chunk] = chunks_of(seen + b'{"a": 1}\n' + line + b'\n{"a": 2}\n')

    assert [cells[0] for cells in chunk.cells] == [0] * first + [1, 2]
    assert list(chunk.numbers) == [*range(1, first + 2), first + 3]
    assert chunk.errors == [RowError(row=first + 2, reason=reason)]


def test_lines_that_together_would_be_rows_are_none():
    [chunk] = chunks_of(b'{"a": [{}\n{}]}\n{},{}\n{"a": 1}\n')

    assert chunk.cells == [(1, UNSET)]
    assert chunk.rejected == 3


def test_tokens_that_python_writes_are_numbers():
    [chunk] = chunks_of(b'{"a": 1}\n{"a": NaN, "b": Infinity}\n{"a": -1e999}\n')

    assert math.isnan(chunk.cells[1][0])
    assert (chunk.cells[1][1], chunk.cells[2][0]) == (math.inf, -math.inf)


def test_unknown_columns_are_ignored_in_each_chunk_and_the_next_is_fast_again():
    schema = RowSchema(["a"])
    chunks = chunks_of(
        b'{"a": 1}\n{"a": 2, "x": 1}\n{"x": 3, "a": 3}\n{"a": 4, "x": 1}\n{"a": 5}\n', schema=schema, chunk_rows=2
    )

    assert [chunk.cells for chunk in chunks] == [[(1,), (2,)], [(3,), (4,)], [(5,)]]
    assert [(chunk.ignored, chunk.ignored_cells) for chunk in chunks] == [({"x"}, 1), ({"x"}, 2), (frozenset(), 0)]
    assert schema.shape.extras


def test_an_open_schema_takes_up_columns_in_the_middle_of_a_chunk():
    schema = RowSchema.open()
    chunks = chunks_of(b'{"a": 1}\n{"a": 2}\n{"a": 3}\n{"b": 4}\n', schema=schema, chunk_rows=2)

    assert [(chunk.names, chunk.cells) for chunk in chunks] == [
        (("a",), [(1,), (2,)]),
        (("a", "b"), [(3, UNSET), (UNSET, 4)]),
    ]


def test_chunks_end_with_the_line_that_reaches_a_limit():
    body = b"".join(b'{"a": %d}\n' % i for i in range(10, 20))  # lines of 9 bytes

    assert [len(chunk.cells) for chunk in chunks_of(body, chunk_rows=4)] == [4, 4, 2]
    assert [len(chunk.cells) for chunk in chunks_of(body, chunk_bytes=10)] == [2] * 5
    assert [len(chunk.cells) for chunk in chunks_of(body, chunk_bytes=9)] == [1] * 10
    assert [len(chunk.cells) for chunk in chunks_of(body, chunk_rows=3, chunk_bytes=36)] == [3, 3, 3, 1]
    assert [len(chunk.cells) for chunk in chunks_of(body, chunk_rows=5)] == [5, 5]


def test_very_wide_schemas_have_shorter_chunks():
    schema = RowSchema([f"c{i}" for i in range(1 << 21)])

    assert [len(chunk.cells) for chunk in chunks_of(b"{}\n" * 5, schema=schema)] == [2, 2, 1]


LINES = st.sampled_from(
    [b'{"a": 1}', b'{"a": 2, "b": "x"}', b'{"q": 1}', b"", b" ", b"x", b"{", b'{"a": NaN}', b'{"b": "\xc3\xbc"}']
)


@given(
    lines=st.lists(LINES, max_size=20),
    ends=st.lists(st.sampled_from([b"\n", b"\r\n"]), min_size=20, max_size=20),
    last=st.booleans(),
    mark=st.booleans(),
    cuts=st.lists(st.integers(0, 200), max_size=8),
    chunk_rows=st.integers(1, 6),
    chunk_bytes=st.integers(1, 60),
)
def test_chunks_are_the_same_however_the_network_cut_them(lines, ends, last, mark, cuts, chunk_rows, chunk_bytes):
    body = b"\xef\xbb\xbf" * mark + b"".join(line + end for line, end in zip(lines, ends, strict=False))
    body = body if last else body.rstrip(b"\r\n")

    def told_with(cuts):
        return told(chunks_of(body, cuts=cuts, chunk_rows=chunk_rows, chunk_bytes=chunk_bytes))

    assert told_with(cuts) == told_with([]) == told_with(range(len(body)))


@pytest.mark.parametrize("cuts", [(), range(200), (30,), (24,)])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_of_a_line_that_is_too_long_nothing_more_is_read(cuts, end):
    body = b'{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a": "' + b"x" * 40 + end
    decoder = NdjsonDecoder(RowSchema(["a"]), chunk_rows=2, line_bytes_max=20)
    found = []

    def feed():
        ends = [*cuts, len(body)]
        for start, stop in zip([0, *ends[:-1]], ends, strict=True):
            found.extend(decoder.feed(body[start:stop]))

    with pytest.raises(DecodeError, match="line 4: longer than 20 bytes") as caught:
        feed()
    assert caught.value.status == 413
    assert told(found) == told(chunks_of(b'{"a": 1}\n{"a": 2}\n', schema=RowSchema(["a"]), chunk_rows=2))


def test_a_byte_order_mark_does_not_change_how_long_a_first_line_may_be():
    body = b'\xef\xbb\xbf{"a": 1}\n'

    for cuts in ((), range(20)):
        assert chunks_of(body, cuts=cuts, line_bytes_max=11)
        with pytest.raises(DecodeError):
            chunks_of(body, cuts=cuts, line_bytes_max=10)


def test_a_body_cut_off_anywhere_has_at_most_one_broken_row():
    body = b'{"a": 1, "b": "\xc3\xbc"}\r\n{"a": NaN, "z": {"q": [1]}}\n\n{"a": 3}'

    for end in range(len(body)):
        chunks = chunks_of(body[:end])
        assert sum(chunk.rejected for chunk in chunks) <= 1
        assert sum(len(chunk.cells) for chunk in chunks) <= 1 + body[:end].count(b"}")


@given(body=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=3))
def test_random_bytes_are_rejected_rows(body, cuts):
    chunks = chunks_of(body, cuts=cuts)

    assert sum(len(chunk.cells) + chunk.rejected for chunk in chunks) == sum(bool(line.strip()) for line in
        body.removeprefix(b"\xef\xbb\xbf").split(b"\n"))  # fmt: skip


def test_ten_broken_lines_are_described_and_all_are_counted():
    [chunk] = chunks_of(b"x\n" * 50)

    assert (chunk.cells, chunk.rejected, len(chunk.errors)) == ([], 50, 10)
    assert "xyzzy" not in repr(chunks_of(json.dumps("xyzzy").encode() + b'\n{"xyzzy\n')[0].errors)
