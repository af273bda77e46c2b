"""Copies of a store, from a file to a Redis and back: all that can be read is as it was, and a service counts on."""

import asyncio
import os

import pytest
from click.testing import CliRunner
from redis_cluster import shared_cluster
from redis_server import shared_server
from stores import (
    EVER_US,
    WINDOW_US,
    FakeClock,
    commit,
    delta,
    episode,
    evaluated,
    evaluation,
    made,
    mark,
    merge_sketches,
    notice,
    reference,
    series,
    step,
    turn,
)

from service.app.copying import copy_store
from service.cli.main import cli
from service.errors import DeclarationError, StoreUnavailableError
from service.ports import Activation, AlertChange, EpisodeRow, Settled
from service.storage.codec import wrap_sketch
from service.storage.redis import RedisStore, keys
from service.storage.sqlite import SqliteStore

MANY = 450
"""Marks: more than two pages."""


@pytest.fixture
def redis_url():
    shared_server().empty()
    return shared_server().url


async def opened(place, clock):
    if "://" in str(place):
        return await RedisStore.open(str(place), clock, merge_sketches=merge_sketches)
    return await SqliteStore.open(place, clock, merge_sketches=merge_sketches)


async def filled(store, clock):
    """Put something into every corner of a store."""
    epoch = await made(store)
    await store.put_reference(reference("r"), b"document")
    await store.put_reference(reference("job", state="failed", created_at_us=5), None)
    await store.put_reference(reference("lonely", model="never made"), b"x")
    epoch = await store.activate("m", epoch, Activation(version="1", reference_id="r", from_us=None, at_us=3))
    marks = [mark(f"k{i}", b"d%d" % i, b"a" * i) for i in range(MANY)]
    await store.commit([commit(epoch, delta(0, late=1), delta(13), marks=marks)])
    await store.sweep([], 0, 10_000)
    clock.us += 7
    sketch = delta(0, reference_id="learning", version="a/b:\u00e9", segment="s")
    sketch = type(sketch)(
        **{**{name: getattr(sketch, name) for name in sketch.__slots__}, "payload": wrap_sketch(b"4")}
    )
    await store.commit([commit(epoch, delta(0), sketch, marks=[mark("later")], turn=turn(41))])
    await store.record(
        step(
            epoch,
            until=1,
            evaluations=[evaluation(0, document=b"one"), evaluation(0, size="6h", document=b"\xffsix")],
            alert=AlertChange(version="1", revision=0, document=b"state:1"),
            episodes=[episode("e1"), episode("e2", opened_at_us=5)],
            notices=[
                notice("n1"),
                notice("n2", sequence=2, created_at_us=7),
                notice("dead", target="t/2", order_key="x:y"),
            ],
            decisions=[(WINDOW_US, b"first"), (WINDOW_US, b"second")],
        )
    )
    await store.commit([commit(epoch, delta(1))])  # makes a window dirty
    row = EpisodeRow(id="e2", model="m", version="1", opened_at_us=5, open=False, revision=1, document=b"closed")
    assert await store.put_episode(row, None, [])
    (claimed,) = await store.claim("t/2", "o", EVER_US // 2, 1)
    await store.settle("o", [Settled(id=claimed.id, state="dead", next_attempt_us=0, last="410")])
    await store.set_target_disabled("t/2", "gone")
    await made(store, "another")


async def everything(store):
    """All that the port can read."""
    found = {"models": await store.models(), "epochs": await store.epochs(), "progress": await store.progress()}
    for name in ("m", "another", "never made"):
        found[name, "references"] = await store.references(name)
        for one in ("r", "job", "lonely"):
            found[name, one] = await store.reference(name, one), await store.reference_document(name, one)
        found[name, "marks"] = await store.marks(name, [*(f"k{i}" for i in range(MANY)), "later", "none"])
        found[name, "episodes"] = await store.episodes(model=name, open_only=False, limit=99)
        found[name, "decisions"] = await store.decisions(name, "1", -1, EVER_US // 2)
        found[name, "alert"] = await store.alert(name, "1")
        found[name, "evaluations"] = await evaluated(store, name)
    for one in (series(), series(version="a/b:\u00e9", reference_id="learning", segment="s")):
        found["panes", one] = await store.panes(one, 0, EVER_US // 2)
        found["rows", one] = await store.rows_by_window(one, 0, EVER_US // 2)
    found["episodes"] = await store.episodes(model=None, open_only=True, limit=99)
    found["episode"] = await store.episode("e2")
    found["deliveries"] = await store.deliveries(state=None, target=None, limit=99)
    found["outbox"] = await store.outbox_counts()
    found["disabled"] = await store.targets_disabled()
    return found


async def copied(source, target, **options):
    options = {"replace": False} | options
    return await copy_store(str(source), str(target), os.environ, lambda _: lambda *_: None, **options)


@pytest.mark.parametrize("shared", [shared_server, shared_cluster])
def test_a_copy_there_and_back_reads_the_same(shared, tmp_path):
    shared().empty()
    clock, redis_url = FakeClock(), shared().url

    async def scenario():
        first = await opened(tmp_path / "first.db", clock)
        await filled(first, clock)
        expected = await everything(first)
        await first.close()
        numbers = await copied(tmp_path / "first.db", redis_url)
        there = await opened(redis_url, clock)
        in_redis = await everything(there)
        await there.close()
        await copied(redis_url, tmp_path / "second.db")
        back = await opened(tmp_path / "second.db", clock)
        in_file = await everything(back)
        await back.close()
        return numbers, expected, in_redis, in_file

    numbers, expected, in_redis, in_file = asyncio.run(scenario())

    assert numbers["marks"] == MANY + 1
    assert all(numbers.values())
    for name, found in expected.items():
        assert in_redis[name] == found, name
        assert in_file[name] == found, name


@pytest.mark.parametrize("to", ["redis", "file"])
def test_what_goes_on_with_a_copy_counts_no_row_twice(redis_url, tmp_path, to):
    clock = FakeClock()

    async def scenario():
        source, target = (tmp_path / "a.db", redis_url) if to == "redis" else (redis_url, tmp_path / "a.db")
        before = await opened(source, clock)
        await filled(before, clock)
        await before.close()
        await copied(source, target)
        store = await opened(target, clock)
        try:
            epoch = (await store.epochs())["m"]
            (passed,) = await store.commit([commit(epoch, delta(0), turn=turn(41))])
            assert passed.status == "passed"
            (again,) = await store.commit([commit(epoch, delta(0), marks=[mark("k7")])])
            await store.commit([commit(epoch, delta(0, (0, 1, 0)))])
            swept = await store.sweep([], 0, 10_000)
            panes = await store.panes(series(), 0, EVER_US // 2)
            new = await store.put_model("third", b"{}", "api", None)
            alert = AlertChange(version="1", revision=1, document=b"state:2")
            assert await store.record(step(epoch, was=1, until=2, evaluations=[evaluation(1)], alert=alert))
            after = await evaluated(store)
            claimed = await store.claim("ci", "o", EVER_US // 2, 9)
            return again, epoch, new, [pane.rows for pane in panes], swept.deltas_folded, after, claimed
        finally:
            await store.close()

    again, epoch, new, rows, folded, after, claimed = asyncio.run(scenario())

    assert again.status == "duplicate"
    assert new > epoch
    assert rows == [3, 1, 1]
    assert folded >= 2
    assert [(row.size, row.start_us) for row in after] == [("1h", 0), ("6h", 0), ("1h", WINDOW_US)]
    assert [one.id for one in claimed] == ["n1"]


def test_an_interrupted_copy_is_no_store_and_is_begun_anew(redis_url, tmp_path):
    clock = FakeClock()

    async def scenario():
        first = await opened(tmp_path / "first.db", clock)
        await filled(first, clock)
        await first.close()

        def interrupt(_models):
            def done(*_):
                raise KeyboardInterrupt

            return done

        with pytest.raises(KeyboardInterrupt):
            await copy_store(str(tmp_path / "first.db"), redis_url, os.environ, interrupt, replace=False)
        with pytest.raises(StoreUnavailableError, match="a copy was not finished"):
            await opened(redis_url, clock)
        await copied(tmp_path / "first.db", redis_url)
        store = await opened(redis_url, clock)
        found = await everything(store)
        await store.close()
        first = await opened(tmp_path / "first.db", clock)
        expected = await everything(first)
        await first.close()
        assert found == expected

    asyncio.run(scenario())


def test_what_is_not_empty_is_replaced_only_if_that_is_said(redis_url, tmp_path):
    clock = FakeClock()

    async def scenario():
        for place in (tmp_path / "first.db", redis_url):
            store = await opened(place, clock)
            await made(store, "m" if place == redis_url else "other")
            await store.close()
        with pytest.raises(StoreUnavailableError, match="--replace"):
            await copied(tmp_path / "first.db", redis_url)
        with pytest.raises(StoreUnavailableError, match="--replace"):
            await copied(redis_url, tmp_path / "first.db")
        await copied(tmp_path / "first.db", redis_url, replace=True)
        store = await opened(redis_url, clock)
        try:
            return list(await store.epochs())
        finally:
            await store.close()

    assert asyncio.run(scenario()) == ["other"]


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ("none.db", "x.db", "none.db"),
        ("http://centre", "x.db", "a store of its own"),
        ("x.db", "x.db", "the same"),
        ("redis://u:p@h", "x.db", "no password"),
    ],
)
def test_what_cannot_be_copied_is_named(tmp_path, monkeypatch, source, target, text):
    monkeypatch.chdir(tmp_path)

    with pytest.raises((StoreUnavailableError, DeclarationError), match=text):
        asyncio.run(copied(source, target))
    assert not list(tmp_path.iterdir())


def test_a_change_while_it_is_copied_is_found(redis_url, tmp_path):
    clock = FakeClock()

    async def scenario():
        store = await opened(tmp_path / "first.db", clock)
        await filled(store, clock)
        changed = await SqliteStore.open(tmp_path / "first.db", clock)

        def watch(_models):
            def done(stage, _number):
                if stage == "copied":
                    with shared_server().client() as client:
                        client.hset(keys.model("m") + "alerts", "1/", b"9:other")

            return done

        with pytest.raises(StoreUnavailableError, match="is a service still running"):
            await copy_store(str(tmp_path / "first.db"), redis_url, os.environ, watch, replace=False)
        await changed.close()
        await store.close()

    asyncio.run(scenario())


def test_the_command_says_what_was_copied(redis_url, tmp_path):
    clock = FakeClock()

    async def prepared():
        store = await opened(tmp_path / "first.db", clock)
        await filled(store, clock)
        await store.close()

    asyncio.run(prepared())

    done = CliRunner().invoke(cli, ["store", "copy", str(tmp_path / "first.db"), redis_url])

    assert done.exit_code == 0, done.output
    assert "every row of the copy is as it was" in done.output
    assert str(MANY + 1) in done.output


@pytest.mark.parametrize("command", [["check"], ["backup", "out.db"]])
def test_commands_for_files_say_what_to_do_with_a_redis(command):
    done = CliRunner().invoke(cli, ["store", *command, "--store", "redis://cache"])

    assert done.exit_code == 2
    assert "store copy" in done.output
