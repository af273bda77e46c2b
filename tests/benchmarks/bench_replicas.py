"""Rows that three replicas on one Redis ingest per CPU second, beside one: `python bench_replicas.py [--smoke]`.

Real processes on loopback, of the service and of Redis (AOF `everysec`); a client in this process keeps as many connections
busy either way, spread over the replicas. CPU seconds of all replicas and of Redis count, the client's do not; the two take
turns, medians of the rounds. Afterwards all rows that were acknowledged must be in the store: exit 1 if not. With tests/ on
PYTHONPATH, from the root of the repository.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from contextlib import ExitStack

import httpx
import numpy as np
from load import cpu_seconds, free_port, keep_busy, request_bytes, running
from redis_server import RedisServer
from timing import Line, print_lines

from service.ports import Series
from service.storage.redis import RedisStore

COLUMNS = [f"f{i}" for i in range(20)]
ROWS_OF_BODY = 100
CONNECTIONS = 48
REPLICAS = 3
FLOOR = 0.8
PATH = "/v1/models/m/inferences"
NEVER = "365d"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true", help="a moment: checks answers only")
    smoke = parser.parse_args().smoke
    rng = np.random.default_rng(0)
    redis = RedisServer(appendonly="yes", appendfsync="everysec")
    try:
        with ExitStack() as stack:
            replicas = [stack.enter_context(_replica(redis)) for _ in range(REPLICAS)]
            _set_up(replicas[0][0], rng)
            for port, _ in replicas:
                _until_known(port)
            sent = _measure(redis, replicas, rng, seconds=0.5 if smoke else 4.0, rounds=1 if smoke else 5)
            _counted(redis, sent)
    finally:
        redis.close()
    return 0


class _Running:
    """A replica: entered, its port and process."""

    def __init__(self, url):
        self.port = free_port()
        command = ["-m", "service", "serve", "--port", str(self.port), "--store", url, "--log-level", "warning"]
        self._running = running(command, self.port, "/readyz", OPENBLAS_NUM_THREADS="1")

    def __enter__(self):
        return self.port, self._running.__enter__()

    def __exit__(self, *exception):
        return self._running.__exit__(*exception)


def _replica(redis):
    return _Running(redis.url)


def _set_up(port, rng):
    values = rng.normal(size=(5_000, len(COLUMNS)))
    csv = "\n".join([",".join(COLUMNS), *(",".join(f"{value:.6f}" for value in row) for row in values)])
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        client.put("/v1/models/m", json={"lateness": NEVER}).raise_for_status()  # no window closes while we measure
        built = client.post("/v1/models/m/references?version=1", content=csv, headers={"Content-Type": "text/csv"})
        assert built.status_code == 201, built.text


def _until_known(port):
    """A replica has seen the reference that another one built."""
    deadline = time.perf_counter() + 30
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        while not (found := client.get("/v1/models/m")).is_success or not found.json()["versions"]:
            assert time.perf_counter() < deadline, found.text
            time.sleep(0.1)


def _measure(redis, replicas, rng, *, seconds, rounds):
    """Rows acknowledged in all; prints rows a CPU second."""
    values = rng.normal(size=(ROWS_OF_BODY, len(COLUMNS))).tolist()
    body = json.dumps({"rows": [dict(zip(COLUMNS, row, strict=True)) for row in values]})
    request = request_bytes(PATH, body.encode())
    found, answered = {"one": [], "three": []}, 0
    for turn in range(rounds + 1):
        for name, serving in (("one", replicas[:1]), ("three", replicas)):
            pids = [process.pid for _, process in serving] + [redis.process.pid]
            before = [cpu_seconds(pid) for pid in pids]
            done = asyncio.run(_load([port for port, _ in serving], request, seconds if turn else 0.5))
            spent = [cpu_seconds(pid) - was for pid, was in zip(pids, before, strict=True)]
            answered += done
            if turn:  # the first is to warm up
                rows = done * ROWS_OF_BODY
                found[name].append((rows / sum(spent), rows / seconds, spent[-1] / sum(spent)))
    medians = {name: [statistics.median(column) for column in zip(*some, strict=True)] for name, some in found.items()}
    lines = [
        Line(
            name=f"{name} of three replicas has all of the load" if name == "one" else "three share it",
            figure=f"{rows_a_cpu_s:,.0f}",
            ratios=[rows_a_cpu_s / medians["one"][0]],
            floor=FLOOR if name == "three" else None,
        )
        for name, (rows_a_cpu_s, _, _) in medians.items()
    ]
    print_lines(f"JSON bodies of {ROWS_OF_BODY} rows of {len(COLUMNS)} numbers", "rows a CPU second", ["one"], lines)
    for name, (_, rows_a_s, redis_share) in medians.items():
        print(f"  {name}: {rows_a_s:,.0f} rows a second by the clock; Redis has {redis_share:.1%} of the CPU time")
    return answered * ROWS_OF_BODY


async def _load(ports, request, seconds):
    stop_s = time.perf_counter() + seconds
    each = CONNECTIONS // len(ports)
    counts = await asyncio.gather(*(keep_busy(port, request, stop_s, []) for port in ports for _ in range(each)))
    return sum(counts)


def _counted(redis, sent):
    """Every row that was acknowledged is in the store, once."""

    async def stored():
        store = await RedisStore.open(redis.url)
        try:
            model = await store.model("m")
            (activation,) = model.activations
            series = Series(model="m", version="1", reference_id=activation.reference_id)
            return sum(rows for _, rows in await store.rows_by_window(series, 0, 1 << 62))
        finally:
            await store.close()

    found = asyncio.run(stored())
    if found != sent:
        print(f"WRONG: {found} rows in the store, {sent} acknowledged")
        sys.exit(1)
    print(f"  all of {sent:,} acknowledged rows are in the store, once")


if __name__ == "__main__":
    sys.exit(main())
