"""The service while its Redis is away, in every way in which it can be: what it answers then, and that it recovers by itself."""

import asyncio
import contextlib
import os
import signal
import time

import pytest
from redis_server import RedisServer
from serving import NDJSON, ROW, Process, encoded, problem_in, wait_until
from wire import Wire

from service.ports import Series
from service.storage.redis import RedisStore
from service.storage.redis.server import _source

INGEST_WITHIN_S = 12.0
"""Twice the five seconds that a call may take, for who comes while another waits, and some for a busy machine."""

PROBE_WITHIN_S = 4.0
BACK_WITHIN_S = 30.0
MODELS = {"m": {}, "received": {"ack": "received"}}


class Scene:
    """A service on a Redis behind a wire."""

    def __init__(self, process, server, wire):
        self.process, self.server, self.wire = process, server, wire
        self.numbers = iter(range(10**6))

    def post(self, rows=3, *, model="m", key=None):
        headers = NDJSON | ({"idempotency-key": key} if key else {})
        body = (encoded(ROW) + b"\n") * rows
        return self.process.client.post(f"/v1/models/{model}/inferences", content=body, headers=headers)

    def acknowledge(self, rows=3, *, model="m", key=None):
        """Send a batch until it is acknowledged."""
        key = key or f"k{next(self.numbers)}"

        def taken():
            return self.post(rows, model=model, key=key).status_code == 200

        wait_until(taken, BACK_WITHIN_S, lambda: self.process.log[-2_000:])

    def counted(self, model="m"):
        """Rows in the store, past the service and the wire."""
        return asyncio.run(self._counted(model))

    async def _counted(self, model):
        store = await RedisStore.open(self.server.url)
        try:
            (active,) = (await store.model(model)).activations
            series = Series(model=model, version=active.version, reference_id=active.reference_id)
            return sum(rows for _, rows in await store.rows_by_window(series, 0, 1 << 62))
        finally:
            await store.close()

    def metrics(self, start):
        return [line for line in self.process.client.get("/metrics").text.splitlines() if line.startswith(start)]

    def ready(self):
        return self.process.client.get("/readyz")

    def timed(self, call, within_s):
        started_s = time.monotonic()
        answer = call()
        assert time.monotonic() - started_s < within_s
        return answer


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    server = RedisServer(appendonly="yes", appendfsync="always")
    folder = tmp_path_factory.mktemp("degradation")
    try:
        with Wire(server.port) as wire, Process(folder, on=wire.url) as process:
            for model, configuration in MODELS.items():
                assert process.client.put(f"/v1/models/{model}", json=configuration).status_code == 201
                process.model(model)
            yield Scene(process, server, wire)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
        server.close()


