"""What is SQLite's own: opening files, versions, failures, and that nothing grows for ever."""

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from inspect import iscoroutinefunction, signature

import pytest
from serving import wait_until
from stores import (
    EVER_US,
    WINDOW_US,
    FakeClock,
    commit,
    delta,
    episode,
    evaluation,
    made,
    mark,
    merge_sketches,
    notice,
    reference,
    series,
    step,
    total_of,
)

from service.errors import StoreUnavailableError
from service.ports import LEARNING, Activation, Keeping, Store
from service.storage import codec
from service.storage.memory import MemoryStore
from service.storage.sqlite import SqliteStore, opening

NEXT_STEPS = [
    *opening.scripts(),
    "CREATE TABLE extras (id INTEGER PRIMARY KEY);\nALTER TABLE models ADD COLUMN extra TEXT DEFAULT 'new';\n",
]


async def opened(path, **options):
    return await SqliteStore.open(path, FakeClock(), **options)


def with_store(path, scenario, **options):
    async def run():
        store = await opened(path, **options)
        try:
            return await scenario(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def pragma(store, text):
    """Set or read a pragma of the writer."""
    return await store._lanes.writer.run(lambda connection: connection.execute(f"PRAGMA {text}").fetchone())


def version_of(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


# --- opening


def test_a_new_file_has_the_version_and_a_log(tmp_path):
    async def scenario(store):
        assert await pragma(store, "journal_mode") == ("wal",)
        assert await pragma(store, "synchronous") == (1,)
        assert await pragma(store, "user_version") == (len(opening.scripts()),)

    with_store(tmp_path / "store.db", scenario)


def test_durability_against_power_cuts_syncs_every_commit(tmp_path):
    async def scenario(store):
        assert await pragma(store, "synchronous") == (2,)
        epoch = await made(store)
        await store.commit([commit(epoch, delta())])

    with_store(tmp_path / "store.db", scenario, durability="power")


def test_a_path_may_hold_any_character(tmp_path):
    path = tmp_path / "a b?mode=ro&x#%41é.db"

    with_store(path, made)

    assert path.exists()


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be taken for one" * 99, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_what_is_not_a_database_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "store.db"
    path.write_bytes(content)

    with pytest.raises(StoreUnavailableError, match=r"not a SQLite database|damaged"):
        asyncio.run(opened(path))

    assert path.read_bytes() == content


def test_a_database_of_somebody_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "store.db"
    for statements in ("CREATE TABLE theirs (id)", "PRAGMA user_version = 1", "PRAGMA application_id = 7"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(statements)
            connection.commit()
        before = path.read_bytes()

        with pytest.raises(StoreUnavailableError, match="not one of Driftline's"):
            asyncio.run(opened(path))

        assert path.read_bytes() == before
        path.unlink()


def test_a_folder_that_is_not_there_is_named_as_the_reason(tmp_path):
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        asyncio.run(opened(tmp_path / "nowhere" / "store.db"))


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "store.db").touch()

    with_store(tmp_path / "store.db", made)


def test_a_file_without_a_log_that_somebody_reads_is_waited_for_and_then_refused(tmp_path):
    path = tmp_path / "store.db"
    with_store(path, made)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM models").fetchone()

        with pytest.raises(StoreUnavailableError, match="another process"):
            asyncio.run(opened(path, lock_timeout_s=0.01))

    with_store(path, lambda store: store.check())


def test_where_there_can_be_no_log_there_is_no_store():
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(StoreUnavailableError, match="local disk"):
        opening._write_ahead(connection)


# --- versions


def test_an_older_file_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path):
    path = tmp_path / "store.db"

    async def fill(store):
        await store.commit([commit(await made(store), delta(0, (1, 2, 3)), marks=[mark()])])

    async def look(store):
        assert await total_of(store) == [1, 2, 3]
        assert await store.marks("m", ["k"]) == [mark()]

    with_store(path, fill)
    with_store(path, look, steps=NEXT_STEPS)

    assert version_of(path) == len(NEXT_STEPS)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT extra FROM models").fetchall() == [("new",)]


def test_a_later_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "store.db"
    with_store(path, made)
    opening.prepare(path, NEXT_STEPS, lock_timeout_s=1)
    before = path.read_bytes()

    with pytest.raises(StoreUnavailableError, match="written by a later Driftline"):
        asyncio.run(opened(path))

    assert path.read_bytes() == before


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "store.db"
    with_store(path, made)

    with pytest.raises(StoreUnavailableError):
        asyncio.run(opened(path, steps=[*NEXT_STEPS, "CREATE TABLE extras (id);"]))

    assert version_of(path) == len(opening.scripts())
    with_store(path, lambda store: store.models())


def test_every_statement_of_the_schema_is_run(tmp_path):
    with_store(tmp_path / "store.db", made)
    with closing(sqlite3.connect(":memory:")) as whole, closing(sqlite3.connect(tmp_path / "store.db")) as ours:
        for script in opening.scripts():
            whole.executescript(script)
        query = "SELECT type, name, sql FROM sqlite_master ORDER BY name"

        assert ours.execute(query).fetchall() == whole.execute(query).fetchall()


# --- failures


def writes(store, epoch):
    """Every call that writes, made so that it has something to write."""
    bound_us = 9 * WINDOW_US
    keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US, coarsen_before_us=bound_us)
    big = commit(epoch, *(delta(pane, tuple(range(pane, pane + 3))) for pane in range(2_000)))
    return {
        "check": store.check,
        "commit": lambda: store.commit([big]),
        "sweep": lambda: store.sweep([keeping], 0, 9),
        "put_model": lambda: store.put_model("m" * 99_999, b"0" * 999_999, "api", None),
        "delete_model": lambda: store.delete_model("m"),
        "put_reference": lambda: store.put_reference(reference(), b"0" * 999_999),
        "delete_reference": lambda: store.delete_reference("m", "unused"),
        "activate": lambda: store.activate("m", epoch, Activation(version="1", reference_id="r" * 999_999, from_us=None, at_us=1)),
        "record": lambda: store.record(step(epoch, until=1, evaluations=[evaluation(document=b"0" * 999_999)])),
        "put_episode": lambda: store.put_episode(episode(document=b"0" * 999_999), None, []),
        "enqueue": lambda: store.enqueue([notice("big", body=b"0" * 999_999)]),
        "claim": lambda: store.claim("ci", "me", 2**60, 9),
        "settle": lambda: store.settle("me", []),
        "retry_delivery": lambda: store.retry_delivery("n"),
        "set_target_disabled": lambda: store.set_target_disabled("ci", "0" * 999_999),
        "attend": lambda: store.attend("m" * 999_999, 10**12),
        "leave": lambda: store.leave("me"),
        "hold": lambda: store.hold(["m"], "m" * 999_999, 10**12),
        "release": lambda: store.release(["m"], "me"),
    }  # fmt: skip


