"""Processes on one SQLite file, of which one dies: who comes next does not wait for its leases."""

import asyncio
import os
import signal

from serving import Process, wait_until
from stores import FakeClock, made
from test_fleet import sections, shown

from service.storage.sqlite import SqliteStore
from service.storage.sqlite.succession import Succession


def test_a_lock_that_is_held_is_not_taken_and_one_that_was_given_back_tells_by_whom(tmp_path):
    one, two = (Succession(tmp_path / "store.db") for _ in range(2))

    assert one.take("one") is None
    assert one.take("one") is None
    assert two.take("two") is None
    one.close()
    assert two.take("two") == "one"
    assert two.take("two") is None
    two.close()
    assert one.take("one again") == "two"
    one.close()


def test_where_there_is_no_place_for_a_lock_nobody_is_taken_for_dead(tmp_path):
    assert Succession(tmp_path / "nowhere" / "store.db").take("one") is None


def test_roles_of_a_store_that_is_open_are_kept_and_those_of_one_that_is_gone_are_free(tmp_path):
    async def scenario():
        clock = FakeClock()
        one, two = [await SqliteStore.open(tmp_path / "store.db", clock) for _ in range(2)]
        await made(one)
        await one.attend("one", 100)
        fences = await one.hold(["m"], "one", 100)
        there = await two.attend("two", 100), await two.hold(["m"], "two", 100)
        await one.close()  # without a word, as one that died
        gone = await two.attend("two", 100), await two.hold(["m"], "two", 100)
        await two.close()
        return fences, there, gone

    fences, there, (members, taken) = asyncio.run(scenario())
    assert there == (["one", "two"], {})
    assert members == ["two"]
    assert taken["m"] > fences["m"]


def test_a_process_that_is_started_again_after_a_kill_evaluates_and_exports_at_once(tmp_path):
    models = ["a", "b", "c"]
    with Process(tmp_path, **sections(tmp_path, models)) as process:
        wait_until(lambda: shown(process) == (models, 3), 20)
        os.kill(process.pid, signal.SIGKILL)

    with Process(tmp_path, **sections(tmp_path, models)) as process:
        assert shown(process)[1] == 3
        wait_until(lambda: shown(process) == (models, 3), 20)