@contextlib.contextmanager
def stopped(scene):
    os.kill(scene.server.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(scene.server.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def slow(scene):
    scene.wire.delay_s = 5.0
    try:
        yield
    finally:
        scene.wire.delay_s = 0.0


@contextlib.contextmanager
def full(scene):
    with scene.server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


@contextlib.contextmanager
def replica(scene):
    with scene.server.client() as client:
        client.replicaof("127.0.0.1", 1)
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


@contextlib.contextmanager
def killed(scene):
    scene.server.kill()
    try:
        yield
    finally:
        scene.server.start()


WAYS = {
    stopped: "does not answer",
    slow: "does not answer",
    full: "the memory of Redis is full",
    replica: "this Redis is a replica, and read-only",
    killed: "Redis cannot be reached",
}


@pytest.mark.parametrize("away", WAYS, ids=lambda way: way.__name__)
def test_while_redis_is_away_the_service_says_so_in_time_and_afterwards_it_goes_on_by_itself(scene, away):
    scene.acknowledge(key=away.__name__)

    with away(scene):
        for _ in range(2):
            refused = scene.timed(scene.post, INGEST_WITHIN_S)
            assert WAYS[away] in problem_in(refused, 503)["detail"]
        assert WAYS[away] in problem_in(scene.timed(scene.ready, PROBE_WITHIN_S), 503)["detail"]
        assert scene.timed(lambda: scene.process.client.get("/livez"), 1.0).status_code == 200
        assert scene.timed(lambda: scene.process.client.get("/metrics"), PROBE_WITHIN_S).status_code == 200

    wait_until(lambda: scene.ready().status_code == 200, BACK_WITHIN_S, lambda: scene.process.log[-2_000:])
    assert scene.post(key=away.__name__).json()["duplicate"]
    scene.acknowledge()


def test_what_is_not_known_any_more_is_exported_no_more_and_comes_back(scene):
    scene.acknowledge()
    wait_until(lambda: scene.metrics("driftline_reference_info{"), BACK_WITHIN_S)

    with killed(scene):
        wait_until(lambda: not scene.metrics("driftline_reference_info{"), BACK_WITHIN_S)
        assert scene.metrics("driftline_leases_held") == ["driftline_leases_held 0.0"]
        assert scene.metrics("driftline_outbox_deliveries{") == []
        assert scene.metrics("driftline_rows_total{")

    wait_until(lambda: len(scene.metrics("driftline_reference_info{")) == len(MODELS), BACK_WITHIN_S)


@pytest.mark.parametrize("away", [stopped, killed], ids=lambda way: way.__name__)
def test_rows_acknowledged_on_receipt_are_answered_at_once_and_counted_when_redis_is_back(scene, away):
    before = scene.counted("received")

    with away(scene):
        for _ in range(20):
            answer = scene.timed(lambda: scene.post(model="received"), 1.0)
            assert (answer.status_code, answer.json()["accepted"]) == (200, 3)
            time.sleep(0.1)  # over several commits that fail

    wait_until(lambda: scene.counted("received") >= before + 60, BACK_WITHIN_S)
    wait_until(lambda: scene.metrics("driftline_buffer_rows ") == ["driftline_buffer_rows 0.0"], BACK_WITHIN_S)
    assert scene.counted("received") == before + 60
    assert scene.metrics('driftline_rows_total{fate="dropped",model="received"}')[0].endswith(" 0.0")


def test_rows_of_which_nobody_heard_that_they_arrived_are_counted_once(scene):
    scene.acknowledge()  # the server has the script from then on
    before = scene.counted("received")
    scene.wire.loses = _source("commit")[1].encode()
    try:
        for _ in range(5):
            assert scene.post(model="received").status_code == 200
        wait_until(lambda: scene.counted("received") > before, BACK_WITHIN_S)
        time.sleep(8.0)  # more than the client tries for: the service takes the store to be away, and tries again later
    finally:
        scene.wire.loses = None
    scene.wire.cut()

    wait_until(lambda: scene.metrics("driftline_buffer_rows ") == ["driftline_buffer_rows 0.0"], BACK_WITHIN_S)
    assert scene.counted("received") == before + 15


def test_rows_are_counted_once_over_a_wire_that_is_cut_in_the_middle_of_commands(scene):
    before, cuts = {model: scene.counted(model) for model in MODELS}, scene.wire.cuts
    scene.wire.cut_share = 0.2
    try:
        for number in range(60):
            scene.acknowledge(number % 7 + 1)
            # Without a key, and never sent again by us: what is cut is sent again by the service.
            assert scene.post(number % 7 + 1, model="received").status_code == 200
            if number % 10 == 5:
                scene.wire.cut()
    finally:
        scene.wire.cut_share = 0.0

    rows = sum(number % 7 + 1 for number in range(60))
    wait_until(lambda: scene.counted("received") >= before["received"] + rows, BACK_WITHIN_S)
    assert {model: scene.counted(model) for model in MODELS} == {model: n + rows for model, n in before.items()}
    assert scene.wire.cuts - cuts > 20
