"""Request bodies of plain rows in every format, decoded and counted, for tests."""

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detectors.binning import Binner
from service.ingest.decode import (
    DecodedRows,
    NdjsonDecoder,
    columns_of,
    decode_arrow,
    decode_csv,
    decode_json,
    decode_parquet,
)

FORMATS = ("rows", "columns", "ndjson", "csv", "arrow", "parquet")


def body_of(form, rows):
    """Body of rows (dictionaries with the same keys, None for null)."""
    names = list(rows[0])
    match form:
        case "rows":
            return json.dumps(rows).encode()
        case "columns":
            return json.dumps({"columns": {name: [row[name] for row in rows] for name in names}}).encode()
        case "ndjson":
            return "".join(json.dumps(row) + "\n" for row in rows).encode()
        case "csv":
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerow(names)
            writer.writerows([row[name] for name in names] for row in rows)
            return text.getvalue().encode()
        case "arrow":
            return arrow_body(pa.table({name: [row[name] for row in rows] for name in names}))
        case "parquet":
            return parquet_body(pa.table({name: [row[name] for row in rows] for name in names}))


def arrow_body(table, *, chunk_rows=None, **options):
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, chunk_rows)
    return sink.getvalue()


def parquet_body(table, **options):
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def decoded(form, body, schema):
    """All parts of a body."""
    match form:
        case "rows" | "columns":
            return [decode_json(body, schema)]
        case "ndjson":
            decoder = NdjsonDecoder(schema)
            return [*decoder.feed(body), *decoder.finish()]
        case "csv":
            return list(decode_csv(body, schema))
        case "arrow":
            return list(decode_arrow(io.BytesIO(body), schema))
        case "parquet":
            return list(decode_parquet(body, schema))


def columns_in(part):
    return columns_of(part.cells, part.names) if isinstance(part, DecodedRows) else part.columns


def rows_in(part):
    return len(part.cells) if isinstance(part, DecodedRows) else part.rows


def counts_in(columns, parts):
    """Counts of all parts against reference columns."""
    binner = Binner(columns)
    total = np.zeros(binner.layout.n_bins_total, dtype=np.int64)
    for part in parts:
        total += binner.count(columns_in(part), rows_in(part))
    return total.tolist()
