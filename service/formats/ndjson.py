"""NDJSON: one JSON object a line.

Decoded by msgspec, three times as fast as the standard library. A line that msgspec refuses is tried once more with
the standard library, because Python's own `json` writes the tokens NaN and Infinity. Lines that are no JSON object
are rejected and counted, for one broken line should not cost a night's build; a file of which no line can be read is
refused. Of a key that a line has twice the last value counts.
"""

import codecs
import json
from collections.abc import Collection, Iterator
from itertools import chain
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec
import numpy as np

from detectors.binning import ColumnValues
from service.domain import Batch
from service.errors import InputError
from service.formats.files import DataFile
from service.formats.streams import LINE_BYTES_MAX, ByteStream

__all__ = ["read_ndjson"]

_BLOCK_BYTES = 1 << 20  # decoded, about ten times that
# Lines are decoded and turned into columns a few at a time: 210 ns a cell against 330 for a whole block, whose many
# dictionaries leave the processor's cache and are gone through by the garbage collector.
_STEP_ROWS = 512
_CELLS_MAX = 1 << 21  # rows that share no keys make a table far larger than their text

_Row: TypeAlias = dict[str, Any]
_ABSENT = object()

_decode = msgspec.json.Decoder().decode


def read_ndjson(file: DataFile, wanted: Collection[str] | None) -> Iterator[tuple[Batch, int]]:
    """Batches of an NDJSON file, each with the bytes of the file consumed so far.

    Raises
    ------
    InputError
        A line beyond the limit, or lines of which none is a JSON object.
    """
    total = lines_before = 0
    first_broken: int | None = None
    with ByteStream(file) as stream:
        for block in _blocks(file, stream):
            lines = block.split(b"\n")
            filled = [line for line in lines if line and not line.isspace()]
            table, rejected = _Table(wanted), 0
            for step in range(0, len(filled), _STEP_ROWS):
                decoded = _decoded(filled[step : step + _STEP_ROWS])
                rows = [row for row in decoded if type(row) is dict]
                rejected += len(decoded) - len(rows)
                total += len(rows)
                if table.add_alike(rows):
                    continue
                for part in _parts(rows, wanted):
                    if table.rows and not table.has_room(part):
                        yield table.batch(rejected=0), stream.consumed_bytes
                        table = _Table(wanted)
                    table.add(part)
            if rejected and first_broken is None:
                # Only ever told when all lines are broken, so it is the first that is not blank.
                first_broken = 1 + lines_before + next(i for i, line in enumerate(lines) if line.strip())
            lines_before += len(lines) - 1
            if table.rows or rejected:
                yield table.batch(rejected=rejected), stream.consumed_bytes
    if first_broken is not None and not total:
        raise InputError(
            f"{file.name}: line {first_broken}: not a JSON object, nor is any other line; wanted one a line"
        )


def _blocks(file: DataFile, stream: ByteStream) -> Iterator[bytes]:
    # Whole lines, about a block at a time.
    rest = stream.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
    lines = 1
    while chunk := stream.read(_BLOCK_BYTES):
        first = chunk.find(b"\n")
        if len(rest) + (first if first >= 0 else len(chunk)) > LINE_BYTES_MAX:
            raise InputError(f"{file.name}: line {lines}: longer than {LINE_BYTES_MAX:,} bytes")
        at_end = len(chunk) < _BLOCK_BYTES
        end = len(chunk) if at_end else chunk.rfind(b"\n") + 1
        if end:
            lines += chunk.count(b"\n")
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
    if rest:
        yield rest


def _decoded(lines: list[bytes]) -> list[Any]:
    try:
        return list(map(_decode, lines))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return list(map(_decoded_line, lines))


def _decoded_line(line: bytes) -> Any:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return None


class _Table:
    # Rows turned into columns, cell by cell in lists that grow.

    def __init__(self, wanted: Collection[str] | None) -> None:
        self.rows = 0
        self._wanted = wanted
        self._cells: dict[str, list[Any]] = {}
        self._with_gaps: set[str] = set()

    def add_alike(self, rows: list[_Row]) -> bool:
        # Rows with just the columns there are, as nearly all have. Their cells are fewer than the bytes they came from.
        known = len(self._cells)
        alike = set(map(len, rows)) == {known} if self._wanted is None else known == len(self._wanted)
        try:
            more = [list(map(itemgetter(name), rows)) for name in self._cells] if alike else []
        except KeyError:
            return False
        for cells, cells_more in zip(self._cells.values(), more, strict=False):
            cells.extend(cells_more)
        self.rows += len(rows) if alike else 0
        return alike

    def has_room(self, rows: list[_Row]) -> bool:
        names = self._cells.keys() | _names(rows, self._wanted)
        return len(names) * (self.rows + len(rows)) <= _CELLS_MAX

    def add(self, rows: list[_Row]) -> None:
        for name in _names(rows, self._wanted):
            if name not in self._cells:
                self._cells[name] = [_ABSENT] * self.rows
                if self.rows:
                    self._with_gaps.add(name)
        for name, cells in self._cells.items():
            more = [row.get(name, _ABSENT) for row in rows]
            if any(cell is _ABSENT for cell in more):
                self._with_gaps.add(name)
            cells.extend(more)
        self.rows += len(rows)

    def batch(self, *, rejected: int) -> Batch:
        columns = {name: self._column(name) for name in self._cells}
        return Batch(rows=self.rows, columns=columns, rejected=rejected)

    def _column(self, name: str) -> ColumnValues:
        # np.array would make two dimensions of cells that are lists.
        values = np.fromiter(self._cells[name], dtype=np.object_, count=self.rows)
        if name not in self._with_gaps:
            return ColumnValues(values=values)
        absent = np.fromiter((cell is _ABSENT for cell in self._cells[name]), dtype=np.bool_, count=self.rows)
        values[absent] = None
        return ColumnValues(values=values, absent=absent)


def _parts(rows: list[_Row], wanted: Collection[str] | None) -> Iterator[list[_Row]]:
    # Halves, until rows times columns is bounded.
    if len(rows) > 1 and len(rows) * len(_names(rows, wanted)) > _CELLS_MAX:
        half = len(rows) // 2
        yield from _parts(rows[:half], wanted)
        yield from _parts(rows[half:], wanted)
    elif rows:
        yield rows


def _names(rows: list[_Row], wanted: Collection[str] | None) -> dict[str, None]:
    names = dict.fromkeys(chain.from_iterable(rows))
    return names if wanted is None else {name: None for name in names if name in wanted}
