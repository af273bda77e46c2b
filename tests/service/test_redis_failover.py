"""A primary that dies, with Sentinels that put its replica in its place; and a cluster that loses a server."""

import asyncio
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest
from redis_cluster import RedisCluster
from redis_sentinel import Watched
from serving import NDJSON, Process, encoded, reference_file, rows_of, wait_until
from stores import commit, delta, made, mark, series, total_of

from service.errors import StoreUnavailableError
from service.storage.redis import Connecting, RedisStore, keys

AWAY_S = 60
PARTS_GO_ON = {"appendonly": "yes", "appendfsync": "always", "cluster_require_full_coverage": "no"}
"""Of a cluster: by default it stops as a whole when a slot has no server."""


@pytest.fixture
def watched():
    servers = Watched()
    yield servers
    servers.close()


@pytest.fixture
def durable():
    servers = Watched(appendonly="yes", appendfsync="always")
    yield servers
    servers.close()


@asynccontextmanager
async def opened(url, **connecting):
    store = await RedisStore.open(url, connecting=Connecting(**connecting))
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def paused(server):
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


async def until(true):
    """Wait for what becomes true outside."""
    await asyncio.to_thread(wait_until, true, AWAY_S)


async def insisted(store, one):
    """Commit until it is acknowledged; how often it was not."""
    async with asyncio.timeout(AWAY_S):
        for refused in range(1_000):
            try:
                await store.commit([one])
            except StoreUnavailableError:
                await asyncio.sleep(0.1)
            else:
                return refused
    raise AssertionError("never acknowledged")


def test_a_store_follows_its_primary_when_that_dies(watched):
    async def scenario():
        async with opened(watched.url) as store:
            epoch = await made(store)
            await store.commit([commit(epoch, delta(), marks=[mark("before")])])
            await until(watched.replicated)
            watched.primary.kill()
            refused = await insisted(store, commit(epoch, delta(), marks=[mark("after")]))
            marks = await store.marks("m", ["before", "after"])
            return refused, await total_of(store), [one.key for one in marks], watched.primary_port()

    refused, total, marks, port = asyncio.run(scenario())

    assert refused > 0
    assert total == [2, 0, 0]
    assert marks == ["before", "after"]
    assert port == watched.replica.port


def test_what_was_acknowledged_and_not_yet_replicated_is_lost_with_the_primary(durable):
    async def scenario():
        async with opened(durable.url) as store:
            epoch = await made(store)
            await store.commit([commit(epoch, delta())])
            await until(durable.replicated)
            durable.replica.kill()
            await store.commit([commit(epoch, delta())])
            durable.primary.kill()
            durable.replica.start()
            await until(lambda: durable.primary_port() == durable.replica.port)
            await insisted(store, commit(epoch, delta()))
            return await total_of(store)

    assert asyncio.run(scenario()) == [2, 0, 0]  # of three that were acknowledged


def test_a_write_that_no_replica_has_is_not_acknowledged_where_that_is_asked_for(watched):
    async def scenario():
        async with opened(watched.url, replicas_acknowledge=1) as store:
            epoch = await made(store)
            await store.commit([commit(epoch, delta())])
            with paused(watched.replica):
                for call in (store.commit([commit(epoch, delta())]), store.check()):
                    with pytest.raises(StoreUnavailableError, match="0 of 1 replicas"):
                        await call
            await store.commit([commit(epoch, delta())])
            await store.check()

    asyncio.run(scenario())


def named(epoch):
    """A commit that is known again by the name of its rows."""
    return replace(commit(epoch, delta()), rows_id="these")


def marked(epoch):
    """A commit that is known again by its mark."""
    return commit(epoch, delta(), marks=[mark()])


