"""Commits a second into SQLite, and reading them back: panes of 33 KiB, single rows, sixty panes at once.

Wall time: what a commit costs is mostly the disk's. Every answer is checked before its time is believed: exit 1 when one is
wrong. Beside each figure stands the same work on bare `sqlite3`, in the same run: what the store adds to it. Run from the
root of the repository::

    python tests/benchmarks/bench_store.py [--smoke]
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import numpy as np
from timing import Line, print_lines

from service.ports import Commit, Delta, Series
from service.storage import codec
from service.storage.sqlite import SqliteStore

COLUMNS = 50
BINS = COLUMNS * 512
PANES = 60
PANE_US = 300_000_000
COMMITS_FLOOR = 2_000  # PERFORMANCE.md
GROUP = 64
CALLERS = 8
SERIES = Series(model="m", version="1", reference_id="sha256:" + "0" * 64)


class Clock:
    """The machine's."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1_000


def main() -> int:
    """Measure, print, and say whether all answers were right."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: checks answers only")
    arguments = parser.parse_args()
    if arguments.smoke:
        print("Smoke: answers are checked; sizes are too small for the figures to mean anything.\n")
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # on the disk, not in memory as /tmp may be
        asyncio.run(_measure(Path(folder), 20 if arguments.smoke else 4_000))
    return 0


async def _measure(folder: Path, commits: int) -> None:
    rng = np.random.default_rng(1)
    dense = rng.poisson(rng.gamma(1, 180, BINS)).astype(np.int64)
    pane = codec.encode_dense(dense)
    positions = np.arange(COLUMNS) * 512 + rng.integers(0, 512, COLUMNS)
    row = codec.encode_sparse(positions, np.ones(COLUMNS, np.int64), BINS)

    lines = []
    for name, payload in ((f"pane of {len(pane) / 1024:.0f} KiB", pane), (f"row of {COLUMNS} columns", row)):
        for how, callers, together in (
            ("one caller", 1, 1),
            (f"{CALLERS} callers", CALLERS, 1),
            (f"{GROUP} a call", 1, GROUP),
        ):
            stored_s = await _commits(folder, payload, commits, callers, together)
            bare_s = _bare(folder / "bare.db", payload, commits, together)
            lines.append(
                Line(
                    name=f"{name}, {how}",
                    figure=f"{1 / stored_s:,.0f}, bare {1 / bare_s:,.0f}",
                    ratios=[1 / stored_s / COMMITS_FLOOR],
                    floor=None if callers == together == 1 else 1,
                )
            )
    print_lines("Commits, synchronous=NORMAL", "commits/s", [f"of {COMMITS_FLOOR:,}/s"], lines)
    await _reads(folder, dense, max(1, commits // 400))
    _codec(dense, positions, row, 20 if commits < GROUP else 2_000)


async def _commits(folder: Path, payload: bytes, commits: int, callers: int, together: int) -> float:
    """Seconds a commit."""
    async with _opened(folder) as (store, epoch):
        made = [_commit(epoch, payload, i // 20) for i in range(commits)]
        groups = iter([made[i : i + together] for i in range(0, commits, together)])

        async def caller() -> None:
            for group in groups:
                await store.commit(group)

        start = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        taken_s = time.perf_counter() - start
        panes = await store.panes(SERIES, 0, commits * PANE_US)
        _check("commits", sum(pane.rows for pane in panes) == commits)
        _check("payloads", sum(len(pane.payloads) for pane in panes) == commits)
    return taken_s / commits


def _bare(path: Path, payload: bytes, commits: int, together: int) -> float:
    """Seconds an insert of the same bytes."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("CREATE TABLE blobs (id INTEGER PRIMARY KEY, blob BLOB)")
        start = time.perf_counter()
        for i in range(0, commits, together):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO blobs (blob) VALUES (?)", [(payload,)] * min(together, commits - i))
            connection.execute("COMMIT")
        taken_s = time.perf_counter() - start
    path.unlink()
    return taken_s / commits


async def _reads(folder: Path, dense: np.ndarray, rounds: int) -> None:
    """Reading and adding up sixty panes, folded and not."""
    async with _opened(folder) as (store, epoch):
        half = codec.encode_dense(dense // 2)
        rest = codec.encode_dense(dense - dense // 2)
        for pane in range(PANES):
            await store.commit([_commit(epoch, payload, pane) for payload in (half, rest)])
        lines = []
        for name in ("two deltas a pane", "folded"):
            if name == "folded":
                start = time.perf_counter()
                swept = await store.sweep([], 0, 1)
                swept_s = time.perf_counter() - start
                _check("folded", swept.deltas_folded == 2 * PANES)
            times = []
            for _ in range(rounds):
                start = time.perf_counter()
                panes = await store.panes(SERIES, 0, PANES * PANE_US)
                read_s = time.perf_counter() - start
                total = codec.summed([payload for pane in panes for payload in pane.payloads], BINS)
                times.append((time.perf_counter() - start, read_s))
                _check("sum", np.array_equal(total, PANES * dense))
            both_s, read_s = np.median(np.array(times), axis=0)
            lines.append(Line(name=name, figure=f"{both_s * 1e3:.1f} ms, reading {read_s * 1e3:.1f} ms", ratios=[]))
        lines.append(Line(name="folding them", figure=f"{swept_s * 1e3:.0f} ms in the background", ratios=[]))
    print_lines(f"Read and sum of {PANES} panes of {COLUMNS} x 512 bins", "time", [], lines)


def _codec(dense: np.ndarray, positions: np.ndarray, row: bytes, rounds: int) -> None:
    ones, total = np.ones(COLUMNS, np.int64), np.zeros(BINS, np.int64)
    pane = codec.encode_dense(dense)
    codec.add_into(total, row)
    _check("row", np.array_equal(np.flatnonzero(total), positions))
    candidates = {
        "encode a row": (lambda: codec.encode_sparse(positions, ones, BINS), row),
        "add a row": (lambda: codec.add_into(total, row), row),
        "encode a pane": (lambda: codec.encode_dense(dense), pane),
        "add a pane": (lambda: codec.add_into(total, pane), pane),
    }
    lines = []
    for name, (run, payload) in candidates.items():
        start = time.perf_counter()
        for _ in range(rounds):
            run()
        taken_us = (time.perf_counter() - start) / rounds * 1e6
        lines.append(Line(name=name, figure=f"{taken_us:.1f} us, {len(payload):,} bytes", ratios=[]))
    print_lines("Codec", "time", [], lines)


def _commit(epoch: int, payload: bytes, pane: int) -> Commit:
    delta = Delta(
        version=SERIES.version,
        reference_id=SERIES.reference_id,
        pane_start_us=pane * PANE_US,
        window_start_us=pane // 12 * 12 * PANE_US,
        rows=1,
        late=0,
        payload=payload,
    )
    return Commit(model=SERIES.model, epoch=epoch, deltas=[delta], newest_us={SERIES.version: pane * PANE_US})


@asynccontextmanager
async def _opened(folder: Path) -> AsyncIterator[tuple[SqliteStore, int]]:
    """A store with a model, in a new file."""
    store = await SqliteStore.open(folder / "store.db", Clock())
    try:
        yield store, await store.put_model(SERIES.model, b"{}", "api", None) or 0
    finally:
        await store.close()
        await asyncio.to_thread((folder / "store.db").unlink)


def _check(name: str, right: object) -> None:
    if not right:
        print(f"WRONG: {name}")
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
