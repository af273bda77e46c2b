"""Pending rows of one version gathered into blocks of columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detectors.binning import Values
from service.ingest.decode import DecodedColumns, DecodedRows, RowError, columns_of
from service.ingest.pending import ERRORS_MAX, Pending

__all__ = ["Block", "Span", "blocks_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Rows in columns, and whose they are."""

    rows: int
    columns: Mapping[str, Values]
    zoned: frozenset[str]
    spans: Sequence[Span]


def blocks_of(pendings: Sequence[Pending]) -> list[Block]:
    """Gather pendings of one model version: rows that were decoded alike lie in one block, in their order."""
    gathered: dict[tuple[str, ...], list[Pending]] = {}
    blocks: list[Block] = []
    for pending in pendings:
        match pending.decoded:
            case DecodedRows():
                gathered.setdefault(pending.decoded.names, []).append(pending)
            case DecodedColumns():
                blocks.append(_of_columns(pending, pending.decoded))
    blocks += [block for names, some in gathered.items() for block in _of_rows(names, some)]
    return blocks


def _of_rows(names: tuple[str, ...], pendings: Sequence[Pending]) -> list[Block]:
    cells: list[tuple[object, ...]] = []
    for pending in pendings:
        assert isinstance(pending.decoded, DecodedRows)  # noqa: S101 - the caller sorted them
        cells += pending.decoded.cells
    spans = [_span(pending) for pending in pendings]
    return [Block(rows=len(cells), columns=columns_of(cells, names), zoned=frozenset(), spans=spans)]


def _of_columns(pending: Pending, decoded: DecodedColumns) -> Block:
    return Block(rows=decoded.rows, columns=decoded.columns, zoned=decoded.zoned, spans=[_span(pending)])


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
