"""Several real processes on one SQLite file, killed, raced, out of disk and without the right to write."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from stores import commit, delta, made, series, total_of
from test_sqlite_store import with_store

from service.storage.sqlite import opening

TESTS = Path(__file__).parents[1]
NOBODY = 65534

# What every child begins with. The name of the file comes first, then what else it is told.
PRELUDE = """
import asyncio, os, resource, sys
from pathlib import Path
from stores import WINDOW_US, FakeClock, commit, delta, made, mark, series, step, total_of
from service.errors import StoreUnavailableError
from service.ports import CountsRead, Keeping
from service.storage.sqlite import SqliteStore, opening

path, *told = sys.argv[1:]
"""


def child(program, *told, **options):
    """A process that runs a program."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(program), *map(str, told)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def said(process):
    """What a process printed, once it has ended well."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.split()


def run_together(programs):
    """What several processes print that run at the same time."""
    with ThreadPoolExecutor(len(programs)) as pool:
        return list(pool.map(said, programs))


WRITING = """
async def main():
    name, commits = told[0], int(told[1])
    store = await SqliteStore.open(Path(path), FakeClock())
    epoch = (await store.epochs())["m"]
    keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US, coarsen_before_us=WINDOW_US)
    for i in range(commits):
        own = commit(epoch, delta(i % 24, (1, 2, 3)), marks=[mark(f"{name}-{i}")])
        shared = commit(epoch, delta(i % 24, (0, 0, 1), segment="shared"), marks=[mark(f"shared-{i}")])
        results = await store.commit([own, shared])
        assert results[0].status == "committed", results[0]
        assert results[1].status in {"committed", "duplicate"}, results[1]
        if i % 50 == 0:
            await store.sweep([keeping], 0, 10**6)
    await store.close()

asyncio.run(main())
"""


def test_processes_that_write_at_once_lose_nothing_and_see_no_error(tmp_path):
    path = tmp_path / "store.db"
    with_store(path, made)

    run_together([child(WRITING, path, name, 400) for name in ("a", "b", "c")])

    assert with_store(path, total_of) == [1_200, 2_400, 3_600]
    assert with_store(path, lambda store: total_of(store, series(segment="shared"))) == [0, 0, 400]


RECORDING = """
async def main():
    store = await SqliteStore.open(Path(path), FakeClock())
    epoch = (await store.epochs())["m"]
    written = 0
    for window in range(100):
        was = window or None
        written += await store.record(step(epoch, was=was, until=window + 1, decisions=[((window + 1) * WINDOW_US, b"")]))
    print(written)
    await store.close()

asyncio.run(main())
"""


def test_of_the_same_steps_in_several_processes_each_is_written_once(tmp_path):
    path = tmp_path / "store.db"
    with_store(path, made)

    written = run_together([child(RECORDING, path) for _ in range(3)])

    decisions = with_store(path, lambda store: store.decisions("m", "1", 0, 2**63 - 1))
    assert sum(int(number) for (number,) in written) == len(decisions) == 100
    assert [end_us for end_us, _ in decisions] == sorted({end_us for end_us, _ in decisions})


OPENING = """
async def main(file):
    store = await SqliteStore.open(Path(file), FakeClock(), steps=[*opening.scripts(), path])
    await store.put_model("m", b"{}", "api", None)
    epoch = (await store.epochs())["m"]
    await store.commit([commit(epoch, delta())])
    await store.close()

for line in sys.stdin:
    asyncio.run(main(line.strip()))
    print("done", flush=True)
