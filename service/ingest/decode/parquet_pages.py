"""The footer and the pages of a Parquet body, looked over before pyarrow inflates them.

A page header says how large the page is when inflated, and pyarrow takes that much memory: a body of a kilobyte could ask
for two gigabytes a page. The sizes in the footer need not be true, so the page headers themselves are read (parquet.thrift
2.11)::

    FileMetaData    3: num_rows, 4: [RowGroup]          ColumnChunk     3: ColumnMetaData
    RowGroup        1: [ColumnChunk], 3: num_rows       ColumnMetaData  5: num_values, 7: total_compressed_size,
                                                                        9: data_page_offset, 11: dictionary_page_offset
    PageHeader      1: type, 2: uncompressed_page_size, 3: compressed_page_size, 5: DataPageHeader, 8: DataPageHeaderV2
    DataPageHeader  1: num_values, 2: encoding          DataPageHeaderV2  1: num_values, 4: encoding

pyarrow is not asked for what the footer says of a column: where its parts contradict each other (seen in pyarrow 26), its
Python interface does not raise an error but ends the process.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from service.errors import DecodeError
from service.ingest.decode.thrift_compact import BrokenStructError, Fields, read_struct

__all__ = ["Chunk", "Footer", "PageLimits", "check_pages", "footer_of"]

_MAGIC: Final = b"PAR1"
_TAIL_BYTES: Final = 8  # size of the footer, and the magic
_DELTA_BYTE_ARRAY: Final = 7
_DATA_HEADERS: Final = {0: (5, 2), 3: (8, 4)}  # by type of page: field with the header, field of the encoding in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Where the pages of one column in one row group lie, and how many values they have."""

    start: int
    end: int
    values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What a footer says: rows, and of each row group the chunks by number of the column."""

    rows: int
    groups: tuple[tuple[Chunk, ...], ...]

    def chunks(self, numbers: Collection[int]) -> Iterator[Chunk]:
        """Chunks of some columns."""
        for group in self.groups:
            for number in numbers:
                if number >= len(group):
                    raise _corrupt()
                yield group[number]


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


def footer_of(body: bytes, bytes_max: int) -> Footer:
    """Read the footer of a body.

    Raises
    ------
    DecodeError
        400 not Parquet, cut off or corrupt; 413 a footer beyond the limit.
    """
    size = int.from_bytes(body[-_TAIL_BYTES:-4], "little")
    if not (body.startswith(_MAGIC) and body.endswith(_MAGIC)) or size + _TAIL_BYTES > len(body):
        raise DecodeError(400, "the body is not Parquet, or cut off")
    if size > bytes_max:
        raise DecodeError(413, f"a Parquet footer of {size:,} bytes, wanted at most {bytes_max:,}")
    end = len(body) - _TAIL_BYTES
    try:
        fields, _ = read_struct(body, end - size, end)
    except BrokenStructError:
        raise _corrupt() from None
    groups = _structs(fields.get(4))
    if sum(_size(group, 3) for group in groups) != _size(fields, 3):
        raise _corrupt()
    return Footer(
        rows=_size(fields, 3),
        groups=tuple(tuple(_chunk(chunk) for chunk in _structs(group.get(1))) for group in groups),
    )


def check_pages(body: bytes, chunk: Chunk, limits: PageLimits) -> None:
    """Take the pages of one chunk off the limits; pages behind its last value are never read.

    Raises
    ------
    DecodeError
        400 no page header where one should be, 413 over the limits, 422 an encoding that can repeat long text in few bytes.
    """
    at, end, values = chunk.start, min(chunk.end, len(body)), chunk.values
    while values > 0:
        try:
            header, at = read_struct(body, at, end)
        except BrokenStructError:
            raise _corrupt() from None
        limits.take(_size(header, 2))
        at += _size(header, 3)
        if at > end:
            raise _corrupt()
        kind = header.get(1)
        if kind not in _DATA_HEADERS:
            continue  # a dictionary, or what pyarrow passes over too
        field, encoding = _DATA_HEADERS[kind]
        data = _structs([header.get(field)])[0]
        if data.get(encoding) == _DELTA_BYTE_ARRAY:
            raise DecodeError(422, "a Parquet column encoded as DELTA_BYTE_ARRAY; wanted plain or dictionary encoding")
        values -= _size(data, 1)


def _chunk(fields: Fields) -> Chunk:
    column = _structs([fields.get(3)])[0]
    start = _size(column, 9)
    if column.get(11):  # 0 is written where there is none
        start = min(start, _size(column, 11))
    return Chunk(start=start, end=start + _size(column, 7), values=_size(column, 5))


def _structs(value: Any) -> list[Fields]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _corrupt()
    return value


def _size(fields: Fields, number: int) -> int:
    value = fields.get(number)
    if not isinstance(value, int) or value < 0:
        raise _corrupt()
    return value


def _corrupt() -> DecodeError:
    return DecodeError(400, "the body cannot be read as Parquet: cut off or corrupt")
