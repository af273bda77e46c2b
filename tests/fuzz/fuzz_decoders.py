"""Random changes to bodies of every format: decoders raise `DecodeError` and nothing else, and the process lives on.

Each round takes a body, changes it in a few places, decodes it, and turns what came out into columns. A round depends on
the seed and its number alone, so that a failure can be had again with `--first`. From the root::

    python tests/fuzz/fuzz_decoders.py [--rounds 20000] [--seed 0] [--first 0] [--only parquet]

Exit 1 with the seed and number of the first round that raised something else. A process that dies leaves a line on
standard error that says how far it was (`--verbose`: every round).
"""

# ruff: noqa: T201 - it prints what it found

import argparse
import csv
import faulthandler
import gzip
import io
import json
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from service.errors import DecodeError
from service.ingest.decode import (
    DecodedRows,
    Inflater,
    NdjsonDecoder,
    RowSchema,
    columns_of,
    decode_arrow,
    decode_csv,
    decode_json,
    decode_parquet,
    number_matrix,
)

NAMES = ("a", "b", "c", "t")
ROWS = [
    {"a": 1.5, "b": "x", "c": True, "t": "2012-03-05T06:00:00Z", "q": 7},
    {"a": None, "b": "\u00fc", "c": 2**60 + 1, "t": 1330927200},
    {"a": float("nan"), "b": "", "c": [1, {"k": None}], "t": None},
    {"a": -0.0, "c": 2**70, "b": 'a longer text, with commas; and "quotes"'},
]
INTERESTING = (0, 1, 2, 7, 64, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1)
CHANGES_MAX = 6
ROWS_MAX = 1 << 21

Decode = Callable[[bytes, RowSchema, random.Random], list[object]]


def main() -> int:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--only", choices=sorted(DECODERS))
    parser.add_argument("--verbose", action="store_true", help="name each round on standard error before it is run")
    arguments = parser.parse_args()
    faulthandler.enable()
    bodies = {name: list(make()) for name, make in BODIES.items() if arguments.only in {None, name}}
    refused = dict.fromkeys(bodies, 0)
    start = time.perf_counter()
    for number in range(arguments.first, arguments.first + arguments.rounds):
        rng = random.Random(f"{arguments.seed} {number}")  # noqa: S311 - wanted: the same again
        name = rng.choice(sorted(bodies))
        if arguments.verbose or not number % 10_000:
            print(f"seed {arguments.seed}, round {number}, {name}", file=sys.stderr, flush=True)
        body = changed(rng.choice(bodies[name]), rng.choice(bodies[name]), rng)
        try:
            refused[name] += not survives(name, body, rng)
        except Exception:  # noqa: BLE001 - whatever it is, it is what we look for
            print(f"seed {arguments.seed}, round {number}, {name}, {len(body)} bytes: {body[:300]!r}")
            traceback.print_exc()
            return 1
    seconds = time.perf_counter() - start
    print(f"{arguments.rounds:,} rounds, {arguments.rounds / seconds:,.0f} rounds/s, refused: {refused}")
    return 0


def survives(name: str, body: bytes, rng: random.Random) -> bool:
    """Whether a body is decoded; False if it is refused."""
    schema = RowSchema.open(columns_max=6) if rng.random() < 0.3 else RowSchema(NAMES)
    try:
        for part in (part for _ in range(2) for part in DECODERS[name](body, schema, rng)):
            columns = columns_of(part.cells, part.names) if isinstance(part, DecodedRows) else part.columns
            if isinstance(part, DecodedRows):
                number_matrix(part.cells, range(len(part.names)))
            assert len(part.numbers) <= ROWS_MAX
            assert len(part.errors) <= 10
            assert columns is not None
    except DecodeError as error:
        assert error.status in {400, 413, 415, 422}  # noqa: PT017 - which bytes are refused is not known
        return False
    return True


