"""CSV bodies, read as CSV files are (`service.formats.csv`), from memory.

UTF-8 with or without a byte order mark. The first line that is not blank names the columns; it also says whether commas,
semicolons or tabs part them, in this order. Cells stay text: what they mean is decided by the kind of their column. A row
with another number of cells than the header has is rejected. The rest of a body cannot be read behind a quote that is
never closed; so nothing of a body should be counted before all of it was decoded.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from detectors.binning import TextValues, Values
from service.errors import DecodeError
from service.ingest.decode.rows import DecodedColumns, Rejections, picker
from service.ingest.decode.schema import RowSchema

__all__ = ["decode_csv"]

_ROWS_MAX: Final = 16_384
_CELLS_MAX: Final = 1 << 20  # a cell is a Python string of about 60 bytes
_STEP_ROWS: Final = 64  # rows turned into columns at a time: more are gone through again by the garbage collector
_COLUMNS_MAX: Final = 10_000


def decode_csv(body: bytes, schema: RowSchema) -> Iterator[DecodedColumns]:
    """Decode a CSV body in parts of bounded size.

    Raises
    ------
    DecodeError
        400 not CSV, 413 too many columns, 422 a name twice in the header.
    """
    if b"\0" in body:
        raise DecodeError(400, "the body has a NUL byte; wanted UTF-8 text")
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
    try:
        yield from _parts(text, schema)
    except UnicodeDecodeError:
        raise DecodeError(400, "the body is not UTF-8 text") from None


def _parts(text: io.TextIOWrapper, schema: RowSchema) -> Iterator[DecodedColumns]:
    rows = _Rows(text)
    header = rows.header
    wanted, ignored = schema.select(header)
    pick = picker([header.index(name) for name in wanted])
    size = max(1, min(_ROWS_MAX, _CELLS_MAX // len(header)))
    more = True
    while more:
        rejections = Rejections()
        columns: dict[str, list[str]] = {name: [] for name in wanted}
        numbers: list[int] = []
        while more and len(numbers) + rejections.count < size:
            step, found = rows.take(min(_STEP_ROWS, size - len(numbers) - rejections.count), rejections)
            more = rows.more
            numbers += found
            for cells, fresh in zip(columns.values(), zip(*map(pick, step), strict=True), strict=False):
                cells.extend(fresh)
        if numbers or rejections.count:
            whole: dict[str, Values] = {name: TextValues(cells=cells) for name, cells in columns.items() if numbers}
            yield DecodedColumns(
                rows=len(numbers),
                columns=whole,
                numbers=numbers,
                errors=rejections.errors,
                rejected=rejections.count,
                ignored=ignored,
                ignored_cells=len(numbers) * (len(header) - len(wanted)),
            )


class _Rows:
    # The rows behind the header, a few at a time.

    def __init__(self, text: io.TextIOWrapper) -> None:
        line = text.readline()
        while line and not line.strip():
            line = text.readline()
        if not line:
            raise DecodeError(400, "no header; wanted a first line with the names of the columns")
        delimiter = next((mark for mark in ",;\t" if mark in line), ",")
        self._reader = csv.reader(chain([line], text), delimiter=delimiter, strict=True)
        self._row = 0
        self.more = True
        self.header = self._header()

    def _header(self) -> list[str]:
        try:
            header = next(self._reader)
        except csv.Error as error:
            raise DecodeError(400, f"the header: {_said(error)}") from None
        if len(header) > _COLUMNS_MAX:
            raise DecodeError(413, f"{len(header):,} columns, wanted at most {_COLUMNS_MAX:,}")
        repeated = sum(uses > 1 for uses in Counter(header).values())
        if repeated:
            raise DecodeError(422, f"the header names {repeated:,} columns more than once")
        return header

    def take(self, count: int, rejections: Rejections) -> tuple[list[list[str]], list[int]]:
        width = len(self.header)
        read = self._read(count)
        self.more = bool(read)
        if width == 1:  # there a blank line is an empty cell
            read = [row or [""] for row in read]
        elif not all(read):
            read = [row for row in read if row]
        first = self._row + 1
        self._row += len(read)
        if set(map(len, read)) <= {width}:
            return read, list(range(first, first + len(read)))
        kept: list[list[str]] = []
        numbers: list[int] = []
        for number, row in enumerate(read, first):
            if len(row) == width:
                kept.append(row)
                numbers.append(number)
            else:
                rejections.add(number, f"{len(row):,} cells where the header has {width:,}")
        return kept, numbers

    def _read(self, count: int) -> list[list[str]]:
        rows: list[list[str]] = []
        try:
            rows.extend(islice(self._reader, count))
        except csv.Error as error:
            if "expected after" not in str(error):
                raise DecodeError(400, f"row {self._row + len(rows) + 1}: {_said(error)}") from None
            rows.append([""] * (len(self.header) + 1))  # text behind a closing quote: only this row is lost
        return rows


def _said(error: csv.Error) -> str:
    # Texts of the csv module's own; they hold nothing of the data.
    said = str(error)
    return "a quote that is not closed; it would swallow the rest" if "unexpected end" in said else said