def reads(store):
    """Every call that only reads."""
    return {
        "marks": lambda: store.marks("m", ["k"]),
        "panes": lambda: store.panes(series(), 0, EVER_US),
        "rows_by_window": lambda: store.rows_by_window(series(), 0, EVER_US),
        "progress": store.progress,
        "models": store.models,
        "model": lambda: store.model("m"),
        "epochs": store.epochs,
        "references": lambda: store.references("m"),
        "reference": lambda: store.reference("m", "r"),
        "reference_document": lambda: store.reference_document("m", "r"),
        "evaluations": lambda: store.evaluations("m", "1", size=None, first_us=None, last_us=None, limit=9),
        "alert": lambda: store.alert("m", "1"),
        "episodes": lambda: store.episodes(model=None, open_only=False, limit=9),
        "episode": lambda: store.episode("e"),
        "decisions": lambda: store.decisions("m", "1", 0, EVER_US),
        "deliveries": lambda: store.deliveries(state=None, target=None, limit=9),
        "outbox_counts": store.outbox_counts,
        "targets_disabled": store.targets_disabled,
    }


async def some(store):
    """A store with something for each of the writing calls to work on; the model's epoch."""
    epoch = await made(store)
    await store.put_reference(reference("unused"), b"")
    await store.commit([commit(epoch, delta(1), delta(2))])
    await store.enqueue([notice()])
    await store.check()
    store._clock.us += 2_000_000
    return epoch


CALLS = {name: getattr(Store, name) for name in dir(Store) if iscoroutinefunction(getattr(Store, name))}
"""Of the port, those that it shares with what counts alone included."""


def test_both_lists_name_every_call_of_the_port():
    store = MemoryStore(FakeClock())

    assert CALLS.keys() == {*writes(store, 0), *reads(store), "now_us", "close", "backup"}


@pytest.mark.parametrize("kind", [SqliteStore, MemoryStore])
def test_a_store_has_the_signatures_of_the_port(kind):
    for name, call in CALLS.items():
        assert signature(getattr(kind, name)) == signature(call)


# Whatever else they do, these do not write more pages than are free, and so go through in a full store.
FREEING = {"delete_model", "delete_reference", "settle", "retry_delivery", "leave", "release", "claim", "sweep"}