def changed(body: bytes, other: bytes, rng: random.Random) -> bytes:
    """A body with up to a few changes."""
    data = bytearray(body)
    for _ in range(rng.randint(0, CHANGES_MAX)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            case 2:
                del data[at : at + rng.randint(1, 16)]
            case 3:
                size = rng.choice((1, 2, 4, 8))
                data[at : at + size] = (rng.choice(INTERESTING) % (1 << 8 * size)).to_bytes(size, "little")
            case 4:
                end = at + rng.randint(1, 64)
                data[at:at] = data[at:end]
            case 5:
                start = rng.randrange(len(other) + 1)
                data[at : at + rng.randint(0, 32)] = other[start : start + rng.randint(1, 64)]
            case _:
                data[at : at + 1] = bytes([data[at] ^ 1 << rng.randrange(8)]) if at < len(data) else b""
    return bytes(data[: rng.randrange(len(data) + 1)]) if rng.random() < 0.1 else bytes(data)


def json_bodies() -> Iterator[bytes]:
    """Every shape of JSON."""
    columns = {name: [row.get(name) for row in ROWS] for name in NAMES}
    for document in (*ROWS, ROWS, {"rows": ROWS}, {"columns": columns}):
        yield json.dumps(document).encode()


def csv_bodies() -> Iterator[bytes]:
    """Three delimiters."""
    for delimiter in ",;\t":
        text = io.StringIO()
        writer = csv.DictWriter(text, [*NAMES, "q"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(ROWS)
        yield text.getvalue().encode()


def tables() -> Iterator[pa.Table]:
    """Columns of many types."""
    words = pa.array(["x", "y", None, "x"])
    yield pa.table({"a": [1.5, None, 3.0, -1.0], "b": words, "c": pa.array([1, None, 3, 2**60]), "t": pa.array([1, 2, 3, None], pa.timestamp("us", "UTC"))})  # fmt: skip
    yield pa.table({"a": words.dictionary_encode(), "b": pa.array([b"1", b"22", None, b""]), "c": [True, None, False, True], "t": pa.array([1, 2, 3, None], pa.date32())})  # fmt: skip
    yield pa.table({"a": [[1], None, [], [2, 3]], "b": [{"k": 1}, None, {"k": 2}, {"k": 3}], "c": pa.nulls(4), "t": pa.array([1, 2, 3, 4], pa.float16())})  # fmt: skip


def arrow_bodies() -> Iterator[bytes]:
    """Streams, plain and compressed."""
    views = pa.table({"a": pa.array(["x", "long enough to lie elsewhere"], pa.string_view()), "b": pa.array([[1], []], pa.list_view(pa.int8()))})  # fmt: skip
    for table in (*tables(), views):
        for compression in (None, "zstd", "lz4"):
            sink = io.BytesIO()
            with pa.ipc.new_stream(
                sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)
            ) as writer:
                writer.write_table(table, 3)
            yield sink.getvalue()


def parquet_bodies() -> Iterator[bytes]:
    """Files with both versions of pages, several encodings and codecs."""
    for table in list(tables())[:3]:
        table = table.set_column(3, "t", table["t"].cast(pa.float32())) if table["t"].type == pa.float16() else table  # noqa: PLW2901 - as Parquet has it
        for version in ("1.0", "2.0"):
            for compression, dictionary in (("none", True), ("snappy", False), ("zstd", True), ("gzip", False)):
                sink = io.BytesIO()
                pq.write_table(
                    table,
                    sink,
                    compression=compression,
                    use_dictionary=dictionary,
                    data_page_version=version,
                    row_group_size=3,
                    store_schema=dictionary,
                )
                yield sink.getvalue()


def compressed_bodies() -> Iterator[bytes]:
    """gzip and zstd, one member and two."""
    text = json.dumps(ROWS).encode() * 3
    for compress in (gzip.compress, zstandard.compress):
        yield compress(text)
        yield compress(text) + compress(b"more")


def decode_ndjson(body: bytes, schema: RowSchema, rng: random.Random) -> list[object]:
    """Fed as a network might cut it."""
    decoder = NdjsonDecoder(schema, chunk_rows=rng.randint(1, 4), chunk_bytes=rng.randint(1, 200), line_bytes_max=500)
    step = rng.randint(1, 100)
    found = [part for at in range(0, len(body), step) for part in decoder.feed(body[at : at + step])]
    return [*found, *decoder.finish()]


def inflate(body: bytes, _schema: RowSchema, rng: random.Random) -> list[object]:
    """What is inflated stays within its limit, and is nobody's rows."""
    inflater = Inflater("gzip" if body[:1] == b"\x1f" else "zstd", 10_000)
    step = rng.randint(1, 100)
    size = sum(len(piece) for at in range(0, len(body), step) for piece in inflater.feed(body[at : at + step]))
    inflater.finish()
    assert size <= 10_000
    return []


BODIES: dict[str, Callable[[], Iterator[bytes]]] = {
    "json": json_bodies,
    "ndjson": lambda: iter(["\n".join(map(json.dumps, ROWS)).encode(), "\r\n\n".join(map(json.dumps, ROWS)).encode()]),
    "csv": csv_bodies,
    "arrow": arrow_bodies,
    "parquet": parquet_bodies,
    "compressed": compressed_bodies,
}
DECODERS: dict[str, Decode] = {
    "json": lambda body, schema, _rng: [decode_json(body, schema)],
    "ndjson": decode_ndjson,
    "csv": lambda body, schema, _rng: list(decode_csv(body, schema)),
    "arrow": lambda body, schema, _rng: list(decode_arrow(io.BytesIO(body), schema)),
    "parquet": lambda body, schema, _rng: list(decode_parquet(body, schema)),
    "compressed": inflate,
}

if __name__ == "__main__":
    sys.exit(main())
