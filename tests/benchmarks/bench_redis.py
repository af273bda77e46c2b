"""The store in Redis: writing a pane beside HINCRBY of the same counts, and merging panes beside MGET of the same bytes.

CPU seconds of client and server, which a real server of its own is started for: both are paid, and either may be what ends
first. Candidates take turns within a round; the median of the rounds is quoted. Every answer is checked before its time is
believed: exit 1 when one is wrong. Run from the root of the repository::

    PYTHONPATH=tests python tests/benchmarks/bench_redis.py [--smoke]
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from redis.asyncio import Redis
from redis_server import NEWEST, RedisServer, oldest
from timing import Line, print_lines

from service.ports import Commit, Delta, Mark, Series
from service.storage import codec
from service.storage.redis import RedisStore

COLUMNS = 50
BINS = COLUMNS * 1024
COUNTED = 9_071
"""Bins that are not zero in the sparse pane: the one that the floor was set on."""

DELTAS = 20
"""To each pane: a commit every fifteen seconds. The first one costs more."""

PANES = 60
REPLICAS = 3
PANE_US = 300_000_000
WRITE_FLOOR = 100
MERGE_FLOOR = 1 / 3
"""Of a pane of 34 KiB, on a server that copies what it answers. Valkey 9 answers MGET of long strings without a copy, and lists
with one: beside that the same merge looks twice as dear as beside Redis 6.2. Of a smaller pane, unpacking is the most of it."""
SERIES = Series(model="m", version="1", reference_id="sha256:" + "0" * 64)

Candidate = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU seconds of one call, of the client and of the server."""

    client_s: float
    server_s: float

    @property
    def both_s(self) -> float:
        """What is paid in the end."""
        return self.client_s + self.server_s

    def __str__(self) -> str:
        """Client and server, for people."""
        return f"{self.client_s * 1e3:.2f} + {self.server_s * 1e3:.2f} ms"


