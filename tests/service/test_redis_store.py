"""The store in Redis: what no other store has: a server that fails, answers that are lost, scripts that are forgotten."""

import asyncio
import os
import signal
import threading
from contextlib import asynccontextmanager
from dataclasses import replace

import msgspec
import pytest
from redis_server import NEWEST, RedisServer, oldest, shared_server
from stores import PANE_US, FakeClock, commit, delta, evaluation, made, mark, merge_sketches, step, total_of

from service.errors import StoreUnavailableError
from service.storage import codec
from service.storage.redis import Connecting, RedisStore, keys
from service.storage.redis.folding import Folding
from service.storage.redis.packing import pack
from service.storage.redis.shrinking import packed_evaluation, unpacked_evaluation

PASSWORD = "correct-horse"  # noqa: S105 - of a server that lives as long as a test


@asynccontextmanager
async def opened(url=None, clock=None):
    """A store on a server, emptied if it is the shared one."""
    if url is None:
        shared_server().empty()
    store = await RedisStore.open(url or shared_server().url, clock, merge_sketches=merge_sketches)
    try:
        yield store
    finally:
        await store.close()


def run(scenario, **kept):
    async def within():
        async with opened(**kept) as store:
            return await scenario(store)

    return asyncio.run(within())


@pytest.fixture
def server():
    own = RedisServer(appendonly="yes", appendfsync="always")
    yield own
    own.close()


def scripts_run():
    """By the shared server, for all its clients."""
    with shared_server().client() as client:
        return client.info("commandstats")["cmdstat_evalsha"]["calls"]


def command(*parts):
    with shared_server().client() as client:
        return client.execute_command(*parts)


# --- time and names


def test_without_a_clock_time_is_the_servers():
    async def scenario(store):
        epoch = await made(store)
        await store.commit([commit(epoch, delta())])
        (progress,) = await store.progress()
        return progress.advanced_at_us, await store.now_us()

    advanced_us, now_us = run(scenario)

    assert 0 <= now_us - advanced_us < 60_000_000
    seconds, rest = command("TIME")
    assert 0 <= seconds * 1_000_000 + rest - now_us < 60_000_000


def test_stamps_sort_as_times_do_and_come_back():
    times = [-(1 << 62), -1, 0, 1, 999, 1 << 53, (1 << 53) + 1, 1 << 62, (1 << 63) - 1]

    stamps = [keys.stamp(us) for us in times]

    assert stamps == sorted(stamps)
    assert {len(stamp) for stamp in stamps} == {20}
    assert [keys.unstamp(stamp.encode()) for stamp in stamps] == times


def test_names_may_hold_what_parts_names_in_keys():
    awkward = "a/b:c d}{%\u00e9"

    async def scenario(store):
        epoch = await made(store, awkward)
        one = delta(version=awkward, reference_id=awkward, segment=awkward)
        await store.commit([commit(epoch, one, model=awkward)])
        await store.sweep([], 0, 9)
        (progress,) = await store.progress()
        return progress.model, progress.version

    assert run(scenario) == (awkward, awkward)


def test_all_keys_of_a_model_are_in_one_slot():
    async def scenario(store):
        epoch = await made(store)
        await store.commit([commit(epoch, delta(), marks=[mark()])])
        await store.record(step(epoch, until=1, evaluations=[evaluation()]))

    run(scenario, clock=FakeClock())

    tags = {key.split(b"{")[1].split(b"}")[0] for key in command("KEYS", "*")}
    assert tags == {b"all", b"m:m"}


def test_a_script_is_given_only_what_it_can_read():
    with pytest.raises(TypeError, match="float"):
        pack({"rows": 1.5})


def test_evaluations_are_kept_compressed_and_read_as_they_were():
    rows = [evaluation(document=b'{"column": 0.125}' * 1_000), evaluation(document=b"")]

    for row in rows:
        assert unpacked_evaluation(packed_evaluation(row)) == row
        assert unpacked_evaluation(msgspec.msgpack.encode(row)) == row
    assert len(packed_evaluation(rows[0])) < 1_000


@pytest.mark.parametrize("value", [b"", b"x", packed_evaluation(evaluation(document=b"x" * 99))[:-1]])
def test_a_damaged_evaluation_is_told_of(value):
    with pytest.raises(StoreUnavailableError, match="damaged"):
        unpacked_evaluation(value)


# --- a server that fails


def test_a_write_whose_answer_was_lost_is_not_done_twice():
    async def scenario(store):
        epoch = await made(store)
        server = store._server
        call = {"known": str(epoch), "epoch": str(epoch + 1), "owner": "api", "configuration": b"{}"}
        given = [(keys.model("m"), call, "a-ticket")]
        return [await server._run("put_model", given) for _ in range(3)], await store.epochs(), epoch

    answers, epochs, epoch = run(scenario)

    assert answers == [[1]] * 3
    assert epochs == {"m": epoch + 1}


