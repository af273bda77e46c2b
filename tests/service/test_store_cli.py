"""`driftline store` on databases that are sound, damaged, foreign, or in use."""

import asyncio
import re
import sqlite3
from contextlib import asynccontextmanager, closing

import numpy as np
import pytest
from stores import FakeClock

from service.cli.store import backup
from service.ports import Commit, Delta, OutboxNotice, ReferenceRow
from service.settings import StoreSettings
from service.storage import codec
from service.storage.sqlite import SqliteStore

ROWS = 7


@pytest.fixture
def run(run):
    return lambda *args: run("store", *args)


@asynccontextmanager
async def filled(path):
    """An open store with a model, a reference, some rows and a notice."""
    store = await SqliteStore.open(path, FakeClock(1_330_000_000_000_000))
    try:
        await store.put_model("bikes", b"{}", "api", None)
        row = ReferenceRow(
            id="sha256:x", model="bikes", version="1", state="ready", created_at_us=1, updated_at_us=1, summary=b"{}"
        )
        await store.put_reference(row, b"document")
        model = await store.model("bikes")
        delta = Delta(
            version="1",
            reference_id="sha256:x",
            pane_start_us=0,
            window_start_us=0,
            rows=ROWS,
            late=0,
            payload=codec.encode_dense(np.arange(1, 4000)),
        )
        commit = Commit(
            model="bikes", epoch=model.epoch, deltas=[delta], marks=(), newest_us={"1": 1_331_000_000_500_000}
        )
        (committed,) = await store.commit([commit])
        assert committed.status == "committed"
        notice = OutboxNotice(
            id="n:ci", target="ci", order_key="e", sequence=1, model="bikes", created_at_us=1, notice=b"{}"
        )
        await store.enqueue([notice])
        yield store
    finally:
        await store.close()


@pytest.fixture
def database(tmp_path):
    async def fill():
        async with filled(tmp_path / "driftline.db"):
            pass

    asyncio.run(fill())
    return tmp_path / "driftline.db"


def test_a_check_shows_what_is_kept(run, database):
    code, out, err = run("check", "--store", database)

    assert (code, err) == (0, "")
    assert re.search(r"schema \d+, \d+ KiB, of which \d+ KiB free", " ".join(out.split()))
    assert re.search(r"bikes +1 +1 \(0 KiB\) +7 +1 +\d+ KiB +0 \(0 KiB\) +0 +0 +2012-03-06T02:13:20Z", out)
    assert "Deliveries: 1 pending" in out
    assert out.endswith("sound\n")


def test_a_check_writes_nothing_to_the_database(run, database):
    before = database.read_bytes()

    run("check", "--store", database)

    assert database.read_bytes() == before


def test_a_directory_means_the_database_in_it(run, database):
    assert run("check", "--store", database.parent)[0] == 0


def test_a_copy_of_a_database_in_use_is_a_database(run, database, tmp_path):
    async def copied():
        async with filled(tmp_path / "used.db"):
            # The command runs its own connections; that it blocks this loop does not matter.
            return run("backup", tmp_path / "copy.db", "--store", tmp_path / "used.db")

    code, out, err = asyncio.run(copied())

    assert (code, err) == (0, "")
    assert "a copy of" in out
    code, out, _ = run("check", "--store", tmp_path / "copy.db")
    assert code == 0
    assert re.search(r"bikes .* 7 ", out)

    async def served():
        store = await SqliteStore.open(tmp_path / "copy.db", FakeClock())
        try:
            return await store.epochs()
        finally:
            await store.close()

    assert list(asyncio.run(served())) == ["bikes"]


def test_an_earlier_copy_is_replaced_and_nothing_else(run, database, tmp_path):
    copy, other = tmp_path / "copy.db", tmp_path / "thesis.txt"
    other.write_text("do not lose")

    assert [run("backup", copy, "--store", database)[0] for _ in range(2)] == [0, 0]

    for path in (other, database):
        code, _, err = run("backup", path, "--store", database)
        assert code == 2
        assert "left alone" in err
    assert other.read_text() == "do not lose"
    assert run("check", "--store", database)[0] == 0


def test_a_copy_that_cannot_be_written_is_told(run, database, tmp_path):
    code, _, err = run("backup", tmp_path / "no" / "copy.db", "--store", database)

    assert code == 2
    assert "No such file" in err


@pytest.mark.parametrize("command", ["check", "backup"])
def test_what_is_no_database_of_ours_is_refused(run, tmp_path, command):
    arguments = [tmp_path / "copy.db"] if command == "backup" else []
    foreign, text = tmp_path / "foreign.db", tmp_path / "text.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE t (x)")
    text.write_text("hello")

    for path, said in ((foreign, "not a database"), (text, "not a database"), (tmp_path / "no.db", "No such file")):
        code, _, err = run(command, *arguments, "--store", path)
        assert code == 2
        assert said in err
    assert not (tmp_path / "no.db").exists()
    assert not (tmp_path / "copy.db").exists()


def test_a_database_of_a_later_program_is_left_alone(run, database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 99")

    code, _, err = run("check", "--store", database)

    assert code == 2
    assert "version 99" in err


def test_a_database_of_an_earlier_program_is_told_and_left_as_it_is(run, database):
    with closing(sqlite3.connect(database)) as connection:
        (known,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {known - 1}")

    code, out, _ = run("check", "--store", database)

    assert code == 0
    assert f"schema {known - 1} (the next start brings it to {known})" in " ".join(out.split())


def test_a_database_without_models_is_sound(run, tmp_path):
    async def made():
        store = await SqliteStore.open(tmp_path / "new.db", FakeClock())
        await store.close()

    asyncio.run(made())

    code, out, _ = run("check", "--store", tmp_path / "new.db")

    assert code == 0
    assert "Deliveries" not in out
    assert "bikes" not in out


def test_a_payload_of_no_kind_is_found(run, database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE deltas SET payload = x'00'")
        connection.commit()

    code, _, err = run("check", "--store", database)

    assert code == 2
    assert "1 stored counts are damaged" in err


def test_a_flipped_bit_in_counts_is_found(run, database):
    """SQLite has no checksums: to its own check the file is sound."""
    with closing(sqlite3.connect(database)) as connection:
        (payload,) = connection.execute("SELECT payload FROM deltas").fetchone()
        broken = bytearray(payload)
        broken[-1] ^= 1
        connection.execute("UPDATE deltas SET payload = ?", (bytes(broken),))
        connection.commit()

    code, out, err = run("check", "--store", database)

    assert code == 2
    assert "model bikes: 1 stored counts are damaged" in err
    assert "sound" not in out


def test_a_damaged_page_is_found(run, database):
    content = bytearray(database.read_bytes())
    content[4096 * 2 : 4096 * 3] = b"\xff" * 4096
    database.write_bytes(content)

    code, out, err = run("check", "--store", database)

    assert code == 2
    assert "damaged" in err
    assert "sound" not in out


def test_the_database_is_by_default_the_one_that_is_served():
    (option,) = [parameter for parameter in backup.params if parameter.name == "path"]

    assert option.default == StoreSettings().path
