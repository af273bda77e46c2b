"""A year of hours replayed into a service: each evaluated once, in order; and what an hour costs.

    python tests/longrun/replay_year.py [--days 365] [--rows-per-day 300] [--columns 12] [--kind sqlite]

Rows come in bodies of ten days, as a replay sends them; housekeeping runs in between.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import structlog

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from making import reference_of
from running import DAY, HOUR, Site, at, spread
from stores import evaluated

BODY_DAYS = 10
BEGIN = at("2011-01-01")


async def replay(site, arguments):
    """Send the days, evaluate them, and check what came of it; seconds of sending and evaluating."""
    rng = np.random.default_rng(0)
    names = [f"x{number}" for number in range(arguments.columns)]
    await site.configure()
    await site.activate(reference_of({name: rng.standard_normal(5000) for name in names}))
    sent_s = evaluated_s = 0.0
    for day in range(0, arguments.days, BODY_DAYS):
        days = min(BODY_DAYS, arguments.days - day)
        times = spread(BEGIN + day * DAY, BEGIN + (day + days) * DAY, arguments.rows_per_day * days)
        rows = {"at": times} | {name: rng.standard_normal(times.size) for name in names}
        started = time.perf_counter()
        answer = await site.post(rows)
        sent_s += time.perf_counter() - started
        assert answer.accepted == times.size
        started = time.perf_counter()
        await site.tick()
        evaluated_s += time.perf_counter() - started
        await site.service.ticks.sweep()
    rows = await evaluated(site.store)
    windows = [row for row in rows if row.size == "1h"]
    assert [row.start_us for row in windows] == [BEGIN + hour * HOUR for hour in range(arguments.days * 24 - 1)]
    assert {row.revision for row in rows} == {1}
    lines = [
        f"evaluations: {dict(Counter(row.size for row in rows))}",
        f"verdicts: {dict(Counter(row.verdict for row in rows))}",
        f"sent {arguments.days * arguments.rows_per_day:,} rows in {sent_s:.1f} s",
        f"evaluated {len(windows):,} windows in {evaluated_s:.1f} s: {1000 * evaluated_s / len(windows):.1f} ms a window",
        f"or {1000 * evaluated_s / len(rows):.1f} ms an evaluation",
    ]
    print("\n".join(lines))  # noqa: T201 - a script tells what it found


async def main():
    """Replay as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--rows-per-day", type=int, default=300)
    parser.add_argument("--columns", type=int, default=12)
    parser.add_argument("--kind", choices=["sqlite", "memory"], default="sqlite")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        async with Site(arguments.kind, Path(folder)) as site:
            await replay(site, arguments)


if __name__ == "__main__":
    asyncio.run(main())