def test_a_server_that_has_forgotten_its_scripts_is_told_them_again():
    async def scenario(store):
        epoch = await made(store)
        await store.commit([commit(epoch, delta())])
        command("SCRIPT", "FLUSH")
        results = await store.commit([commit(epoch, delta()), commit(epoch, delta())])
        return [result.status for result in results], await total_of(store)

    assert run(scenario) == (["committed"] * 2, [3, 0, 0])


def test_a_store_goes_on_when_its_server_is_back(server):
    async def scenario(store):
        epoch = await made(store)
        await store.commit([commit(epoch, delta())])
        server.kill()
        with pytest.raises(StoreUnavailableError, match="Redis cannot be reached"):
            await store.commit([commit(epoch, delta())])
        with pytest.raises(StoreUnavailableError):
            await store.check()
        server.start()
        await store.check()
        await store.commit([commit(epoch, delta())])
        return await total_of(store)

    assert run(scenario, url=server.url) == [2, 0, 0]


def test_a_server_that_does_not_answer_is_given_up_in_time(server):
    async def scenario(store):
        epoch = await made(store)
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailableError, match="Redis does not answer in time"):
                await asyncio.wait_for(store.commit([commit(epoch, delta())]), 10)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        await store.commit([commit(epoch, delta(), marks=[mark()])])
        return await store.marks("m", ["k"])

    assert run(scenario, url=server.url) == [mark()]


def test_a_full_server_refuses_and_nothing_is_written(server):
    async def scenario(store):
        epoch = await made(store)
        with server.client() as client:
            client.config_set("maxmemory", "1")
            for call in (store.check(), store.commit([commit(epoch, delta(), marks=[mark()])])):
                with pytest.raises(StoreUnavailableError, match="the memory of Redis is full"):
                    await call
            client.config_set("maxmemory", "0")
        return await total_of(store), await store.marks("m", ["k"])

    assert run(scenario, url=server.url) == ([0, 0, 0], [])