"""


def test_processes_that_make_or_migrate_a_file_at_once_do_it_once(tmp_path):
    files = [tmp_path / f"{i}.db" for i in range(8)]
    for path in files[::2]:
        with_store(path, made)
    migration = "CREATE TABLE extras (id INTEGER PRIMARY KEY);"
    children = [child(OPENING, migration, stdin=subprocess.PIPE) for _ in range(3)]

    for path in files:
        for process in children:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
        assert [process.stdout.readline() for process in children] == ["done\n"] * 3
    run_together(children)

    for path in files:
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA user_version").fetchone() == (len(opening.scripts()) + 1,)
            assert connection.execute("SELECT count(*) FROM models").fetchone() == (1,)
            assert connection.execute("SELECT count(*) FROM deltas").fetchone() == (3,)


COMMITTING = """
async def main():
    first = int(told[0])
    store = await SqliteStore.open(Path(path), FakeClock())
    epoch = (await store.epochs())["m"]
    keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US, coarsen_before_us=WINDOW_US)

    async def sweeping():
        while True:
            await store.sweep([keeping], 0, 10**6)

    sweeper = asyncio.create_task(sweeping())
    for number in range(first, first + 10**6):
        # Each number is a pane of its own among the rows, so that a missing or a double one shows.
        one = commit(epoch, delta(number % 24, (1, number, number * number)), marks=[mark(str(number))])
        (result,) = await store.commit([one])
        assert result.status == "committed", result
        print(number, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_before_a_kill_is_there_exactly_once(tmp_path):
    path = tmp_path / "store.db"
    with_store(path, made)
    acknowledged = []

    for turn in range(4):
        first = 1_000_000 * turn
        process = child(COMMITTING, path, first)
        wanted = 20 + 37 * turn
        for line in process.stdout:
            acknowledged.append(int(line))
            if len(acknowledged) >= wanted * (turn + 1):
                break
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()  # communicate() would read past what has been buffered
        process.communicate(timeout=60)
        acknowledged += [int(line) for line in rest.split("\n")[:-1]]

        there = committed_numbers(path, turn + 1)
        assert set(acknowledged) <= set(there)
        # At most the one that was on its way, a round, had no answer yet.
        assert len(there) - len(acknowledged) <= turn + 1
        assert with_store(path, total_of) == [
            len(there),
            sum(there),
            sum(number * number for number in there),
        ]


def committed_numbers(path, turns):
    """The numbers whose marks are in the store; of each round they are the first so many."""

    async def numbers(store):
        found = []
        for turn in range(turns):
            keys = [str(number) for number in range(1_000_000 * turn, 1_000_000 * turn + 5_000)]
            found += [int(one.key) for one in await store.marks("m", keys)]
        return found

    return with_store(path, numbers)


FILLING = """
async def full(store):
    # What the log holds may have made room when the failure had it copied back: full is what fails the check too.
    store._clock.us += 2_000_000
    try:
        await store.check()
    except StoreUnavailableError:
        return True
    return False

async def main():
    store = await SqliteStore.open(Path(path), FakeClock())
    epoch = await made(store)
    written, limit = 0, resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (1 << 20, 2 << 20):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limit[1]))
        refused = 0
        while not (refused and await full(store)):
            try:
                await store.commit([commit(epoch, *(delta(written % 999) for _ in range(100)))])
                written += 1
            except StoreUnavailableError:
                refused += 1
            assert refused < 100
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert not await full(store)
        await store.commit([commit(epoch, delta(written % 999, (100, 0, 0)))])
        written += 1
        print(refused)
    print(written)
    await store.close()

asyncio.run(main())
"""


def test_a_file_that_may_not_grow_stops_commits_and_loses_none(tmp_path):
    path = tmp_path / "store.db"

    *refused, written = said(child(FILLING, path))

    assert all(int(times) > 0 for times in refused)
    assert with_store(path, total_of) == [100 * int(written), 0, 0]


READ_ONLY = """
async def main():
    steps = await asyncio.to_thread(opening.scripts)  # what this imports, nobody may read
    if os.getuid() == 0:
        os.setuid(int(told[0]))
    store = await SqliteStore.open(Path(path), FakeClock(), steps=steps)
    try:
        await store.check()
    except StoreUnavailableError as error:
        print(str(error).replace(" ", "_"))
    try:
        await store.commit([commit((await store.epochs())["m"], delta())])
    except StoreUnavailableError as error:
        print(str(error).replace(" ", "_"))
    print(*await total_of(store))
    await store.close()

asyncio.run(main())
"""


def test_a_file_that_may_only_be_read_is_read():
    # Not below pytest's folder, into which nobody else may look.
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "store.db"

        async def fill(store):
            await store.commit([commit(await made(store), delta(0, (1, 2, 3)))])

        with_store(path, fill)
        folder.chmod(0o777)
        path.chmod(0o444)

        *refusals, one, two, three = said(child(READ_ONLY, path, NOBODY))

        assert [refusal.partition("_(")[0] for refusal in refusals] == ["the_database_is_read-only"] * 2
        assert (one, two, three) == ("1", "2", "3")
    finally:
        shutil.rmtree(folder)
