"""What a model takes of a Redis, in bytes and in writes: `python redis_sizes.py [--columns 50] [--rows 2000] [--hours 6]`.

A real service on a real Redis of its own: a reference is uploaded, hours of rows are sent as one would be sent in production,
their windows are evaluated, counts are folded. Then Redis is asked how much of its memory each kind of key takes, and how many
commands and how much CPU a commit took. `deploy/capacity.md` does the arithmetic with these numbers. With tests/ on PYTHONPATH,
from the root of the repository.
"""

import argparse
import asyncio
import sys
import time
from contextlib import ExitStack

import httpx
import numpy as np
from load import free_port, running
from redis_server import RedisServer
from stores import evaluated

from service.storage.redis import RedisStore

HOUR_S = 3_600
START_S = 1_772_409_600  # 2026-03-02, a Monday
PANES_AN_HOUR = 12
MODEL_KEY = "driftline:{m:m}:"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--rows", type=int, default=2_000, help="rows a pane of five minutes")
    parser.add_argument("--hours", type=int, default=6)
    arguments = parser.parse_args()
    redis = RedisServer(appendonly="yes", appendfsync="everysec")
    try:
        with ExitStack() as stack:
            port = free_port()
            command = ["-m", "service", "serve", "--port", str(port), "--store", redis.url, "--log-level", "warning"]
            stack.enter_context(running(command, port, "/readyz", OPENBLAS_NUM_THREADS="1"))
            client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300))
            _measure(client, redis, arguments)
    finally:
        redis.close()
    return 0


def _measure(client, redis, arguments):
    rng = np.random.default_rng(0)
    names = [f"f{i}" for i in range(arguments.columns)]
    client.put("/v1/models/m", json={"columns": {"at": {"role": "time"}}}).raise_for_status()
    reference = _csv(names, rng, START_S - 28 * 24 * HOUR_S, 28 * 24 * 60, 60)
    built = client.post(
        "/v1/models/m/references?version=1&wait=300s", content=reference, headers={"Content-Type": "text/csv"}
    )
    assert built.status_code == 201, built.text
    before = _written(redis)
    panes = arguments.hours * PANES_AN_HOUR
    for pane in range(panes):
        start_s = START_S + pane * HOUR_S // PANES_AN_HOUR
        body = _csv(names, rng, start_s, arguments.rows, HOUR_S / PANES_AN_HOUR / arguments.rows)
        answer = client.post("/v1/models/m/inferences", content=body, headers={"Content-Type": "text/csv"})
        assert answer.json()["accepted"] == arguments.rows, answer.text
    last = _csv(names, rng, START_S + (arguments.hours + 2) * HOUR_S, 1, 1)
    client.post("/v1/models/m/inferences", content=last, headers={"Content-Type": "text/csv"}).raise_for_status()
    _settled(redis)
    written = {name: value - before[name] for name, value in _written(redis).items()}
    _print(redis, panes, written, arguments)


def _csv(names, rng, start_s, rows, step_s):
    lines = [",".join(["at", *names])]
    values = rng.standard_normal((rows, len(names)))
    for i, row in enumerate(values):
        lines.append(",".join([f"{start_s + i * step_s:.3f}", *(f"{value:.4f}" for value in row)]))
    return "\n".join(lines).encode()


def _settled(redis):
    """Wait until all is evaluated and folded."""
    deadline = time.perf_counter() + 120
    with redis.client() as client:
        while True:
            evaluated = client.zcard(MODEL_KEY + "evaluation_ends")
            if evaluated and not client.scard(MODEL_KEY + "unfolded"):
                time.sleep(6)  # one more round of housekeeping
                if client.zcard(MODEL_KEY + "evaluation_ends") == evaluated:
                    return
            assert time.perf_counter() < deadline
            time.sleep(0.5)


def _written(redis):
    with redis.client() as client:
        stats = client.info("commandstats")
        persistence = client.info("persistence")
    scripts = stats.get("cmdstat_evalsha", {"calls": 0, "usec": 0})
    return {"scripts": scripts["calls"], "usec": scripts["usec"], "aof": persistence["aof_current_size"]}


async def _json_bytes(redis):
    store = await RedisStore.open(redis.url)
    try:
        rows = await evaluated(store)
        return sum(len(row.document) for row in rows) / max(1, len(rows))
    finally:
        await store.close()


def _print(redis, panes, written, arguments):
    with redis.client() as client:
        used = {}
        for key in client.scan_iter("driftline:*", count=1000):
            kind = (
                key.decode().removeprefix(MODEL_KEY).partition(":")[0] if key.startswith(b"driftline:{m:") else "common"
            )
            bytes_used, keys = used.get(kind, (0, 0))
            used[kind] = bytes_used + client.memory_usage(key, samples=0), keys + 1
        evaluations = client.zcard(MODEL_KEY + "evaluation_ends")
        documents = client.hgetall(MODEL_KEY + "evaluations")
    print(f"{arguments.columns} columns, {panes} panes of {arguments.rows:,} rows; {evaluations} evaluations\n")
    for kind, (bytes_used, keys) in sorted(used.items(), key=lambda item: -item[1][0]):
        print(f"  {kind:<20}{bytes_used:>14,} bytes in {keys:,} keys")
    print(f"\n  a pane: {used['payloads'][0] / used['payloads'][1]:,.0f} bytes")
    print(f"  an evaluation: {sum(map(len, documents.values())) / max(1, len(documents)):,.0f} bytes")
    print(f"  as JSON: {asyncio.run(_json_bytes(redis)):,.0f} bytes")
    print(f"  a reference: {used['documents'][0]:,} bytes")
    print(
        f"  scripts: {written['scripts']:,}, {written['usec'] / max(1, written['scripts']):,.0f} us of the server each"
    )
    print(f"  AOF written: {written['aof'] / panes:,.0f} bytes a pane")


if __name__ == "__main__":
    sys.exit(main())