@pytest.mark.parametrize("known_again", [named, marked])
def test_a_repeat_is_not_acknowledged_before_a_replica_has_what_was_done_the_first_time(watched, known_again):
    async def scenario():
        url = watched.primary.url
        async with opened(url, replicas_acknowledge=1) as one, opened(url, replicas_acknowledge=1) as other:
            epoch = await made(one)
            await one.commit([commit(epoch, delta())])  # the script is known
            with paused(watched.replica):
                for store in (one, other, other):
                    with pytest.raises(StoreUnavailableError, match="0 of 1 replicas"):
                        await store.commit([known_again(epoch)])
            (again,) = await other.commit([known_again(epoch)])
            return again.status, await total_of(one)

    assert asyncio.run(scenario()) == ("committed" if known_again is named else "duplicate", [2, 0, 0])


def test_a_write_that_is_sent_again_on_another_connection_waits_for_replicas_like_the_first(watched):
    async def scenario():
        url = watched.primary.url
        async with opened(url, replicas_acknowledge=1) as one, opened(url, replicas_acknowledge=1) as other:
            epoch = await made(one)
            given = {"known": str(epoch), "epoch": str(epoch + 1), "owner": "api", "configuration": b"{}"}
            write = [(keys.model("m"), given, "a-ticket")]
            with paused(watched.replica):
                for store in (one, other):
                    with pytest.raises(StoreUnavailableError, match="0 of 1 replicas"):
                        await store._server._run("put_model", write)
            return await other._server._run("put_model", write), await other.epochs(), epoch

    answers, epochs, epoch = asyncio.run(scenario())

    assert answers == [1]
    assert epochs == {"m": epoch + 1}


def test_sentinels_that_know_no_such_primary_are_told_of(watched):
    async def scenario():
        async with opened(watched.url.replace("/primary/", "/other/"), tries=0):
            pass

    with pytest.raises(StoreUnavailableError, match="no Sentinel knows a primary"):
        asyncio.run(scenario())


# --- a slot that moves from one server of a cluster to another


class Moving:
    """A slot on its way, key by key."""

    def __init__(self, cluster, key):
        self._cluster, self._source = cluster, cluster.node_of(key)
        self._target = next(node for node in cluster.nodes if node is not self._source)
        self._slot = asked(self._source, "CLUSTER", "KEYSLOT", key)
        self._set_on(self._target, "IMPORTING", self._source)
        self._set_on(self._source, "MIGRATING", self._target)

    def move(self, share):
        """Move a share of the keys that have not been moved yet."""
        names = asked(self._source, "CLUSTER", "GETKEYSINSLOT", self._slot, 1_000)
        for name in names[: int(len(names) * share)]:
            asked(self._source, "MIGRATE", "127.0.0.1", self._target.port, name, 0, 2_000)

    def finish(self):
        for node in (self._target, self._source, *self._cluster.nodes):
            self._set_on(node, "NODE", self._target)

    def _set_on(self, server, state, other):
        asked(server, "CLUSTER", "SETSLOT", self._slot, state, asked(other, "CLUSTER", "MYID"))


def asked(server, *parts):
    with server.client() as client:
        return client.execute_command(*parts)


def test_a_model_whose_slot_is_moved_is_not_there_for_a_while_and_then_it_is_whole():
    cluster = RedisCluster()

    async def scenario():
        async with opened(cluster.url) as store:
            epoch = await made(store)
            one = commit(epoch, delta())
            await store.commit([one])
            moving = Moving(cluster, keys.model("m"))
            for share in (0, 0.5, 1):
                moving.move(share)
                for call in (store.commit([one]), store.commit([one, one]), store.model("m"), total_of(store)):
                    with pytest.raises(StoreUnavailableError, match="moving the keys"):
                        await call
            moving.finish()
            await store.commit([one])
            return await total_of(store)

    try:
        assert asyncio.run(scenario()) == [2, 0, 0]
    finally:
        cluster.close()


# --- with the service


def model_settings(folder):
    reference = folder / "reference.json.gz"
    reference.write_bytes(reference_file())
    return {"columns": {"at": {"role": "time"}}, "versions": {"1": {"reference": str(reference)}}}


def acknowledged(process, model, number):
    """Whether a row with a key of its own is acknowledged; 503 is the only other answer."""
    headers = {**NDJSON, "idempotency-key": f"k{number}"}
    answer = process.client.post(f"/v1/models/{model}/inferences", content=encoded(ROWS[number]), headers=headers)
    assert answer.status_code in {200, 503}, answer.text
    return answer.status_code == 200


