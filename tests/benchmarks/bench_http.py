"""What the service costs over HTTP, beside yardsticks in the same run: `python bench_http.py [--seconds S] [--rounds N]`.

Every server is a process of its own on loopback; a client in this process keeps 64 connections busy. Figures are requests, or
values, per CPU second of the server, so that the client's own work does not count; candidates take many short turns, because
a machine that is shared is half as fast in some seconds as in others; medians of the rounds. Each figure says which `ack` it was measured with: `committed` answers after the commit (SQLite, WAL, NORMAL, on
disk), `received` when the rows are in the buffer.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
from load import cpu_seconds, free_port, load, request_bytes, rss_bytes, service, yardstick

_COLUMNS = [f"f{i}" for i in range(20)]
_ROWS_OF_BULK = 10_000
_PATH = "/v1/models/m/inferences"


def main():
    arguments = _arguments()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        _start_up(Path(folder))
        with ExitStack() as stack:
            servers = _servers(stack, Path(folder), rng)
            _one_row(servers, rng, arguments)
            _many_rows(servers, rng, arguments)
            _latency(servers, rng, arguments)
            _ndjson_memory(servers, rng, arguments)
            _counted(servers)


def _arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--ndjson-mb", type=int, default=100)
    return parser.parse_args()


def _servers(stack, folder, rng):
    ports = {name: free_port() for name in ("empty", "group", "fastapi", "committed", "received")}
    servers = {
        "empty": (ports["empty"], stack.enter_context(yardstick("empty_app", ports["empty"]))),
        "group": (
            ports["group"],
            stack.enter_context(yardstick("group_commit_app", ports["group"], YARDSTICK_STORE=str(folder / "y.db"))),
        ),
        "fastapi": (
            ports["fastapi"],
            stack.enter_context(yardstick("fastapi_app", ports["fastapi"], YARDSTICK_COLUMNS=",".join(_COLUMNS))),
        ),
    }
    for ack in ("committed", "received"):
        (folder / ack).mkdir()
        servers[ack] = (ports[ack], stack.enter_context(service(folder / ack, ports[ack])))
        _set_up(ports[ack], ack, rng)
    return servers


def _set_up(port, ack, rng):
    values = rng.normal(size=(5_000, len(_COLUMNS)))
    csv = "\n".join([",".join(_COLUMNS), *(",".join(f"{value:.6f}" for value in row) for row in values)])
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        client.put("/v1/models/m", json={"ack": ack}).raise_for_status()
        built = client.post("/v1/models/m/references?version=1", content=csv, headers={"Content-Type": "text/csv"})
        assert built.status_code == 201, built.text


def _turns(servers, requests, arguments, unit, connections=64):
    """Median of `unit` per CPU second, by name; candidates take turns."""
    found = {name: [] for name in requests}
    for name, request in requests.items():  # once, to warm up
        port, process = servers[name.partition(" ")[0]]
        load(port, process.pid, request, connections=connections, seconds=0.5)
    for _ in range(arguments.rounds):
        for name, request in requests.items():
            port, process = servers[name.partition(" ")[0]]
            done, cpu_s, _ = load(port, process.pid, request, connections=connections, seconds=arguments.seconds)
            found[name].append(done * unit[name] / cpu_s)
    return {name: statistics.median(figures) for name, figures in found.items()}


def _one_row(servers, rng, arguments):
    row = json.dumps(dict(zip(_COLUMNS, rng.normal(size=len(_COLUMNS)).tolist(), strict=True))).encode()
    ours, theirs = request_bytes(_PATH, row), request_bytes("/one", row)
    requests = {"empty": ours, "group": ours, "fastapi": theirs, "committed": ours, "received": ours}
    found = _turns(servers, requests, arguments, dict.fromkeys(requests, 1))
    _title("one row of 20 numbers, 64 connections: requests a CPU second of the server")
    for name, figure in found.items():
        print(f"  {name:<12}{figure:>10,.0f}")
    _ratio("received / empty raw ASGI", found["received"] / found["empty"], 0.60)
    _ratio("committed / raw ASGI that group-commits a blob", found["committed"] / found["group"], 0.60)
    _ratio("received / FastAPI + pydantic", found["received"] / found["fastapi"], 2.5)
    _ratio("committed / FastAPI + pydantic", found["committed"] / found["fastapi"], 2.5)


def _many_rows(servers, rng, arguments):
    rows = [dict(zip(_COLUMNS, values, strict=True)) for values in rng.normal(size=(100, len(_COLUMNS))).tolist()]
    body = json.dumps({"rows": rows}).encode()
    table = pa.table({name: rng.normal(size=_ROWS_OF_BULK) for name in _COLUMNS})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    arrow = request_bytes(_PATH, sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream")
    requests = {
        "fastapi": request_bytes("/many", body),
        "committed json": request_bytes(_PATH, body),
        "received json": request_bytes(_PATH, body),
        "committed arrow": arrow,
    }
    values = dict.fromkeys(requests, 100 * len(_COLUMNS)) | {"committed arrow": _ROWS_OF_BULK * len(_COLUMNS)}
    found = _turns(servers, requests, arguments, values, connections=8)  # as many Arrow streams as are taken at a time
    _title("JSON bodies of 100 rows, Arrow IPC bodies of 10,000: values a CPU second of the server")
    for name, figure in found.items():
        print(f"  {name:<18}{figure / 1e6:>8.2f} M")
    _ratio("received JSON / FastAPI + pydantic (which stores nothing)", found["received json"] / found["fastapi"], 4)
    print(f"  {'committed JSON / the same':<56}{found['committed json'] / found['fastapi']:>8.2f}")
    _ratio("committed Arrow IPC / committed JSON", found["committed arrow"] / found["committed json"], 4)


def _latency(servers, rng, arguments):
    row = json.dumps(dict(zip(_COLUMNS, rng.normal(size=len(_COLUMNS)).tolist(), strict=True))).encode()
    request = request_bytes(_PATH, row)

    def probe(name):
        port, process = servers[name]
        _, _, latencies = load(port, process.pid, request, connections=1, seconds=2.0, pause_s=0.002)
        return latencies[int(len(latencies) * 0.99)] * 1e3

    found = {name: statistics.median(probe(name) for _ in range(3)) for name in ("group", "committed")}
    lines = [json.dumps(dict(zip(_COLUMNS, v, strict=True))) for v in rng.normal(size=(_ROWS_OF_BULK, 20)).tolist()]
    found["beside bulk"] = _beside(servers["committed"][0], "\n".join(lines).encode(), lambda: probe("committed"))
    _title("p99 of a row sent every few milliseconds, ms (ack: committed)")
    for name, figure in found.items():
        print(f"  {name:<12}{figure:>8.2f}")
    _ratio("idle / yardstick that group-commits (at most)", found["committed"] / found["group"], 2, at_most=True)
    _ratio(
        "more beside a 10,000-row NDJSON client, ms (at most)",
        found["beside bulk"] - found["committed"],
        10,
        at_most=True,
    )


def _beside(port, body, probe):
    """A probe while another process posts bodies without a pause."""
    script = (
        "import sys, httpx\n"
        "body = sys.stdin.buffer.read()\n"
        "client = httpx.Client(timeout=60)\n"
        "while True:\n"
        f"    client.post('http://127.0.0.1:{port}{_PATH}', content=body,"
        " headers={'Content-Type': 'application/x-ndjson'}).raise_for_status()\n"
    )
    bulk = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    try:
        bulk.stdin.write(body)
        bulk.stdin.close()
        time.sleep(1.0)
        assert bulk.poll() is None
        return statistics.median(probe() for _ in range(3))
    finally:
        bulk.kill()
        bulk.wait()


def _ndjson_memory(servers, rng, arguments):
    port, process = servers["committed"]
    lines = [json.dumps(dict(zip(_COLUMNS, v, strict=True))) for v in rng.normal(size=(2_000, 20)).tolist()]
    piece = ("\n".join(lines) + "\n").encode()
    pieces = max(1, arguments.ndjson_mb * 1_000_000 // len(piece))
    before, peak, ended = rss_bytes(process.pid), [0], threading.Event()

    def watch():
        while not ended.wait(0.01):
            peak[0] = max(peak[0], rss_bytes(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    answer = httpx.post(
        f"http://127.0.0.1:{port}{_PATH}",
        content=(piece for _ in range(pieces)),
        headers={"Content-Type": "application/x-ndjson"},
        timeout=600,
    )
    ended.set()
    watcher.join()
    assert answer.json()["accepted"] == pieces * len(lines), answer.text
    _title(f"NDJSON of {pieces * len(piece) / 1e6:,.0f} MB in one request (ack: committed)")
    print(f"  RSS before {before / 2**20:.1f} MiB, peak {peak[0] / 2**20:.1f} MiB")
    _ratio("MiB over the process before it (at most)", (peak[0] - before) / 2**20, 4, at_most=True)


def _start_up(folder):
    (folder / "start").mkdir()
    with service(folder / "start", free_port()):  # after which every module is compiled, as an installation is
        pass
    cpu, rss = [], []
    for _ in range(3):
        with service(folder / "start", free_port()) as process:
            cpu.append(cpu_seconds(process.pid))
            time.sleep(1.0)
            rss.append(rss_bytes(process.pid) / 2**20)
    _title("start-up until ready, and idle")
    _ratio("CPU seconds (at most)", statistics.median(cpu), 1.5, at_most=True)
    _ratio("MB resident (at most)", statistics.median(rss) * 2**20 / 1e6, 100, at_most=True)


def _counted(servers):
    """Everything that was answered was counted: the benchmark measured the real thing."""
    port, _ = servers["committed"]
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    (line,) = [line for line in text.splitlines() if line.startswith("driftline_rows_total{") and '"accepted"' in line]
    shares = httpx.get(f"http://127.0.0.1:{port}/v1/models/m/evaluations?limit=1").json()["evaluations"]
    assert float(line.split()[-1]) > 0
    assert shares[0]["rows"] > 0
    print(f"\naccepted rows: {float(line.split()[-1]):,.0f}; the open window has {shares[0]['rows']:,}")


def _title(text):
    print(f"\n{text}")


def _ratio(name, figure, floor, *, at_most=False):
    held = figure <= floor if at_most else figure >= floor
    print(f"  {name:<56}{figure:>8.2f}   {'limit' if at_most else 'floor'} {floor:g} {'held' if held else 'NOT HELD'}")


if __name__ == "__main__":
    main()
