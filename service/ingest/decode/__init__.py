"""Request bodies to rows or columns: pure, one file a format."""

from service.errors import DecodeError, RowError
from service.ingest.decode.arrow import decode_arrow
from service.ingest.decode.cells import columns_of, number_matrix, values_of_cells
from service.ingest.decode.content_types import BodyFormat, format_of
from service.ingest.decode.csv import decode_csv
from service.ingest.decode.inflate import Encoding, Inflater
from service.ingest.decode.json import JsonLimits, decode_json
from service.ingest.decode.ndjson import NdjsonDecoder
from service.ingest.decode.parquet import ParquetLimits, decode_parquet
from service.ingest.decode.rows import DecodedColumns, DecodedRows
from service.ingest.decode.schema import RowSchema

__all__ = [
    "BodyFormat",
    "DecodeError",
    "DecodedColumns",
    "DecodedRows",
    "Encoding",
    "Inflater",
    "JsonLimits",
    "NdjsonDecoder",
    "ParquetLimits",
    "RowError",
    "RowSchema",
    "columns_of",
    "decode_arrow",
    "decode_csv",
    "decode_json",
    "decode_parquet",
    "format_of",
    "number_matrix",
    "values_of_cells",
]