def main() -> int:
    """Measure, print, and say whether all answers were right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: checks answers only")
    arguments = parser.parse_args()
    if arguments.smoke:
        print("Smoke: answers are checked; sizes are too small for the figures to mean anything.\n")
    rounds, calls = (1, 4) if arguments.smoke else (5, 400)
    for name, program, floor in (("Valkey 9.1", NEWEST, None), ("Redis 6.2", oldest(), MERGE_FLOOR)):
        print(f"== {name}\n")
        server = RedisServer(program=program)
        try:
            asyncio.run(_measure(server, rounds=rounds, calls=calls, merge_floor=floor))
        finally:
            server.close()
    return 0


async def _measure(server: RedisServer, *, rounds: int, calls: int, merge_floor: float | None) -> None:
    rng = np.random.default_rng(1)
    sparse = np.zeros(BINS, np.int64)
    sparse[rng.choice(BINS, COUNTED, replace=False)] = 1 + rng.poisson(rng.gamma(1, 180, COUNTED))
    dense = rng.poisson(rng.gamma(1, 180, BINS // 2)).astype(np.int64)
    for counts in (sparse, dense):
        await _writes(server, counts, rounds=rounds, calls=calls)
    await _merges(server, sparse, rounds=3 * rounds, floor=None)
    await _merges(server, dense, rounds=3 * rounds, floor=merge_floor)


async def _writes(server: RedisServer, counts: np.ndarray, *, rounds: int, calls: int) -> None:
    payload = codec.encode_dense(counts)
    numbers = [(int(i), int(counts[i])) for i in np.flatnonzero(counts)]
    server.empty()
    store, client = await RedisStore.open(server.url), Redis.from_url(server.url)
    epoch = await store.put_model(SERIES.model, b"{}", "api", None) or 0

    async def increment(_: int) -> None:
        async with client.pipeline(transaction=False) as pipeline:
            for i, count in numbers:
                pipeline.hincrby("pane", str(i), count)
            await pipeline.execute()

    async def set_whole(i: int) -> None:
        await client.set(f"pane{i}", payload)

    async def commit(i: int) -> None:
        _check("committed", (await store.commit([_commit(epoch, payload, i // DELTAS)]))[0].status == "committed")

    async def commit_marked(i: int) -> None:
        marks = [Mark(key=f"{time.perf_counter_ns()}", digest=bytes(32), answer=bytes(100))]
        _check(
            "committed", (await store.commit([_commit(epoch, payload, i // DELTAS, marks)]))[0].status == "committed"
        )

    try:
        costs = await _take_turns(
            server,
            {
                "HINCRBY of each count, pipelined": (increment, max(1, calls // 40)),
                "SET of the pane": (set_whole, calls),
                "commit": (commit, calls),
                "commit with an idempotency key": (commit_marked, calls),
            },
            rounds=rounds,
        )
        (first,) = await store.panes(SERIES, 0, 1)
        _check("payloads", all(part == payload for part in first.payloads))
        rows = sum(rows for _, rows in await store.rows_by_window(SERIES, 0, 1 << 60))
        _check("rows", rows == 2 * rounds * calls)
    finally:
        await store.close()
        await client.aclose()
    bare = costs.pop("HINCRBY of each count, pipelined")
    floors = {"commit": WRITE_FLOOR, "commit with an idempotency key": WRITE_FLOOR}
    lines = [Line(name="HINCRBY of each count, pipelined", figure=str(bare), ratios=[])]
    for name, cost in costs.items():
        lines.append(Line(name=name, figure=str(cost), ratios=[bare.both_s / cost.both_s], floor=floors.get(name)))
        alone = bare.server_s / cost.server_s
        lines.append(Line(name="    the server alone", figure=f"{cost.server_s * 1e3:.2f} ms", ratios=[alone]))
    title = f"Writing a pane of {len(numbers):,} counts, {len(payload) / 1024:.0f} KiB"
    print_lines(title, "client + server", ["HINCRBY"], lines)


async def _merges(server: RedisServer, counts: np.ndarray, *, rounds: int, floor: float | None) -> None:
    """Sixty panes, to each of which every replica has committed."""
    payload = codec.encode_dense(counts)
    server.empty()
    replicas = [await RedisStore.open(server.url) for _ in range(REPLICAS)]
    client = Redis.from_url(server.url)
    epoch = await replicas[0].put_model(SERIES.model, b"{}", "api", None) or 0
    names = [f"copy{i}" for i in range(PANES * REPLICAS)]
    await client.mset(dict.fromkeys(names, payload))
    for replica in replicas:
        await replica.commit([_commit(epoch, payload, pane) for pane in range(PANES)])
    expected, n_bins = PANES * REPLICAS * counts, len(counts)

    async def get_all(_: int) -> None:
        _check("bytes", sum(map(len, await client.mget(names))) == len(names) * len(payload))

    async def read(_: int) -> None:
        panes = await replicas[0].panes(SERIES, 0, PANES * PANE_US)
        _check("parts", sum(len(pane.payloads) for pane in panes) == len(names))

    async def get_and_sum(_: int) -> None:
        _check("sum", np.array_equal(codec.summed(await client.mget(names), n_bins), expected))

    async def merge(_: int) -> None:
        panes = await replicas[0].panes(SERIES, 0, PANES * PANE_US)
        total = codec.summed([part for pane in panes for part in pane.payloads], n_bins)
        _check("sum", np.array_equal(total, expected))

    try:
        costs = await _take_turns(
            server,
            {"MGET": (get_all, 2), "reading": (read, 2), "MGET, and adding up": (get_and_sum, 2), "merge": (merge, 2)},
            rounds=rounds,
        )
        folded = await replicas[0].sweep([], 0, 1)
        _check("folded", folded.deltas_folded == len(names))
        costs |= await _take_turns(server, {"merge of what is folded": (merge, 2)}, rounds=rounds)
    finally:
        for replica in replicas:
            await replica.close()
        await client.aclose()
    bare, summed = costs.pop("MGET"), costs["MGET, and adding up"]
    lines = [Line(name="MGET", figure=str(bare), ratios=[])]
    for name, cost in costs.items():
        ratios = [bare.both_s / cost.both_s, summed.both_s / cost.both_s]
        lines.append(Line(name=name, figure=str(cost), ratios=ratios, floor=floor if name == "merge" else None))
    print_lines(
        f"{PANES} panes from {REPLICAS} replicas, {len(payload) / 1024:.0f} KiB each",
        "client + server",
        ["MGET", "MGET, and adding up"],
        lines,
    )


async def _take_turns(
    server: RedisServer, candidates: Mapping[str, tuple[Candidate, int]], *, rounds: int
) -> dict[str, Cost]:
    """Median cost of a call of each; calls are numbered within the round."""
    found: dict[str, list[Cost]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, (run, calls) in candidates.items():
            client_s, server_s = time.process_time(), _cpu_s(server)
            for i in range(calls):
                await run(i)
            client_s, server_s = time.process_time() - client_s, _cpu_s(server) - server_s
            found[name].append(Cost(client_s=client_s / calls, server_s=server_s / calls))
    return {
        name: Cost(
            client_s=statistics.median(cost.client_s for cost in costs),
            server_s=statistics.median(cost.server_s for cost in costs),
        )
        for name, costs in found.items()
    }


def _cpu_s(server: RedisServer) -> float:
    """In nanoseconds, where ticks of ten milliseconds would be too coarse."""
    return int(Path(f"/proc/{server.process.pid}/schedstat").read_text().split()[0]) / 1e9


def _commit(epoch: int, payload: bytes, pane: int, marks: list[Mark] | None = None) -> Commit:
    delta = Delta(
        version=SERIES.version,
        reference_id=SERIES.reference_id,
        pane_start_us=pane * PANE_US,
        window_start_us=pane // 12 * 12 * PANE_US,
        rows=1,
        late=0,
        payload=payload,
    )
    newest_us = {SERIES.version: pane * PANE_US}
    return Commit(model=SERIES.model, epoch=epoch, deltas=[delta], marks=marks or [], newest_us=newest_us)


def _check(name: str, right: object) -> None:
    if not right:
        print(f"WRONG: {name}")
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