def test_a_full_store_says_so_loses_nothing_and_works_again_when_there_is_room(tmp_path):
    async def scenario(store):
        epoch = await some(store)
        (pages,) = await pragma(store, "page_count")
        await pragma(store, f"max_page_count = {pages}")

        for name, call in writes(store, epoch).items():
            if name not in FREEING:
                for _ in range(2):
                    with pytest.raises(StoreUnavailableError, match="full"):
                        await call()
        assert await total_of(store) == [2, 0, 0]
        assert await store.epochs() == {"m": epoch}

        await pragma(store, f"max_page_count = {2**30}")
        await store.check()
        await store.commit([commit(epoch, delta(2))])
        assert await total_of(store) == [3, 0, 0]
        for call in writes(store, epoch).values():
            await call()

    with_store(tmp_path / "store.db", scenario)


def test_a_full_store_can_still_be_tidied(tmp_path):
    async def scenario(store):
        epoch = await some(store)
        await store.commit([commit(epoch, *(delta(pane) for pane in range(3_000)))])
        (pages,) = await pragma(store, "page_count")
        await pragma(store, f"max_page_count = {pages}")
        keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US, expire_before_us=EVER_US)
        with pytest.raises(StoreUnavailableError):
            await store.check()

        await store.sweep([keeping], 0, 9)

        await store.check()
        await store.commit([commit(epoch, delta(3_001))])

    with_store(tmp_path / "store.db", scenario)


def test_a_store_that_has_become_read_only_says_so_and_is_still_read(tmp_path):
    async def scenario(store):
        epoch = await some(store)
        await pragma(store, "query_only = 1")

        for name, call in writes(store, epoch).items():
            if name not in {"settle", "release", "retry_delivery"}:  # nothing to write
                with pytest.raises(StoreUnavailableError, match="read-only"):
                    await call()
        for call in reads(store).values():
            await call()

        await pragma(store, "query_only = 0")
        await store.check()

    with_store(tmp_path / "store.db", scenario)


