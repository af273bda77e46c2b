"""JSON bodies: a row, a list of rows, `{"rows": [...]}`, or `{"columns": {"name": [...]}}`.

An object is a row, unless it has a list under `rows` or an object under `columns` and the model has no such column. JSON
is decoded whole, and nothing else is served meanwhile; so it is kept small, and larger bodies are asked for as NDJSON,
which is decoded as it arrives, or Arrow, which hardly needs decoding.
"""

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.errors import DecodeError, RowError
from service.ingest.decode.cells import values_of_cells
from service.ingest.decode.json_value import REFUSED, UnreadableError, json_value
from service.ingest.decode.rows import DecodedColumns, DecodedRows, Rejections
from service.ingest.decode.schema import RowSchema, Shape

__all__ = ["JsonLimits", "decode_json"]

_INSTEAD: Final = "send application/x-ndjson or application/vnd.apache.arrow.stream instead"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLimits:
    """How large a JSON body may be.

    Parameters
    ----------
    bytes_max, rows_max : int
        A megabyte of rows is decoded in 5 ms, in which nothing else is served.
    columns_rows_max : int
        Rows in the form of columns, which take a third of the time.
    """

    bytes_max: int = 1 << 20
    rows_max: int = 1_000
    columns_rows_max: int = 10_000


_DEFAULT: Final = JsonLimits()


def decode_json(body: bytes, schema: RowSchema, limits: JsonLimits = _DEFAULT) -> DecodedRows | DecodedColumns:
    """Decode a JSON body.

    Parameters
    ----------
    body : bytes
    schema : RowSchema
    limits : JsonLimits

    Returns
    -------
    DecodedRows or DecodedColumns

    Raises
    ------
    DecodeError
        400 not JSON, 413 beyond the limits, 422 JSON of another form.
    """
    if len(body) > limits.bytes_max:
        raise DecodeError(413, f"a JSON body of {len(body):,} bytes, wanted at most {limits.bytes_max:,}: {_INSTEAD}")
    if body[:1] not in {b"{", b"["}:
        body = body.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")
    shape = schema.shape
    structs = _quickly(body, shape) if shape is not None else None
    if shape is not None and structs is not None:
        _check_rows(len(structs), min(limits.rows_max, schema.rows_max))
        return shape.rows(structs, range(1, len(structs) + 1))
    try:
        value = json_value(body)
    except UnreadableError as error:
        raise DecodeError(400, f"the body cannot be read as JSON: {error}") from None
    match value:
        case list():
            return _rows(value, schema, limits)
        case dict():
            key = _wrapper(value, schema.names)
            if key == "columns":
                return _columns(value[key], schema, limits)
            return _rows([value] if key is None else value[key], schema, limits)
        case _:
            raise DecodeError(422, "wanted a row as an object, a list of rows, or an object with 'rows' or 'columns'")


def _quickly(body: bytes, shape: Shape) -> Sequence[Any] | None:
    # None where the slow way has to say what it is.
    try:
        if body.startswith(b"["):
            return shape.many.decode(body)
        if not shape.wrappable:
            return None
        if body.startswith(b'{"rows"'):
            rows: Sequence[Any] = shape.wrapped.decode(body).rows
            return rows
        return [shape.one.decode(body)]
    except REFUSED:
        return None


def _wrapper(value: Mapping[str, Any], names: Sequence[str]) -> str | None:
    for key, wanted, word in (("rows", list, "a list"), ("columns", dict, "an object")):
        if key not in value or (key in names and (len(value) > 1 or not isinstance(value[key], wanted))):
            continue
        if isinstance(value[key], wanted):
            if len(value) > 1:
                raise DecodeError(422, f"'{key}' beside other keys; wanted it alone")
            return key
        if len(value) == 1:
            raise DecodeError(422, f"'{key}': wanted {word}")
    return None


def _rows(items: Sequence[Any], schema: RowSchema, limits: JsonLimits) -> DecodedRows:
    _check_rows(len(items), min(limits.rows_max, schema.rows_max))  # without a cell, too, a row takes its place
    rejections = Rejections()
    rows = [item for item in items if isinstance(item, dict)]
    numbers: Sequence[int] = range(1, len(items) + 1)
    if len(rows) < len(items):
        numbers = [number for number, item in enumerate(items, 1) if isinstance(item, dict)]
        for number, item in enumerate(items, 1):
            if not isinstance(item, dict):
                rejections.add(number, "not an object")
    table = schema.table(rows)
    return DecodedRows(
        names=table.names,
        cells=table.cells,
        numbers=numbers,
        errors=rejections.errors,
        rejected=rejections.count,
        ignored=table.ignored,
        ignored_cells=table.ignored_cells,
    )


def _columns(columns: Mapping[str, Any], schema: RowSchema, limits: JsonLimits) -> DecodedColumns:
    first, rows = None, 0
    for name, cells in columns.items():
        if not isinstance(cells, list):
            raise DecodeError(422, "'columns': a column that is no list", [_of_column(1, name, "wanted a list")])
        if first is None:
            first, rows = name, len(cells)
        elif len(cells) != rows:
            reason = f"{len(cells):,} values where the first column has {rows:,}"
            raise DecodeError(
                422, "'columns': lists of unequal lengths", [_of_column(1 + min(rows, len(cells)), name, reason)]
            )
    _check_rows(rows, limits.columns_rows_max)
    wanted, ignored = schema.select(columns)
    return DecodedColumns(
        rows=rows,
        columns={name: values_of_cells(columns[name]) for name in wanted if rows},
        numbers=range(1, rows + 1),
        ignored=ignored,
        ignored_cells=rows * (len(columns) - len(wanted)),
    )


def _of_column(row: int, name: str, reason: str) -> RowError:
    return RowError(row=row, column=name[:256], reason=reason)


def _check_rows(rows: int, rows_max: int) -> None:
    if rows > rows_max:
        raise DecodeError(413, f"{rows:,} rows in one JSON body, wanted at most {rows_max:,}: {_INSTEAD}")
