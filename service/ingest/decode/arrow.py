"""Arrow IPC streams, read record batch by record batch as they arrive.

Record batches are cut again at 65,536 rows (fewer where there are very many columns), which depends on the stream alone:
a request that is sent again has the same parts. Compressed buffers and dictionaries are taken as they come.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from service.errors import DecodeError
from service.formats.arrow_values import is_zoned
from service.ingest.decode.arrow_arrays import converter_of
from service.ingest.decode.ipc_frames import CheckedFrames
from service.ingest.decode.pyarrow_loading import pyarrow, translated
from service.ingest.decode.rows import DecodedColumns, rows_within
from service.ingest.decode.schema import RowSchema

__all__ = ["ARROW_COLUMNS_MAX", "PART_ROWS_MAX", "check_names", "decode_arrow"]

PART_ROWS_MAX: Final = 65_536
ARROW_COLUMNS_MAX: Final = 10_000


def decode_arrow(source: BinaryIO, schema: RowSchema) -> Iterator[DecodedColumns]:
    """Decode an Arrow IPC stream.

    Parameters
    ----------
    source : binary file
        `read(size)` gives up to `size` bytes, and none only at the end. What it raises comes out unchanged.
    schema : RowSchema

    Yields
    ------
    DecodedColumns

    Raises
    ------
    DecodeError
        400 cut off or corrupt, 413 beyond the limits, 415 pyarrow is not installed, 422 a column twice.
    """
    pa = pyarrow()
    frames = CheckedFrames(source)
    try:
        yield from translated(_parts(pa, frames, schema), "an Arrow IPC stream")
    except DecodeError:
        if frames.failure is not None:
            raise frames.failure from None
        raise


def check_names(names: list[str]) -> None:
    """Refuse schemas that have very many columns, or one twice."""
    if len(names) > ARROW_COLUMNS_MAX:
        raise DecodeError(413, f"{len(names):,} columns, wanted at most {ARROW_COLUMNS_MAX:,}")
    repeated = sum(uses > 1 for uses in Counter(names).values())
    if repeated:
        raise DecodeError(422, f"{repeated:,} columns are there more than once")


def _parts(pa: Any, frames: CheckedFrames, schema: RowSchema) -> Iterator[DecodedColumns]:
    options = pa.ipc.IpcReadOptions(use_threads=False)
    with pa.ipc.open_stream(frames, options=options) as reader:
        names = reader.schema.names
        check_names(names)
        wanted, ignored = schema.select(names)
        types = {name: reader.schema.field(name).type for name in wanted}
        zoned = frozenset(name for name, arrow_type in types.items() if is_zoned(arrow_type))
        converters = [(name, names.index(name), converter_of(arrow_type)) for name, arrow_type in types.items()]
        part_rows = min(PART_ROWS_MAX, rows_within(len(names)))
        first = 1
        for batch in reader:
            for start in range(0, batch.num_rows, part_rows):
                part = batch.slice(start, part_rows)
                yield DecodedColumns(
                    rows=part.num_rows,
                    columns={name: convert(part.column(place)) for name, place, convert in converters},
                    numbers=range(first, first + part.num_rows),
                    zoned=zoned,
                    ignored=ignored,
                    ignored_cells=part.num_rows * (len(names) - len(wanted)),
                )
                first += part.num_rows
