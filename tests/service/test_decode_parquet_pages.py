"""Page headers, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import DecodeError
from service.ingest.decode.parquet_pages import Chunk, Footer, PageLimits, check_pages


def varint(number):
    found = b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def i32(number):
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


VERSION_1 = b"\x15" + i32(5) + b"\x15" + i32(0) + b"\x00"  # field 1: values, field 2: encoding
VERSION_2 = b"\x15" + i32(5) + b"\x35" + i32(0) + b"\x00"  # field 1: values, field 4: encoding


def header(kind=0, inflated=10, compressed=0, data=VERSION_1, field=5):
    """A PageHeader: fields 1 to 3, then the header of the kind of page."""
    fields = b"\x15" + i32(kind) + b"\x15" + i32(inflated) + b"\x15" + i32(compressed)
    return fields + bytes([(field - 3) << 4 | 12]) + data + b"\x00"


def left_after(body, values=5, pages=10, inflated=100):
    limits = PageLimits(pages, inflated)
    check_pages(body, Chunk(start=0, end=len(body), values=values), limits)
    return limits.pages, limits.inflated


def status_of(body, **how):
    with pytest.raises(DecodeError) as caught:
        left_after(body, **how)
    return caught.value.status


def test_pages_are_taken_off_the_limits_until_all_values_were_seen():
    assert left_after(header()) == (9, 90)
    assert left_after(header(compressed=3) + b"abc" + header(kind=2) + header(inflated=20), values=10) == (7, 60)
    assert left_after(header() + b"anything") == (9, 90)
    assert left_after(header(kind=3, field=8, data=VERSION_2)) == (9, 90)
    assert left_after(b"", values=0) == (10, 100)


def test_pages_beyond_the_limits_are_too_large():
    assert status_of(header(inflated=101)) == 413
    assert status_of(header(kind=2) * 11) == 413


def test_the_kind_of_page_says_which_header_counts():
    version_1 = b"\x15" + i32(5) + b"\x15" + i32(7) + b"\x00"
    repeated = b"\x15" + i32(5) + b"\x35" + i32(7) + b"\x00"

    assert status_of(header(data=version_1)) == 422
    assert status_of(header(kind=3, field=8, data=repeated)) == 422
    assert status_of(header(kind=3, field=5)) == 400
    assert status_of(header(kind=0, field=8)) == 400


def test_values_of_every_type_are_passed_over():
    extra = (
        b"\x11\x12\x13\x00\x17" + bytes(8) + b"\x18\x02ab" + b"\x05" + i32(40) + i32(1)
    )  # booleans, byte, double, binary; a field by number
    data = b"\x15" + i32(5) + b"\x15" + i32(0) + b"\x1c" + b"\x18\x03abc" + b"\x00" + b"\x00"

    body = header(data=data)

    assert left_after(body[:-1] + extra + b"\x00") == (9, 90)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\x00", header()[:-1], header(compressed=1), header(inflated=-1), header(compressed=-1), b"\x15", b"\x15\xff", b"\x15" + b"\xff" * 11,
        b"\x19\x00\x00", b"\x1c" * 12, b"\x18\x7f", b"\x0f", header(data=b"\x00"),
    ],
)  # fmt: skip
def test_anything_else_is_corrupt(body):
    assert status_of(body) == 400


@given(body=st.binary(max_size=60))
def test_random_bytes_are_taken_or_refused(body):
    limits = PageLimits(10, 100)
    try:
        check_pages(body, Chunk(start=0, end=len(body), values=5), limits)
    except DecodeError as error:
        refusal = error.status
    else:
        refusal = 400
    assert refusal in {400, 413, 422}


def test_a_row_group_has_every_column():
    whole, short = Chunk(start=0, end=9, values=1), Chunk(start=9, end=12, values=1)
    footer = Footer(rows=2, groups=((whole, whole), (short,)))

    assert list(footer.chunks([0])) == [whole, short]
    with pytest.raises(DecodeError):
        list(footer.chunks([1]))
