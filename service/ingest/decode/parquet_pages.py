"""The pages of a Parquet column, looked over before pyarrow inflates them.

A page header says how large the page is when inflated, and pyarrow takes that much memory: a body of a kilobyte could ask
for two gigabytes a page. The sizes in the footer need not be true, so the headers themselves are read. They are Thrift
structs in the compact protocol (parquet.thrift 2.10)::

    PageHeader   1: type, 2: uncompressed_page_size, 3: compressed_page_size, 5: DataPageHeader, 8: DataPageHeaderV2
    DataPageHeader  1: num_values, 2: encoding          DataPageHeaderV2  1: num_values, 4: encoding
"""

from typing import Any, Final

from service.errors import DecodeError

__all__ = ["PageLimits", "check_pages"]

_DELTA_BYTE_ARRAY: Final = 7
_DICTIONARY_PAGE: Final = 2
_DEPTH_MAX: Final = 8
_FIELD_ID_BITS: Final = 4
_VARINT_BITS_MAX: Final = 70


class PageLimits:
    """What is left of a body's pages and their inflated bytes."""

    def __init__(self, pages: int, inflated: int) -> None:
        self.pages = pages
        self.inflated = inflated

    def take(self, inflated: int) -> None:
        """Take off one page."""
        self.pages -= 1
        self.inflated -= inflated
        if self.pages < 0 or self.inflated < 0:
            raise DecodeError(
                413, "a Parquet body that is too large when inflated; send it in parts, or as an Arrow stream"
            )


def check_pages(body: bytes, start: int, end: int, values: int, limits: PageLimits) -> None:
    """Take the pages of one column chunk off the limits.

    Parameters
    ----------
    body : bytes
    start, end : int
        Of the chunk in the body.
    values : int
        How many values it has; pages behind them are never read.
    limits : PageLimits

    Raises
    ------
    DecodeError
        400 no page header where one should be, 413 over the limits, 422 an encoding that can repeat long text in few bytes.
    """
    at, end = start, min(end, len(body))
    while values > 0:
        try:
            header, at = _struct(body, at, end, 0)
        except IndexError:
            raise _corrupt() from None
        inflated, compressed = _size(header, 2), _size(header, 3)
        limits.take(inflated)
        at += compressed
        if at > end:
            raise _corrupt()
        if header.get(1) == _DICTIONARY_PAGE:
            continue
        data, encoding = (header.get(5), 2) if header.get(5) is not None else (header.get(8), 4)
        if not isinstance(data, dict):
            continue  # pages of an unknown type are passed over, by pyarrow too
        if data.get(encoding) == _DELTA_BYTE_ARRAY:
            raise DecodeError(422, "a Parquet column encoded as DELTA_BYTE_ARRAY; wanted plain or dictionary encoding")
        values -= max(0, _size(data, 1))


def _size(header: dict[int, Any], number: int) -> int:
    value = header.get(number)
    if not isinstance(value, int) or value < 0:
        raise _corrupt()
    return value


def _struct(body: bytes, at: int, end: int, depth: int) -> tuple[dict[int, Any], int]:
    if depth > _DEPTH_MAX:
        raise _corrupt()
    fields: dict[int, Any] = {}
    number = 0
    while True:
        if at >= end:
            raise IndexError
        head, at = body[at], at + 1
        if head == 0:
            return fields, at
        step, kind = head >> _FIELD_ID_BITS, head & 0x0F
        if step:
            number += step
        else:
            number, at = _integer(body, at, end)
        fields[number], at = _value(body, at, end, kind, depth)


def _value(body: bytes, at: int, end: int, kind: int, depth: int) -> tuple[Any, int]:
    match kind:
        case 1 | 2:  # true, false
            return None, at
        case 3:  # byte
            return None, at + 1
        case 4 | 5 | 6:  # i16, i32, i64
            return _integer(body, at, end)
        case 7:  # double
            return None, at + 8
        case 8:  # binary
            size, at = _varint(body, at, end)
            return None, at + size
        case 12:
            return _struct(body, at, end, depth + 1)
        case _:  # lists, sets and maps, of which page headers have none
            raise _corrupt()


def _integer(body: bytes, at: int, end: int) -> tuple[int, int]:
    value, at = _varint(body, at, end)
    return (value >> 1) ^ -(value & 1), at


def _varint(body: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _VARINT_BITS_MAX, 7):
        if at >= end:
            raise IndexError
        byte, at = body[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte has no continuation bit
            return value, at
    raise _corrupt()


def _corrupt() -> DecodeError:
    return DecodeError(400, "the body cannot be read as Parquet: cut off or corrupt")
