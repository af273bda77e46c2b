"""Streams of any length take no more memory than a chunk of them; measured in the real process.

`DRIFTLINE_TEST_MEBIBYTES=100` sends a hundred of them where the suite sends ten.
"""

import io
import os
import threading
import zlib

import pyarrow as pa
import pytest
from serving import NDJSON, ROW, Process, encoded, rows_of
from test_ingest_formats import headers_of

MEBIBYTES = int(os.environ.get("DRIFTLINE_TEST_MEBIBYTES", "10"))
REQUEST_BYTES_MAX = 4 << 20
"""The goal: what a request may take over the idle process, whatever its length."""

ROWS = [{**row, "temp": row["temp"] or 0.0, "weather": row["weather"] or "fog"} for row in rows_of(1_000)]
LINES = b"".join(encoded(row) + b"\n" for row in ROWS)
TABLE = pa.table({name: [row[name] for row in ROWS] for name in ROWS[0]})


def ndjson():
    times = (MEBIBYTES << 20) // len(LINES)
    return times * len(ROWS), (LINES for _ in range(times))


def packed():
    n, pieces = ndjson()

    def compressed():
        packer = zlib.compressobj(wbits=31)
        for piece in pieces:
            yield packer.compress(piece)
        yield packer.flush()

    return n, (piece for piece in compressed() if piece)


def arrow():
    times = (MEBIBYTES << 20) // TABLE.nbytes

    def batches():
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, TABLE.schema) as writer:
            for _ in range(times):
                writer.write_table(TABLE)
                yield sink.getvalue()
                sink.seek(0)
                sink.truncate()
        yield sink.getvalue()

    return times * len(ROWS), batches()


STREAMS = {
    "ndjson": (ndjson, NDJSON),
    "gzip": (packed, headers_of("ndjson", "gzip")),
    "arrow": (arrow, headers_of("arrow")),
}


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with Process(tmp_path_factory.mktemp("memory"), auth="none") as process:
        process.model()
        for stream, headers in STREAMS.values():  # what is loaded and kept at the first of a kind
            for _ in range(2):
                process.send(stream()[1], headers=headers)
        yield process


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_takes_no_memory_for_its_length(process, kind):
    stream, headers = STREAMS[kind]
    n, pieces = stream()
    idle = process.memory_bytes()
    process.forget_peak()

    answer = process.send(pieces, headers=headers)

    assert answer.json()["accepted"] == n
    assert process.memory_bytes("VmHWM") - idle <= REQUEST_BYTES_MAX


def test_streams_at_a_time_take_no_more_than_each_of_them(process):
    idle = process.memory_bytes()
    process.forget_peak()
    counted = []

    def send():
        n, pieces = ndjson()
        counted.append(process.send(pieces, headers=NDJSON).json()["accepted"] == n)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counted == [True] * 4
    assert process.memory_bytes("VmHWM") - idle <= 4 * REQUEST_BYTES_MAX


def test_a_csv_body_takes_little_more_than_itself(process):
    line = b"%r,%d,%s,%r\n"
    rows = b"".join(line % (row["temp"], row["hour"], row["weather"].encode(), row["prediction"]) for row in ROWS)
    body = b",".join(name.encode() for name in ROW) + b"\n" + rows * ((min(MEBIBYTES, 50) << 20) // len(rows))
    process.send(body, headers=headers_of("csv"))
    idle = process.memory_bytes()
    process.forget_peak()

    answer = process.send(body, headers=headers_of("csv"))

    assert answer.json()["accepted"] == body.count(b"\n") - 1
    assert process.memory_bytes("VmHWM") - idle <= 2 * len(body) + (24 << 20)


def test_a_model_that_learns_from_a_stream_takes_no_memory_for_its_length(process):
    process.client.put("/v1/models/new", json={"learning": {"rows": 10_000_000}}).raise_for_status()
    for _ in range(2):
        process.send(ndjson()[1], model="new", headers=NDJSON)
    n, pieces = ndjson()
    idle = process.memory_bytes()
    process.forget_peak()

    answer = process.send(pieces, model="new", headers=NDJSON)

    assert answer.json()["accepted"] == n
    assert process.memory_bytes("VmHWM") - idle <= 4 * REQUEST_BYTES_MAX