def rows_in(process, model):
    evaluations = process.client.get(f"/v1/models/{model}/evaluations").json()["evaluations"]
    return max((one["rows"] for one in evaluations), default=0)


ROWS = [{name: value for name, value in row.items() if name != "at"} for row in rows_of(60)]


def test_a_service_works_through_a_failover(watched, tmp_path):
    settings = {"models": {"m": model_settings(tmp_path) | {"columns": {}}}}
    with Process(tmp_path, on=watched.url, **settings) as process:
        assert all(acknowledged(process, "m", number) for number in range(20))
        wait_until(watched.replicated)

        watched.primary.kill()
        answers = []
        for number in range(20, 40):
            wait_until(lambda number=number: answers.append(acknowledged(process, "m", number)) or answers[-1], AWAY_S)

        assert False in answers
        assert process.client.get("/livez").status_code == 200
        wait_until(lambda: process.client.get("/readyz").status_code == 200, AWAY_S, lambda: process.log)
        wait_until(lambda: rows_in(process, "m") == 40, AWAY_S, lambda: process.log)


def test_a_cluster_that_loses_a_server_keeps_the_models_of_the_others(tmp_path):
    cluster = RedisCluster(**PARTS_GO_ON)
    try:
        there, elsewhere = _apart(cluster)
        models = dict.fromkeys((there, elsewhere), model_settings(tmp_path) | {"columns": {}})
        with Process(tmp_path, on=cluster.url, models=models) as process:
            for model in models:
                assert acknowledged(process, model, 0)
            lost = cluster.node_of(keys.model(elsewhere))
            lost.kill()

            wait_until(lambda: acknowledged(process, there, 1), AWAY_S, lambda: process.log)
            assert not acknowledged(process, elsewhere, 1)
            seen_by = cluster.node_of(keys.ALL)
            wait_until(lambda: cluster.state(seen_by)["cluster_slots_fail"] != "0", AWAY_S)
            with ThreadPoolExecutor(20) as senders:  # rows of both go into one round
                refused = [senders.submit(acknowledged, process, elsewhere, 2) for _ in range(10)]
                taken = [senders.submit(acknowledged, process, there, number) for number in range(2, 12)]
                assert all(one.result() for one in taken), process.log
                assert not any(one.result() for one in refused)

            lost.start()
            wait_until(lambda: acknowledged(process, elsewhere, 1), AWAY_S, lambda: process.log)
            for model in models:
                rows = 12 if model == there else 2
                wait_until(lambda model=model, rows=rows: rows_in(process, model) == rows, AWAY_S, lambda: process.log)
    finally:
        cluster.close()


def test_a_commit_to_a_server_that_is_lost_leaves_no_doubt_of_those_to_the_others():
    cluster = RedisCluster(**PARTS_GO_ON)

    async def scenario():
        there, elsewhere = _apart(cluster)
        async with opened(cluster.url) as store:
            epochs = {model: await made(store, model) for model in (elsewhere, there)}
            both = [commit(epoch, delta(), model=model) for model, epoch in epochs.items()]
            lost = cluster.node_of(keys.model(elsewhere))
            lost.kill()
            answers = [[one.status for one in await store.commit(both)] for _ in range(5)]
            with pytest.raises(StoreUnavailableError):
                await store.commit(both[:1])
            total = await total_of(store, series(model=there))
            lost.start()
            await insisted(store, both[0])
            return answers, total

    try:
        assert asyncio.run(scenario()) == ([["unavailable", "committed"]] * 5, [5, 0, 0])
    finally:
        cluster.close()


def _apart(cluster):
    """Names of two models: one beside what belongs to no model, and one on another server."""
    beside = cluster.node_of(keys.ALL)
    names = [f"m{i}" for i in range(50)]
    there = next(name for name in names if cluster.node_of(keys.model(name)) is beside)
    elsewhere = next(name for name in names if cluster.node_of(keys.model(name)) is not beside)
    return there, elsewhere
