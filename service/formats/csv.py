"""CSV, read by the csv module of the standard library: one reader, so that a file has one meaning.

UTF-8 with or without a byte order mark. The first line that is not blank names the columns; it also says whether
commas, semicolons or tabs part them, in this order. Cells stay text: what they mean is decided by the kind of their
column. A row with another number of cells than the header has is rejected and counted, for one broken line should not
cost a night's build; a file of which no row can be read is refused.
"""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain, islice
from typing import TextIO

from detectors.binning import TextValues
from service.domain import Batch
from service.errors import InputError
from service.formats.files import DataFile
from service.formats.streams import LINE_BYTES_MAX, ByteStream

__all__ = ["read_csv"]

_ROWS_MAX = 16_384
_CELLS_MAX = 1 << 20  # a cell is a Python string of about 60 bytes
_BATCH_BYTES_MAX = 1 << 25
# Rows are turned into columns a few at a time: 170 ns a cell against 260 for a whole batch of rows, whose many lists
# the garbage collector would go through again and again.
_STEP_ROWS_MAX = 64
_STEP_CELLS_MAX = 1 << 16


def read_csv(file: DataFile, wanted: Collection[str] | None) -> Iterator[tuple[Batch, int]]:
    """Batches of a CSV file, each with the bytes of the file consumed so far.

    Raises
    ------
    InputError
        No header, a name twice in it, bytes that are not UTF-8 text, a cell or line beyond the limits, or no readable
        row.
    """
    with _TextBytes(file) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        try:
            yield from _Rows(file, stream, text).batches(wanted)
        except UnicodeDecodeError as error:
            line = 1 + stream.newlines - error.object[error.start :].count(b"\n")
            raise InputError(f"{file.name}: line {line}: not UTF-8 text") from error


class _TextBytes(ByteStream):
    # The limits are kept on whole chunks of bytes, before the text layer looks for the end of a line at any length.

    def __init__(self, file: DataFile) -> None:
        super().__init__(file)
        self.read_bytes = 0
        self.newlines = 0
        self._line_bytes = 0

    def read1(self, size: int = -1, /) -> bytes:
        chunk = self.read(size)
        nul = chunk.find(b"\0")
        if nul >= 0:
            line = 1 + self.newlines + chunk.count(b"\n", 0, nul)
            raise InputError(f"{self.name}: line {line}: a NUL byte; wanted UTF-8 text")
        self.read_bytes += len(chunk)
        self.newlines += chunk.count(b"\n")
        newline = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        self._line_bytes = self._line_bytes + len(chunk) if newline < 0 else len(chunk) - newline - 1
        if self._line_bytes > LINE_BYTES_MAX:
            raise InputError(f"{self.name}: line {1 + self.newlines}: longer than {LINE_BYTES_MAX:,} bytes")
        return chunk


class _Rows:
    # The rows of one open file.

    def __init__(self, file: DataFile, stream: _TextBytes, text: TextIO) -> None:
        self._file = file
        self._stream = stream
        blank_lines, line = 0, text.readline()
        while line and not line.strip():
            blank_lines, line = blank_lines + 1, text.readline()
        if not line:
            raise InputError(f"{file.name}: no header; wanted a first line with the names of the columns")
        delimiter = next((mark for mark in ",;\t" if mark in line), ",")
        self._reader = csv.reader(chain([line], text), delimiter=delimiter, strict=True)
        self._blank_lines = blank_lines
        self._width = 0
        self._header = self._rows(1)[0]
        self._width = len(self._header)
        repeated = [name for name, uses in Counter(self._header).items() if uses > 1]
        if repeated:
            raise InputError(f"{file.name}: line {self._line}: the header names {', '.join(map(repr, repeated))} twice")

    @property
    def _line(self) -> int:
        return self._blank_lines + self._reader.line_num

    def _rows(self, n: int) -> list[list[str]]:
        first_line = self._line + 1
        rows: list[list[str]] = []
        try:
            rows.extend(islice(self._reader, n))
        except csv.Error as error:
            text = str(error)
            if "unexpected end" in text:
                where = f"a quote from line {first_line} on"
                raise InputError(f"{self._file.name}: {where} is not closed; it would swallow the rest") from error
            if "expected after" not in text:
                raise InputError(f"{self._file.name}: line {self._line}: {text}") from error
            rows.append([""] * (self._width + 1))  # text behind a closing quote: this row is lost, the next is not
        return rows

    def batches(self, wanted: Collection[str] | None) -> Iterator[tuple[Batch, int]]:
        width = self._width
        places = {name: place for place, name in enumerate(self._header) if wanted is None or name in wanted}
        rows_max = max(1, min(_ROWS_MAX, _CELLS_MAX // width))
        step = max(1, min(_STEP_ROWS_MAX, _STEP_CELLS_MAX // width))
        total, first_broken = 0, ""
        more = True
        while more:
            cells: dict[str, list[str]] = {name: [] for name in places}
            count = rejected = 0
            bytes_max = self._stream.read_bytes + _BATCH_BYTES_MAX
            while more and count + rejected < rows_max and self._stream.read_bytes < bytes_max:
                line = self._line + 1
                rows = self._rows(min(step, rows_max - count - rejected))
                more = bool(rows)
                if set(map(len, rows)) != {width}:
                    # The csv module reads a blank line as a row without cells. In a single column it is an empty cell.
                    filled = [row or [""] for row in rows] if width == 1 else [row for row in rows if row]
                    rows = [row for row in filled if len(row) == width]
                    rejected += len(filled) - len(rows)
                    if len(filled) > len(rows) and not first_broken:
                        broken = next(row for row in filled if len(row) != width)
                        first_broken = f"{len(broken)} cells where the header has {width}, from line {line}"
                _append(cells, places, rows, width)
                count += len(rows)
            total += count
            if count or rejected:
                columns = {name: TextValues(cells=column) for name, column in cells.items()} if count else {}
                yield Batch(rows=count, columns=columns, rejected=rejected), self._stream.consumed_bytes
        if first_broken and not total:
            raise InputError(f"{self._file.name}: no row can be read: {first_broken}")


def _append(cells: dict[str, list[str]], places: dict[str, int], rows: list[list[str]], width: int) -> None:
    if len(places) == width:
        for column, more in zip(cells.values(), zip(*rows, strict=True), strict=False):
            column.extend(more)
    else:
        for name, place in places.items():
            cells[name].extend([row[place] for row in rows])