REFUSALS = {
    "the memory of Redis is full": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "not enough replicas": (
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
    "is a replica, and read-only": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "does not permit this user": (("ACL", "SETUSER", "default", "-rpush"), ("ACL", "SETUSER", "default", "+rpush")),
    "something else writes to this Redis": (("RENAME", "counts", f"{keys.model('m')}row"), ("ECHO", "")),
}


@pytest.mark.parametrize("reason", REFUSALS)
@pytest.mark.parametrize("program", [lambda: NEWEST, oldest])
def test_a_server_that_refuses_is_told_of_by_its_reason_also_from_within_a_script(program, reason):
    server = RedisServer(program=program())
    spoil, mend = REFUSALS[reason]

    async def scenario(store):
        epoch = await made(store)
        await store.commit([commit(epoch, delta())])
        with server.client() as client:
            client.set("counts", "of another program")
            client.execute_command(*spoil)
            with pytest.raises(StoreUnavailableError, match=reason) as caught:
                await store.commit([commit(epoch, delta())])
            client.execute_command(*mend)
        return str(caught.value)

    try:
        assert "not known" not in run(scenario, url=server.url)
    finally:
        server.close()


def test_a_password_that_is_missing_or_wrong_is_told_of(server):
    with server.client() as client:
        client.config_set("requirepass", PASSWORD)

    for password in (None, "wrong"):
        with pytest.raises(StoreUnavailableError) as caught:
            asyncio.run(RedisStore.open(server.url, connecting=Connecting(password=password)))
        assert PASSWORD not in str(caught.value)

    async def right():
        await (await RedisStore.open(server.url, connecting=Connecting(password=PASSWORD))).close()

    asyncio.run(right())


def test_keys_of_a_later_layout_are_left_alone():
    shared_server().empty()
    command("SET", f"{keys.ALL}layout", "2")

    with pytest.raises(StoreUnavailableError, match="later version"):
        asyncio.run(RedisStore.open(shared_server().url))


# --- what is drawn and what is listed


def test_a_step_without_a_notice_is_one_trip_to_the_server():
    async def scenario(store):
        epoch = await made(store)
        await store.record(step(epoch, until=1, evaluations=[evaluation()]))
        before = scripts_run()
        await store.record(step(epoch, was=1, until=2, evaluations=[evaluation(1)]))
        return scripts_run() - before

    assert run(scenario) == 1


def test_an_epoch_is_above_the_models_also_where_the_common_counter_was_lost():
    async def scenario(store):
        epoch = await made(store)
        command("DEL", f"{keys.ALL}counters")
        store._server._clock.us -= 1_000
        return epoch, await store.put_model("m", b"{}", "api", epoch)

    before, after = run(scenario, clock=FakeClock())

    assert after > before


def test_housekeeping_strikes_old_names_of_nothing_and_no_others():
    async def scenario(store):
        await made(store)
        command("ZADD", f"{keys.ALL}models", 1, "gone", 1, "m")
        before = await store.epochs()
        await store.sweep([], 0, 9)
        return before, command("ZRANGE", f"{keys.ALL}models", 0, -1)

    epochs, names = run(scenario)

    assert list(epochs) == ["m"]
    assert names == [b"m"]


def test_a_copy_goes_only_into_an_empty_redis_and_only_if_it_is_whole(tmp_path):
    async def scenario(store):
        await made(store)
        await store.backup(tmp_path / "copy")
        (tmp_path / "cut").write_bytes((tmp_path / "copy").read_bytes()[:-1])
        with pytest.raises(StoreUnavailableError, match="holds models already"):
            await RedisStore.restore(tmp_path / "copy", shared_server().url)
        other = shared_server().url.removesuffix("0") + "2"
        for name in ("cut", "none"):
            with pytest.raises(StoreUnavailableError, match="no whole copy"):
                await RedisStore.restore(tmp_path / name, other)
        with pytest.raises(StoreUnavailableError, match="cannot be written"):
            await store.backup(tmp_path / "no" / "folder")

    run(scenario)


# --- a server that has lost its last writes, as after a failover


async def set_back(path):
    """Put the shared server back to where it was; a store on it."""
    shared_server().empty()
    return await RedisStore.restore(path, shared_server().url, merge_sketches=merge_sketches)


def test_a_fold_of_counts_that_were_lost_since_does_not_take_the_place_of_others(tmp_path):
    read, lost = threading.Event(), threading.Event()

    def merged_slowly(payloads):
        read.set()
        lost.wait(30)
        return codec.merge(payloads)

    async def scenario(store):
        epoch = await made(store)
        await store.commit([commit(epoch, delta()), commit(epoch, delta())])
        await store.backup(tmp_path / "then")
        await store.sweep([], 0, 9)
        await store.commit([commit(epoch, delta())])
        late = asyncio.create_task(Folding(server=store._server, merge=merged_slowly, errors=[]).fold(["m"]))
        await asyncio.to_thread(read.wait, 30)
        after = await set_back(tmp_path / "then")
        try:
            await after.sweep([], 0, 9)
            await after.commit([commit(epoch, delta(0, (0, 1, 0)))])
            lost.set()
            return await late, await total_of(after)
        finally:
            lost.set()
            await after.close()

    assert run(scenario) == (0, [2, 1, 0])


def test_progress_is_read_anew_also_if_as_much_was_written_as_was_lost(tmp_path):
    async def scenario(store):
        epoch = await made(store)
        await store.commit([commit(epoch, delta(0))])
        await store.backup(tmp_path / "then")
        await store.commit([commit(epoch, delta(5))])
        (before,) = await store.progress()
        after = await set_back(tmp_path / "then")
        await after.commit([commit(epoch, delta(2))])
        await after.close()
        (now,) = await store.progress()
        return before.newest_us, now.newest_us

    assert run(scenario) == (5 * PANE_US + 1, 2 * PANE_US + 1)


# --- rows that are sent again


def test_rows_that_are_sent_again_under_their_name_are_answered_as_they_were_and_counted_once():
    async def scenario(store):
        epoch = await made(store)
        named = replace(commit(epoch, delta()), rows_id="these")
        answers = [(await store.commit([named]))[0].status for _ in range(2)]
        changed = await store.put_model("m", b"{}", "api", epoch)
        counted_anew = replace(commit(changed, delta(1)), rows_id="these")
        answers.append((await store.commit([counted_anew]))[0].status)
        return answers, await total_of(store)

    assert run(scenario) == (["committed"] * 3, [1, 0, 0])


def test_rows_that_were_refused_come_again_under_their_name():
    async def scenario(store):
        epoch = await made(store)
        stale = replace(commit(epoch - 1, delta()), rows_id="these")
        refused = (await store.commit([stale]))[0].status
        taken = (await store.commit([replace(stale, epoch=epoch)]))[0].status
        return refused, taken, await total_of(store)

    assert run(scenario) == ("stale", "committed", [1, 0, 0])


def test_what_was_sent_and_not_answered_is_in_doubt_and_what_was_refused_is_not(server):
    async def scenario():
        connecting = Connecting(answer_timeout_s=0.3, call_timeout_s=0.5)
        store = await RedisStore.open(server.url, FakeClock(), connecting=connecting)
        try:
            epoch = await made(store)
            with server.client() as client:
                client.config_set("maxmemory", "1")
                with pytest.raises(StoreUnavailableError) as full:
                    await store.commit([commit(epoch, delta())])
                client.config_set("maxmemory", "0")
            os.kill(server.process.pid, signal.SIGSTOP)
            try:
                with pytest.raises(StoreUnavailableError) as silent:
                    await store.commit([commit(epoch, delta())])
            finally:
                os.kill(server.process.pid, signal.SIGCONT)
            return str(full.value), str(silent.value)
        finally:
            await store.close()

    full, silent = asyncio.run(scenario())

    assert "full" in full
    assert "not known" not in full
    assert "not known" in silent
