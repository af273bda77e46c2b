"""Parquet bodies, read from memory a part of the rows at a time.

What the footer and the page headers declare is held against limits before anything is inflated. Text is left in the codes
it is stored in, so that a long text that is repeated takes its memory once. Columns of lists and structs are not read: all
their cells are invalid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from service.errors import DecodeError
from service.formats.arrow_values import is_zoned
from service.ingest.decode.arrow import PART_ROWS_MAX, check_names
from service.ingest.decode.arrow_arrays import Converter, converter_of, is_text, opaque
from service.ingest.decode.parquet_pages import Footer, PageLimits, check_pages, footer_of
from service.ingest.decode.pyarrow_loading import pyarrow, translated
from service.ingest.decode.rows import DecodedColumns, rows_within
from service.ingest.decode.schema import RowSchema

__all__ = ["ParquetLimits", "decode_parquet"]

_FIXED_BYTES_MAX: Final = 64  # decimals, UUIDs, half floats; a longer one could be repeated without end


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetLimits:
    """What a Parquet body may declare.

    Parameters
    ----------
    rows_max, cells_max : int
        Repeated values take next to no bytes, but time to count: at 64 million cells about a second.
    footer_bytes_max : int
        A few times as large in memory; 10,000 columns take about two megabytes.
    inflated_bytes_max, pages_max : int
        Over all pages of the columns that are read.
    """

    rows_max: int = 1 << 20
    cells_max: int = 1 << 26
    footer_bytes_max: int = 1 << 22
    inflated_bytes_max: int = 1 << 28
    pages_max: int = 1 << 16


_DEFAULT: Final = ParquetLimits()


def decode_parquet(body: bytes, schema: RowSchema, limits: ParquetLimits = _DEFAULT) -> Iterator[DecodedColumns]:
    """Decode a Parquet body.

    Raises
    ------
    DecodeError
        400 cut off or corrupt, 413 beyond the limits, 415 pyarrow is not installed, 422 a column twice, or an encoding
        that is not taken.
    """
    pa = pyarrow()
    footer = footer_of(body, limits.footer_bytes_max)
    yield from translated(_parts(pa, body, footer, schema, limits), "Parquet")


def _parts(pa: Any, body: bytes, footer: Footer, schema: RowSchema, limits: ParquetLimits) -> Iterator[DecodedColumns]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - as pyarrow itself

    metadata = pq.read_metadata(pa.BufferReader(body))
    arrow_schema = metadata.schema.to_arrow_schema()
    names = arrow_schema.names
    check_names(names)
    wanted, ignored = schema.select(names)
    _check_rows(footer.rows, len(wanted), limits)
    flat = _flat_columns(metadata, wanted)
    left = PageLimits(limits.pages_max, limits.inflated_bytes_max)
    for chunk in footer.chunks(flat.values()):
        check_pages(body, chunk, left)
    coded = [name for name in flat if is_text(arrow_schema.field(name).type)]
    zoned = frozenset(name for name in flat if is_zoned(arrow_schema.field(name).type))
    converters: dict[str, Converter] = {}
    first = 1
    part_rows = min(PART_ROWS_MAX, rows_within(len(wanted)))
    with pq.ParquetFile(
        pa.BufferReader(body), metadata=metadata, read_dictionary=coded, pre_buffer=False, buffer_size=0
    ) as parquet:
        for batch in parquet.iter_batches(part_rows, columns=list(flat), use_threads=False):
            rows = batch.num_rows
            converters = converters or {field.name: converter_of(field.type) for field in batch.schema}
            yield DecodedColumns(
                rows=rows,
                columns={
                    name: converters[name](batch.column(name)) if name in flat else opaque(rows) for name in wanted
                },
                numbers=range(first, first + rows),
                zoned=zoned,
                ignored=ignored,
                ignored_cells=rows * (len(names) - len(wanted)),
            )
            first += rows


def _check_rows(rows: int, columns: int, limits: ParquetLimits) -> None:
    rows_max = min(limits.rows_max, limits.cells_max // max(1, columns))
    if rows > rows_max:
        raise DecodeError(
            413,
            f"{rows:,} rows in one Parquet body, wanted at most {rows_max:,}: send it in parts, or as an Arrow stream",
        )


def _flat_columns(metadata: Any, wanted: list[str]) -> dict[str, int]:
    # Names and numbers of the wanted columns that are read.
    places = {}
    names = frozenset(wanted)
    for number in range(metadata.num_columns):
        column = metadata.schema.column(number)
        long = column.physical_type == "FIXED_LEN_BYTE_ARRAY" and column.length > _FIXED_BYTES_MAX
        flat = column.max_repetition_level == 0 and column.max_definition_level <= 1
        if column.path in names and column.name == column.path and flat and not long:
            places[column.path] = number
    return places