def test_a_store_that_another_process_holds_says_so_and_goes_on_afterwards(tmp_path):
    path = tmp_path / "store.db"

    async def scenario(store):
        epoch = await some(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for call in writes(store, epoch).values():
                with pytest.raises(StoreUnavailableError, match="another process"):
                    await call()
            for call in reads(store).values():
                await call()
            other.execute("ROLLBACK")
        await store.commit([commit(epoch, delta(2))])
        assert await total_of(store) == [3, 0, 0]

    with_store(path, scenario, lock_timeout_s=0.01)


def test_every_call_of_a_closed_store_says_so(tmp_path):
    async def scenario(store):
        epoch = await some(store)
        await store.close()
        for call in (*writes(store, epoch).values(), *reads(store).values(), lambda: store.backup(tmp_path / "b")):
            with pytest.raises(StoreUnavailableError, match="closed"):
                await call()

    with_store(tmp_path / "store.db", scenario)


def test_a_file_that_is_damaged_is_told_of_by_every_call(tmp_path):
    path = tmp_path / "store.db"

    async def scenario(store):
        epoch = await some(store)
        await store.close()
        store = await opened(path)
        path.write_bytes(b"\xff" * path.stat().st_size)
        for call in (*writes(store, epoch).values(), *reads(store).values()):
            with pytest.raises(StoreUnavailableError, match=r"not a SQLite database|damaged"):
                await call()
        await store.close()

    with_store(path, scenario)


def test_a_failure_of_the_disk_is_over_when_the_disk_is_well_again(tmp_path):
    path = tmp_path / "store.db"

    async def scenario(store):
        epoch = await some(store)
        await store.close()
        store = await opened(path)
        (tmp_path / "away").mkdir()
        for file in tmp_path.glob("store.db*"):
            file.rename(tmp_path / "away" / file.name)
        for call in (*writes(store, epoch).values(), *reads(store).values()):
            with pytest.raises(StoreUnavailableError, match="cannot be opened"):
                await call()
        for file in (tmp_path / "away").glob("*"):
            file.rename(tmp_path / file.name)
        await store.check()
        assert await total_of(store) == [2, 0, 0]
        await store.close()

    with_store(path, scenario)


def test_no_text_of_an_error_quotes_what_was_written(tmp_path):
    async def scenario(store):
        epoch = await made(store)
        twice = [mark("secret key"), mark("secret key")]
        with pytest.raises(StoreUnavailableError) as caught:
            await store.commit([commit(epoch, delta(), marks=twice)])
        assert "secret" not in str(caught.value)
        assert await total_of(store) == [0, 0, 0]

    with_store(tmp_path / "store.db", scenario)


# --- lanes


def test_a_read_does_not_wait_for_a_write(tmp_path):
    path = tmp_path / "store.db"

    async def scenario(store):
        epoch = await made(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(store.commit([commit(epoch, delta())]))
            assert await total_of(store) == [0, 0, 0]
            assert not waiting.done()
            other.execute("ROLLBACK")
        await waiting
        assert await total_of(store) == [1, 0, 0]

    with_store(path, scenario)


def test_closing_waits_for_what_was_begun(tmp_path):
    path = tmp_path / "store.db"

    async def scenario(store):
        epoch = await made(store)
        begun = [asyncio.create_task(store.commit([commit(epoch, delta())])) for _ in range(50)]
        await asyncio.sleep(0)
        await store.close()
        results = await asyncio.gather(*begun)
        assert {committed.status for (committed,) in results} == {"committed"}

    with_store(path, scenario)
    assert with_store(path, total_of) == [50, 0, 0]


def test_a_caller_that_gives_up_stops_only_what_has_not_begun(tmp_path):
    async def scenario(store):
        epoch = await made(store)
        begun = [asyncio.create_task(store.commit([commit(epoch, delta())])) for _ in range(20)]
        await asyncio.sleep(0)
        for task in begun[1::2]:
            task.cancel()
        results = await asyncio.gather(*begun, return_exceptions=True)
        done = sum(not isinstance(result, asyncio.CancelledError) for result in results)
        assert done == 10
        (total, *_) = await total_of(store)
        assert 10 <= total <= 20

    with_store(tmp_path / "store.db", scenario)


# --- folds that lose a race


@pytest.mark.parametrize("racing", [1, 2, 3])
def test_a_fold_whose_counts_another_process_has_folded_meanwhile_does_nothing(tmp_path, racing):
    path = tmp_path / "store.db"
    keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US, coarsen_before_us=WINDOW_US)
    merges = []

    def sketch(pane, size):
        return replace(delta(pane, reference_id=LEARNING), payload=codec.wrap_sketch(size))

    async def others_turn(store):
        await store.sweep([keeping], 0, 9)
        await store.commit([commit((await store.epochs())["m"], sketch(2, b"1000"))])

    def slowly(sketches):
        merges.append(sketches)
        if len(merges) == racing:  # of two folds and a coarsening, in turn
            with_store(path, others_turn, merge_sketches=merge_sketches)
        return merge_sketches(sketches)

    async def scenario(store):
        epoch = await made(store)
        await store.commit([commit(epoch, sketch(1, b"1"), sketch(1, b"10"), sketch(2, b"100"), sketch(2, b"0"))])
        await store.sweep([keeping], 0, 9)
        panes = await store.panes(series(reference_id=LEARNING), 0, EVER_US)
        total = merge_sketches([codec.unwrap_sketch(payload) for pane in panes for payload in pane.payloads])
        assert (int(total), sum(pane.rows for pane in panes)) == (1111, 5)
        await store.sweep([keeping], 0, 9)
        (pane,) = await store.panes(series(reference_id=LEARNING), 0, EVER_US)
        assert (pane.start_us, pane.payloads) == (0, (codec.wrap_sketch(b"1111"),))

    with_store(path, scenario, merge_sketches=slowly)
    assert len(merges) > racing


# --- copies


def test_a_backup_while_commits_go_on_is_of_one_moment(tmp_path):
    async def scenario(store):
        epoch = await made(store)
        stop = asyncio.Event()

        async def writing():
            for i in range(10_000):
                if stop.is_set():
                    return
                # In every state of the store, both segments have the same rows.
                await store.commit([commit(epoch, delta(i % 50), delta(i % 50, segment="eu"))])

        writer = asyncio.create_task(writing())
        for i in range(5):
            await store.backup(tmp_path / f"{i}.db")
        stop.set()
        await writer

    with_store(tmp_path / "store.db", scenario)
    for i in range(5):
        one, other = (
            with_store(tmp_path / f"{i}.db", lambda s, of=of: total_of(s, series(segment=of))) for of in ("", "eu")
        )
        assert one == other
    assert {path.suffix for path in tmp_path.glob("*.db*")} == {".db"}


def test_a_backup_onto_a_store_that_is_open_is_refused(tmp_path):
    async def scenario(store):
        await made(store)
        with pytest.raises(StoreUnavailableError, match="open on this file"):
            await store.backup(tmp_path / "store.db")
        await store.check()

    with_store(tmp_path / "store.db", scenario)


def test_a_backup_that_cannot_be_written_leaves_no_half_of_it(tmp_path):
    (tmp_path / "folder").mkdir()

    async def scenario(store):
        for path in (tmp_path / "folder", tmp_path / "nowhere" / "b.db"):
            with pytest.raises(StoreUnavailableError, match="backup"):
                await store.backup(path)
        await store.check()

    with_store(tmp_path / "store.db", scenario)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "store.db"]


