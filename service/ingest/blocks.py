"""Pending rows of one version gathered into blocks.

Rows of many small requests lie in one block as the cells they were decoded to. They become columns only when somebody asks
for columns: where every cell is a number the whole block is binned as one matrix, which costs a tenth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from detectors.binning import Values
from service.ingest.decode import DecodedColumns, DecodedRows, RowError, columns_of, values_of_cells
from service.ingest.decode.rows import Cells
from service.ingest.pending import ERRORS_MAX, Pending

__all__ = ["Block", "Span", "blocks_of"]


@dataclass(slots=True, kw_only=True, eq=False)
class Span:
    """The rows of one pending in a block.

    Parameters
    ----------
    pending : Pending
    rows : int
    received_us : int
    numbers : sequence of int
        Number in the request of each row.
    rejected, errors, ignored
        What decoding has already said of the request.
    """

    pending: Pending
    rows: int
    received_us: int
    numbers: Sequence[int]
    rejected: int
    errors: Sequence[RowError]
    ignored: Sequence[str]


class Block:
    """Rows, and whose they are.

    Parameters
    ----------
    spans : sequence of Span
    names : tuple of str
        Of the columns.
    cells : sequence of tuple, optional
        Rows as they were decoded.
    columns : mapping of str to Values, optional
        Or columns.
    zoned : frozenset of str
        Columns whose datetime64 values are instants in UTC.
    """

    def __init__(
        self,
        *,
        spans: Sequence[Span],
        names: tuple[str, ...],
        cells: Sequence[Cells] | None = None,
        columns: Mapping[str, Values] | None = None,
        zoned: frozenset[str] = frozenset(),
    ) -> None:
        self.spans = spans
        self.names = names
        self.cells = cells
        self.zoned = zoned
        self.rows = sum(span.rows for span in spans)
        self._columns = columns

    @cached_property
    def places(self) -> dict[str, int]:
        """Place of each column in a row of cells."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def columns(self) -> Mapping[str, Values]:
        """All columns."""
        if self._columns is not None:
            return self._columns
        return columns_of(self.cells, self.names) if self.cells else {}

    def column(self, name: str) -> Values | None:
        """One column, if any row has it."""
        if self.cells is None:
            return self.columns.get(name)
        place = self.places.get(name)
        return None if place is None or not self.cells else values_of_cells([row[place] for row in self.cells])


def blocks_of(pendings: Sequence[Pending]) -> list[Block]:
    """Gather pendings of one model version: rows that were decoded alike lie in one block, in their order."""
    gathered: dict[tuple[str, ...], list[tuple[Pending, DecodedRows]]] = {}
    blocks: list[Block] = []
    for pending in pendings:
        decoded = pending.decoded
        if isinstance(decoded, DecodedRows):
            gathered.setdefault(decoded.names, []).append((pending, decoded))
        else:
            blocks.append(_of_columns(pending, decoded))
    blocks += [_of_rows(names, some) for names, some in gathered.items()]
    return blocks


def _of_rows(names: tuple[str, ...], some: Sequence[tuple[Pending, DecodedRows]]) -> Block:
    cells = some[0][1].cells if len(some) == 1 else list(chain.from_iterable(decoded.cells for _, decoded in some))
    return Block(spans=[_span(pending) for pending, _ in some], names=names, cells=cells)


def _of_columns(pending: Pending, decoded: DecodedColumns) -> Block:
    return Block(spans=[_span(pending)], names=tuple(decoded.columns), columns=decoded.columns, zoned=decoded.zoned)


def _span(pending: Pending) -> Span:
    decoded = pending.decoded
    return Span(
        pending=pending,
        rows=pending.rows,
        received_us=pending.received_us,
        numbers=decoded.numbers,
        rejected=decoded.rejected,
        errors=decoded.errors,
        ignored=sorted(decoded.ignored)[:ERRORS_MAX] if decoded.ignored else (),
    )
