"""Decoding request bodies: ns a value, from bytes to arrays of a column each, per format.

Beside what people write by hand: `json.loads` and a dictionary a row, and a pydantic model a row. One table for bodies of
50 numeric columns, one where one column in six is text and one cell in twenty is null. Candidates must agree on the sum of
all numbers; the times in the second and further columns are ratios to the yardstick. From the root::

    python tests/benchmarks/bench_decode.py [--smoke]
"""

import argparse
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, create_model
from timing import Line, print_lines, take_turns

from detectors.binning import ColumnValues, Values, as_numbers
from service.ingest.decode import (
    DecodedColumns,
    DecodedRows,
    JsonLimits,
    NdjsonDecoder,
    RowSchema,
    columns_of,
    decode_arrow,
    decode_csv,
    decode_json,
    decode_parquet,
    number_matrix,
)

N_COLUMNS = 50
SIZES = (1, 64, 1_000, 10_000)
NO_LIMITS = JsonLimits(bytes_max=1 << 30, rows_max=1 << 30, columns_rows_max=1 << 30)
YARDSTICK = "json.loads, a dict a row"

Row = dict[str, float | str | None]
Columns = Mapping[str, Values]


def main() -> int:
    """Measure both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    smoke = parser.parse_args().smoke
    sizes, rounds = ((1, 64), 1) if smoke else (SIZES, 5)
    wrong = 0
    for title, mixed in (("50 numeric columns", False), ("42 numeric and 8 text columns, 5 % null", True)):
        times: dict[str, list[float]] = {}
        for size in sizes:
            candidates = _candidates(_rows(size, mixed=mixed))
            wrong += _report_wrong(candidates)
            for name, cpu_s in take_turns(candidates, rounds=rounds).items():
                times.setdefault(name, []).append(cpu_s * 1e9 / size / N_COLUMNS)
        _print(title, sizes, times)
    _print_gathering(sizes, rounds)
    return 1 if wrong else 0


def _rows(n: int, *, mixed: bool) -> list[Row]:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(n, N_COLUMNS)).tolist()
    null = rng.random(size=(n, N_COLUMNS)) < (0.05 if mixed else 0)
    words = [f"category {k}" for k in range(20)]
    return [
        {
            f"feature_{c}": None if null[r, c] else words[int(abs(x) * 7) % 20] if mixed and c % 6 == 5 else x
            for c, x in enumerate(row)
        }
        for r, row in enumerate(numbers)
    ]


def _candidates(rows: list[Row]) -> dict[str, Callable[[], list[Columns]]]:
    names = list(rows[0])
    columns = {name: [row[name] for row in rows] for name in names}
    table = pa.table({name: pa.array(cells) for name, cells in columns.items()})
    as_rows, as_columns = json.dumps(rows).encode(), json.dumps({"columns": columns}).encode()
    as_lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    cells = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in rows]
    as_csv = "\n".join([",".join(names), *cells]).encode()
    arrow, parquet = io.BytesIO(), io.BytesIO()
    with pa.ipc.new_stream(arrow, table.schema) as writer:
        writer.write_table(table)
    pq.write_table(table, parquet)
    schema = RowSchema(names)
    model = TypeAdapter(list[create_model("Row", **dict.fromkeys(names, (float | str | None, None)))])
    return {
        "JSON rows": lambda: _columns([decode_json(as_rows, schema, NO_LIMITS)]),
        "JSON columns": lambda: _columns([decode_json(as_columns, schema, NO_LIMITS)]),
        "NDJSON": lambda: _columns(_lines(as_lines, schema)),
        "CSV": lambda: _columns(decode_csv(as_csv, schema)),
        "Arrow IPC": lambda: _columns(decode_arrow(io.BytesIO(arrow.getvalue()), schema)),
        "Parquet": lambda: _columns(decode_parquet(parquet.getvalue(), schema)),
        YARDSTICK: lambda: _of_dicts(names, json.loads(as_rows)),
        "pydantic model a row": lambda: _of_dicts(names, list(map(vars, model.validate_json(as_rows)))),
    }


def _lines(body: bytes, schema: RowSchema) -> Iterator[DecodedRows]:
    decoder = NdjsonDecoder(schema)
    yield from decoder.feed(body)
    yield from decoder.finish()


def _columns(parts: Iterable[DecodedRows | DecodedColumns]) -> list[Columns]:
    return [columns_of(part.cells, part.names) if isinstance(part, DecodedRows) else part.columns for part in parts]


def _of_dicts(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[Columns]:
    return [{name: ColumnValues(values=_array([row[name] for row in rows])) for name in names}]


def _array(cells: list[object]) -> npt.NDArray[Any]:
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        return np.array(cells, dtype=np.object_)


def _report_wrong(candidates: Mapping[str, Callable[[], list[Columns]]]) -> int:
    sums = {name: _sum(run()) for name, run in candidates.items()}
    wrong = [name for name, total in sums.items() if not math.isclose(total, sums[YARDSTICK], rel_tol=1e-9)]
    for name in wrong:
        print(f"WRONG: {name}: {sums[name]}, wanted {sums[YARDSTICK]}")
    return len(wrong)


def _sum(parts: Iterable[Columns]) -> float:
    numbers = [as_numbers(values) for columns in parts for values in columns.values()]
    return math.fsum(float(read.values[read.present].sum()) for read in numbers)


def _print(title: str, sizes: Sequence[int], times: dict[str, list[float]]) -> None:
    yard = times[YARDSTICK]
    lines = []
    for name, ns in times.items():
        ratios = [y / t for y, t in zip(yard, ns, strict=True)]
        lines.append(Line(name=name, figure=" ".join(f"{t:,.4g}" for t in ns), ratios=ratios))
    print_lines(title, "ns at " + ", ".join(f"{size:,}" for size in sizes), [f"at {size:,}" for size in sizes], lines)


def _print_gathering(sizes: Sequence[int], rounds: int) -> None:
    # Rows of many requests are gathered before they are turned into columns.
    lines = []
    for size in sizes:
        rows = _rows(size, mixed=False)
        cells, names = [tuple(row.values()) for row in rows], list(rows[0])
        candidates = {
            "columns_of": partial(columns_of, cells, names),
            "number_matrix": partial(number_matrix, cells, range(N_COLUMNS)),
        }
        for name, cpu_s in take_turns(candidates, rounds=rounds).items():
            figure = f"{cpu_s * 1e9 / size / N_COLUMNS:,.3g}"
            lines.append(Line(name=f"{name}, {size:,} rows", figure=figure, ratios=[]))
    print_lines("Rows of 50 numeric columns to columns", "ns a value", [], lines)


if __name__ == "__main__":
    sys.exit(main())