# --- bounds


def test_neither_the_file_nor_its_log_grows_with_traffic(tmp_path):
    path = tmp_path / "store.db"
    payload = codec.encode_dense([i * 7919 % 251 + 1 for i in range(20_000)])
    sizes = []

    async def scenario(store):
        epoch = await made(store)
        for turn in range(12):
            deltas = [replace(delta(turn * 12 + i % 12), payload=payload) for i in range(60)]
            await store.commit([commit(epoch, *deltas, marks=[mark(f"{turn}-{i}") for i in range(60)])])
            keeping = Keeping(
                model="m",
                version="1",
                base_window_us=WINDOW_US,
                coarsen_before_us=turn * WINDOW_US,
                expire_before_us=(turn - 1) * WINDOW_US,
            )
            await store.sweep([keeping], 0, 100)
            await pragma(store, "wal_checkpoint(PASSIVE)")
            sizes.append((path.stat().st_size, (tmp_path / "store.db-wal").stat().st_size))

    with_store(path, scenario)

    (file, log), (last_file, last_log) = sizes[3], sizes[-1]
    assert last_file <= file * 1.1
    assert last_log <= max(log * 1.5, 16 << 20)
    assert last_file < 4 << 20


def test_the_log_is_copied_to_the_file_beside_the_commits(tmp_path):
    path = tmp_path / "store.db"
    payload = os.urandom(1 << 20)

    async def scenario(store):
        epoch = await made(store)
        for turn in range(10):  # a fifth of what the commits would wait for
            await store.commit([commit(epoch, replace(delta(turn), payload=payload))])
        await asyncio.to_thread(wait_until, lambda: path.stat().st_size > 5 * len(payload))

    with_store(path, scenario)


def test_a_deleted_model_gives_its_room_back(tmp_path):
    path = tmp_path / "store.db"
    payload = codec.encode_dense([i * 7919 % 251 + 1 for i in range(20_000)])

    async def scenario(store):
        sizes = []
        for _ in range(4):
            epoch = await made(store)
            deltas = [replace(delta(i), payload=payload) for i in range(60)]
            await store.commit([commit(epoch, *deltas, marks=[mark()])])
            await store.record(step(epoch, evaluations=[evaluation(i, document=payload) for i in range(60)]))
            await store.delete_model("m")
            await store.sweep([], 0, 9)
            sizes.append((await pragma(store, "page_count"))[0])
        assert sizes[-1] <= sizes[0] + 16
        tables = ("deltas", "panes", "series", "marks", "evaluations", "deleted_models")
        left = await store._lanes.reader.read(
            lambda c: [c.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]  # noqa: S608 - ours
        )
        assert left == [0] * 6

    with_store(path, scenario)


def test_housekeeping_works_in_bounded_batches(tmp_path):
    async def scenario(store):
        epoch = await made(store)
        await store.commit(
            [commit(epoch, *(delta(i % 3) for i in range(1_700)), marks=[mark(str(i)) for i in range(2_500)])]
        )
        swept = await store.sweep([], 0, 100)
        assert (swept.deltas_folded, swept.marks_evicted) == (1_700, 2_400)
        assert await total_of(store) == [1_700, 0, 0]
        assert [len(pane.payloads) for pane in await store.panes(series(), 0, EVER_US)] == [1, 1, 1]

    with_store(tmp_path / "store.db", scenario)


def test_a_check_is_made_once_a_second_and_again_after_a_failure(tmp_path):
    async def scenario(store):
        async def made_so_far():
            return (await store._lanes.reader.read(lambda c: c.execute("SELECT max(id) FROM health").fetchone()))[0]

        for _ in range(3):
            await store.check()
        assert await made_so_far() == 1
        store._clock.us += 1_000_000
        await store.check()
        assert await made_so_far() == 2
        store._clock.us -= 5_000_000  # set back: a yes from the future is none
        await store.check()
        assert await made_so_far() == 3
        store._clock.us += 2_000_000
        await pragma(store, "query_only = 1")
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                await store.check()
        await pragma(store, "query_only = 0")
        await store.check()
        assert await made_so_far() == 4

    with_store(tmp_path / "store.db", scenario)
