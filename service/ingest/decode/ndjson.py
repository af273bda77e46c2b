"""NDJSON, decoded as it arrives: one JSON object a line.

Lines are gathered into chunks that end after so many lines or bytes: 512 KiB are decoded in two milliseconds, in which nothing
else is served; with far fewer rows a chunk its commit would cost more than they do. Where a chunk ends depends on the content
alone, not on how the network cut it, so that a request sent again has the same chunks. Memory is bounded by a chunk and a
line.

Each line is decoded by itself. Joining the lines of a chunk to one JSON list is 5 % faster at 50 columns, but then a line
such as `{},{}` has to be told from two rows, and a list that is left open in one line and closed in another from one.

Blank lines are passed over. A line that is no object is a rejected row; of a line beyond the limit nothing more is read.
"""

import codecs
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from itertools import accumulate
from typing import Any, Final

from msgspec import UNSET
from msgspec.structs import replace

from service.errors import DecodeError
from service.ingest.decode.json_value import REFUSED, UnreadableError, json_value
from service.ingest.decode.rows import Cells, DecodedRows, Rejections
from service.ingest.decode.schema import RowSchema

__all__ = ["NdjsonDecoder"]

_NEWLINE: Final = b"\n"


class NdjsonDecoder:
    """Decodes one request.

    Parameters
    ----------
    schema : RowSchema
    chunk_rows, chunk_bytes : int
        A chunk ends with the line that reaches one of them; fewer rows where they have very many columns.
    line_bytes_max : int
    digests : bool
        Whether each chunk says what it was decoded from.
    """

    def __init__(
        self,
        schema: RowSchema,
        *,
        chunk_rows: int = 1_000,
        chunk_bytes: int = 1 << 19,
        line_bytes_max: int = 1 << 20,
        digests: bool = False,
    ) -> None:
        self._schema = schema
        self._digests = digests
        self._chunk_rows = min(chunk_rows, schema.rows_max)
        self._chunk_bytes = chunk_bytes
        self._line_bytes_max = line_bytes_max
        self._lines: list[bytes] = []  # whole ones, not yet a chunk
        self._lines_bytes = 0
        self._lines_before = 0
        self._rest: list[bytes] = []  # parts of a line whose end has not come
        self._rest_bytes = 0

    def feed(self, data: bytes) -> Iterator[DecodedRows]:
        """Take the next bytes; the chunks that they complete.

        Raises
        ------
        DecodeError
            413: a line is too long. The chunks before it have been given out.
        """
        first, *others = data.split(_NEWLINE)
        self._rest.append(first)
        self._rest_bytes += len(first)
        if others:
            lines = [b"".join(self._rest), *others[:-1]]
            self._rest, self._rest_bytes = [others[-1]], len(others[-1])
            yield from self._whole(lines)
        if self._rest_bytes > self._line_bytes_max:
            raise self._too_long()

    def finish(self) -> Iterator[DecodedRows]:
        """End the request: the last chunk. A last line need not end with a newline."""
        yield from self._whole([b"".join(self._rest)])
        self._rest, self._rest_bytes = [], 0
        yield from self._chunks(at_end=True)

    def _whole(self, lines: list[bytes]) -> Iterator[DecodedRows]:
        sizes = list(map(len, lines))
        fit = len(lines)
        if max(sizes) > self._line_bytes_max:
            fit = next(place for place, size in enumerate(sizes) if size > self._line_bytes_max)
        if not self._lines and not self._lines_before:
            lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
        self._lines += lines[:fit]
        self._lines_bytes += sum(map(len, lines[:fit]))
        yield from self._chunks(at_end=False)
        if fit < len(lines):
            raise self._too_long()

    def _too_long(self) -> DecodeError:
        line = self._lines_before + len(self._lines) + 1
        return DecodeError(413, f"line {line}: longer than {self._line_bytes_max:,} bytes; wanted a row a line")

    def _chunks(self, *, at_end: bool) -> Iterator[DecodedRows]:
        start = 0
        while len(self._lines) - start >= self._chunk_rows or self._lines_bytes >= self._chunk_bytes:
            lines = self._lines[start : start + self._chunk_rows]
            sums = list(accumulate(map(len, lines)))
            end = min(len(lines), 1 + bisect_left(sums, self._chunk_bytes))
            start += end
            self._lines_bytes -= sums[end - 1]
            yield from self._chunk(lines[:end])
        del self._lines[:start]
        if at_end:
            yield from self._chunk(self._lines)
            self._lines, self._lines_bytes = [], 0

    def _chunk(self, lines: list[bytes]) -> Iterator[DecodedRows]:
        decoded = _decoded(self._schema, lines, self._lines_before + 1)
        self._lines_before += len(lines)
        if decoded.cells or decoded.rejected:
            digest = blake2b(b"\n".join(lines), digest_size=16).digest() if self._digests else b""
            yield replace(decoded, digest=digest)


def _decoded(schema: RowSchema, lines: Sequence[bytes], first: int) -> DecodedRows:
    shape = schema.shape
    structs: list[Any] = []
    if shape is not None:
        with suppress(*REFUSED):  # what was decoded before it is kept
            structs.extend(map(shape.one.decode, lines))
        quick = shape.rows(structs, range(first, first + len(structs)))
        if len(structs) == len(lines):
            return quick
    else:
        quick = DecodedRows(names=schema.names, cells=(), numbers=())
    rows, numbers, rejections = _slowly(lines[len(structs) :], first + len(structs))
    table = schema.table(rows)
    return DecodedRows(
        names=table.names,
        cells=[*_widened(quick, len(table.names)), *table.cells],
        numbers=[*quick.numbers, *numbers],
        errors=rejections.errors,
        rejected=rejections.count,
        ignored=quick.ignored | table.ignored,
        ignored_cells=quick.ignored_cells + table.ignored_cells,
    )


def _slowly(lines: Sequence[bytes], first: int) -> tuple[list[dict[str, Any]], list[int], Rejections]:
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    rejections = Rejections()
    for number, line in enumerate(lines, first):
        start = line.lstrip()[:1]
        if not start:
            continue
        if start != b"{":
            rejections.add(number, "not an object")
            continue
        try:
            rows.append(json_value(line))
            numbers.append(number)
        except UnreadableError as error:
            rejections.add(number, str(error))
    return rows, numbers, rejections


def _widened(rows: DecodedRows, columns: int) -> Sequence[Cells]:
    # An open schema may have taken up columns in the middle of the chunk.
    more = columns - len(rows.names)
    return [cells + (UNSET,) * more for cells in rows.cells] if more else rows.cells
