"""A service that is started while its Redis is away, in every way in which it can be: what it answers, and that it begins by
itself when the Redis is there; and what ends a start at once."""

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from redis import Redis
from redis_cluster import SLOTS, shared_cluster
from redis_server import RedisServer, free_port
from serving import (
    JSON,
    NDJSON,
    REFERENCE_TYPE,
    ROW,
    Process,
    answer_on,
    encoded,
    key_setting,
    problem_in,
    reference_file,
    rows_of,
    wait_until,
)
from wire import Wire

from service.ports import Series
from service.storage.redis import RedisStore

LISTENS_WITHIN_S = 60.0
ANSWERS_WITHIN_S = 1.0
BACK_WITHIN_S = 90.0
ENDS_WITHIN_S = 5.0
WAITS = "the store is away: the start waits for it"
PASSWORD = "correct-horse"  # noqa: S105 - of servers that live as long as a test


@pytest.fixture
def server():
    server = RedisServer()
    yield server
    with contextlib.suppress(ProcessLookupError):
        os.kill(server.process.pid, signal.SIGCONT)
    server.close()


def waiting(folder, url, **kept):
    """A service that waits for its store: it answers, and is not ready."""
    return Process(folder, on=url, awaits="/livez", **kept)


def lines_of(process):
    return [json.loads(line) for line in process.log.splitlines()]


def counted(url, model="m"):
    """Rows in the store, past the service."""

    async def within():
        store = await RedisStore.open(url)
        try:
            (active,) = (await store.model(model)).activations
            series = Series(model=model, version=active.version, reference_id=active.reference_id)
            return sum(rows for _, rows in await store.rows_by_window(series, 0, 1 << 62))
        finally:
            await store.close()

    return asyncio.run(within())


# --- in what ways a Redis is away at the start, and how it comes


@contextlib.contextmanager
def nobody(server):
    server.kill()
    yield server.url, "Redis cannot be reached", server.start


@contextlib.contextmanager
def stopped(server):
    os.kill(server.process.pid, signal.SIGSTOP)
    yield server.url, "Redis does not answer in time", lambda: os.kill(server.process.pid, signal.SIGCONT)


@contextlib.contextmanager
def unresolvable(_server):
    yield "redis://redis.invalid:6379/0", "Redis cannot be reached", None


@contextlib.contextmanager
def loading(server):
    with server.client() as client:
        for number in range(3_000):  # a minute, unless it is told to hurry
            client.set(f"filler{number}", os.urandom(2_000))
        client.save()
    server.kill()
    slow = {"key_load_delay": "20000", "loading_process_events_interval_bytes": "1024"}
    slowly = [word for name, value in slow.items() for word in (f"--{name.replace('_', '-')}", value)]
    options = server.options()
    server.options = lambda: [*options, *slowly]
    loads = threading.Thread(target=server.start, daemon=True)  # waits until it has loaded
    loads.start()

    def hurry():
        with server.client() as client:
            client.config_set("key-load-delay", 0)
        loads.join()

    yield server.url, "Redis is still loading its data", hurry


@contextlib.contextmanager
def replica(server):
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)
        yield server.url, "this Redis is a replica, and read-only", lambda: client.replicaof("NO", "ONE")


@contextlib.contextmanager
def full(server):
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        yield server.url, "the memory of Redis is full", lambda: client.config_set("maxmemory", "0")


@contextlib.contextmanager
def without_primary(server):
    sentinel = Sentinel(server.program, server._folder.name)
    try:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/primary/0"
        yield url, "no Sentinel knows a primary that answers", lambda: sentinel.watch(server.port)
    finally:
        sentinel.kill()


@contextlib.contextmanager
def unknown_to_sentinels(server):
    sentinel = Sentinel(server.program, server._folder.name)
    try:
        with sentinel.client() as client:
            client.execute_command("SENTINEL", "MONITOR", "primary", "127.0.0.1", server.port, 1)
            user = ("ACL", "SETUSER", "default")
            client.execute_command(*user, "resetpass", f">{PASSWORD}")
            url = f"redis+sentinel://127.0.0.1:{sentinel.port}/primary/0"
            yield url, "Sentinels refuse the user or the password", lambda: client.execute_command(*user, "nopass")
    finally:
        sentinel.kill()


@contextlib.contextmanager
def nobody_of_a_cluster(_server):
    node = RedisServer(cluster_enabled="yes", cluster_port=str(free_port()))
    try:
        with node.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))
            client.execute_command("CLUSTER", "SAVECONFIG")
        node.kill()
        url = f"redis+cluster://127.0.0.1:{node.port}"
        yield url, "no node of the cluster of Redis answers", node.start
    finally:
        node.close()


@contextlib.contextmanager
def without_slots(_server):
    node = RedisServer(cluster_enabled="yes", cluster_port=str(free_port()))
    try:
        with node.client() as client:
            assigned = lambda: client.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))  # noqa: E731 - as the others
            yield f"redis+cluster://127.0.0.1:{node.port}", "cluster of Redis", assigned
    finally:
        node.close()


class Sentinel(RedisServer):
    """One that watches nobody yet."""

    def __init__(self, program, folder):
        self.program, self.port = program, free_port()
        self._file = f"{folder}/sentinel.conf"
        with open(self._file, "w"):  # noqa: PTH123 - it is written to by the Sentinel
            pass
        self.start()

    def options(self):
        return [self._file, "--port", str(self.port), "--bind", "127.0.0.1", "--sentinel"]

    def client(self, database=0):
        return Redis(host="127.0.0.1", port=self.port)

    def watch(self, port):
        with self.client() as client:
            client.execute_command("SENTINEL", "MONITOR", "primary", "127.0.0.1", port, 1)


WAYS = (
    nobody,
    stopped,
    unresolvable,
    loading,
    replica,
    full,
    without_primary,
    unknown_to_sentinels,
    nobody_of_a_cluster,
    without_slots,
)


@pytest.mark.parametrize("away", WAYS, ids=lambda way: way.__name__)
def test_a_service_waits_for_a_redis_that_is_away_says_why_and_begins_when_it_is_there(tmp_path, server, away):
    with away(server) as (url, reason, comes), waiting(tmp_path, url) as process:
        told = {}

        def said():
            told["ready"] = process.client.get("/readyz")
            return reason in told["ready"].text

        wait_until(said, BACK_WITHIN_S, lambda: process.log)
        assert problem_in(told["ready"], 503)["detail"].startswith("not ready: ")
        refused = process.send(ROW)
        assert reason in problem_in(refused, 503)["detail"]
        assert refused.elapsed.total_seconds() < ANSWERS_WITHIN_S
        if comes is None:
            assert process.ended(ENDS_WITHIN_S) == 0
            return

        comes()

        wait_until(process.ready, BACK_WITHIN_S, lambda: process.log)
        process.model()
        assert process.send(rows_of(20)).json()["accepted"] == 20
        assert {"the store is there", "ready"} <= {line["event"] for line in lines_of(process)}


# --- what is answered meanwhile


def test_all_routes_say_that_the_store_is_away_and_health_and_metrics_answer(tmp_path, server):
    server.kill()
    with waiting(tmp_path, server.url) as process:
        wait_until(lambda: WAITS in process.log, LISTENS_WITHIN_S, lambda: process.log)
        client = process.client
        asked = [
            client.post("/v1/models/m/inferences", json=ROW),
            client.post("/v1/models/m/inferences", content=iter([encoded(ROW)]), headers=NDJSON),
            client.post("/v1/models/not a name/inferences", json=ROW),
            client.post("/v1/models/m/counts", content=b"?"),
            client.post("/v1/models/m/references", content=reference_file(), headers={"content-type": REFERENCE_TYPE}),
            client.post("/v1/models/m/references", content=b"x\n1\n", headers={"content-type": "text/csv"}),
            client.put("/v1/models/m", json={}),
            *(
                client.get(f"/v1/{path}")
                for path in ("models", "models/m", "episodes", "deliveries", "counting?model=m")
            ),
        ]

        assert {problem_in(answer, 503)["detail"] for answer in asked} == {"Redis cannot be reached (ConnectionError)"}
        assert max(answer.elapsed.total_seconds() for answer in asked) < ANSWERS_WITHIN_S
        assert [client.get(path).status_code for path in ("/livez", "/healthz", "/", "/docs")] == [200] * 4
        metrics = client.get("/metrics")
        assert metrics.status_code == 200
        assert metrics.elapsed.total_seconds() < ANSWERS_WITHIN_S
        samples = dict(line.rsplit(" ", 1) for line in metrics.text.splitlines() if not line.startswith("#"))
        assert float(samples['driftline_store_errors_total{operation="start"}']) >= 1
        assert samples["driftline_leases_held"] == "0.0"
        assert any(name.startswith("driftline_build_info{") for name in samples)
        assert [line["event"] for line in lines_of(process)] == [WAITS]
        assert process.ended(ENDS_WITHIN_S) == 0
        assert [line["event"] for line in lines_of(process)] == [WAITS, "stopped"]


def test_a_listener_of_their_own_tells_probes_and_keys_are_asked_for(tmp_path, server):
    server.kill()
    port = free_port()
    auth = {"keys": [key_setting("all", "dk_a", ["admin", "read", "metrics", "ingest"])]}
    sections = {"auth": auth, "server": {"ops_address": f"127.0.0.1:{port}"}}
    with waiting(tmp_path, server.url, **sections) as process, httpx.Client(trust_env=False) as ops:
        wait_until(lambda: WAITS in process.log, LISTENS_WITHIN_S, lambda: process.log)
        paths = ("/livez", "/readyz", "/metrics")
        keyed = {"headers": {"x-api-key": "dk_a"}}

        assert [ops.get(f"http://127.0.0.1:{port}{path}", **keyed).status_code for path in paths] == [200, 503, 200]
        assert {process.send(ROW).status_code, process.client.get("/v1/models").status_code} == {401}
        assert process.client.get("/v1/models", **keyed).status_code == 503
        assert process.send(ROW, headers=JSON | keyed["headers"]).status_code == 503


def test_a_pod_whose_store_is_away_when_it_starts_is_ready_if_readiness_leaves_the_store_out(tmp_path, server):
    server.kill()
    with waiting(tmp_path, server.url, server={"readiness": "sidecar"}) as process:
        wait_until(process.ready, LISTENS_WITHIN_S, lambda: process.log)

        assert process.send(ROW).status_code == 503


# --- how it comes to work


def test_requests_before_and_while_the_store_comes_are_refused_or_counted_on_connections_that_last(tmp_path, server):
    server.kill()
    reference = tmp_path / "reference.json.gz"
    reference.write_bytes(reference_file())
    models = {"m": {"versions": {"1": {"reference": str(reference)}}}}
    body = encoded(ROW)
    request = b"POST /v1/models/m/inferences HTTP/1.1\r\nhost: d\r\ncontent-type: application/json\r\n"
    request += b"content-length: %d\r\n\r\n%b" % (len(body), body)
    halves = request[:-10], request[-10:]

    with waiting(tmp_path, server.url, models=models) as process, ThreadPoolExecutor(3) as pool:
        wait_until(lambda: WAITS in process.log, LISTENS_WITHIN_S, lambda: process.log)
        over = threading.Event()

        def sender(_):
            """Statuses on one connection that stays."""
            statuses = []
            with process.connect() as connection:
                while not over.is_set():
                    connection.sendall(request)
                    statuses.append(answer_on(connection).status_code)
            return statuses

        with process.connect() as begun_before:
            begun_before.sendall(halves[0])
            senders = [pool.submit(sender, number) for number in range(3)]
            time.sleep(0.3)  # some are refused
            server.start()
            wait_until(process.ready, BACK_WITHIN_S, lambda: process.log)
            time.sleep(0.3)  # and some are counted
            over.set()
            statuses = [one.result() for one in senders]
            begun_before.sendall(halves[1] + request)
            answers = [answer_on(begun_before).status_code for _ in range(2)]

        assert answers == [503, 200]  # the first by its head, while the store was away
        for of_one in statuses:
            assert set(of_one) == {200, 503}
            assert sorted(of_one, reverse=True) == of_one  # once it has begun, it is not away again
        rows = 1 + sum(of_one.count(200) for of_one in statuses)
        assert counted(server.url) == rows
        assert process.accepted() == rows


def test_two_replicas_that_wait_for_one_redis_begin_together_with_the_models_of_their_settings(tmp_path, server):
    server.kill()
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    reference = tmp_path / "reference.json.gz"
    reference.write_bytes(reference_file())
    models = {f"m{number}": {"versions": {"1": {"reference": str(reference)}}} for number in range(5)}
    with (
        waiting(folders[0], server.url, models=models) as one,
        waiting(folders[1], server.url, models=models) as two,
    ):
        for process in (one, two):
            wait_until(lambda process=process: WAITS in process.log, LISTENS_WITHIN_S, lambda: one.log + two.log)

        server.start()

        for process in (one, two):
            wait_until(process.ready, BACK_WITHIN_S, lambda: one.log + two.log)
            for model in models:
                assert process.send(rows_of(10), model=model).json()["accepted"] == 10
        assert [counted(server.url, model) for model in models] == [20] * 5


def test_a_start_over_a_wire_that_is_cut_again_and_again_comes_to_what_any_start_does(tmp_path, server):
    reference = tmp_path / "reference.json.gz"
    reference.write_bytes(reference_file())
    models = {f"m{number}": {"versions": {"1": {"reference": str(reference)}}} for number in range(3)}
    with Wire(server.port) as wire:
        wire.cut_share = 0.6
        with waiting(tmp_path, wire.url, models=models) as process:
            wait_until(lambda: WAITS in process.log or process.ready(), LISTENS_WITHIN_S, lambda: process.log)
            wire.cut_share = 0.2

            wait_until(process.ready, BACK_WITHIN_S, lambda: process.log)
            wire.cut_share = 0.0
            for model in models:
                assert process.send(rows_of(10), model=model).json()["accepted"] == 10
            known = process.client.get("/v1/models").json()["models"]
        assert wire.cuts > 0
    assert [one["model"] for one in known] == list(models)
    assert [counted(server.url, model) for model in models] == [10] * len(models)


def test_a_redis_that_comes_and_goes_again_is_waited_for_again(tmp_path, server):
    server.kill()
    with waiting(tmp_path, server.url) as process:
        for _ in range(6):
            server.start()
            time.sleep(0.05)
            server.kill()
            time.sleep(0.1)
        assert process.client.get("/livez").status_code == 200

        server.start()

        wait_until(process.ready, BACK_WITHIN_S, lambda: process.log)
        process.model()
        assert process.send(rows_of(20)).json()["accepted"] == 20


# --- what ends a start


def layout(server, value):
    with server.client() as client:
        client.set("driftline:{all}:layout", value)


def a_later_layout(server):
    layout(server, "2")
    return server.url, "of a later version of Driftline"


def a_copy_that_is_not_whole(server):
    layout(server, "being copied to")
    return server.url, "a copy was not finished"


def a_password_that_is_wanted(server):
    with server.client() as client:
        client.config_set("requirepass", PASSWORD)
    return server.url, "Redis refuses the user or the password"


def a_user_without_rights(server):
    with server.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "reader", "on", "nopass", "~driftline:*", "+@read", "+hello", "+client"
        )
    return server.url.replace("//", "//reader@"), "does not permit this user what the store needs"


def a_part_of_a_cluster(_server):
    cluster = shared_cluster()
    other = next(node for node in cluster.nodes if node is not cluster.node_of("driftline:{all}:layout"))
    return other.url, "wanted redis+cluster://"


FOR_GOOD = (
    a_later_layout,
    a_copy_that_is_not_whole,
    a_password_that_is_wanted,
    a_user_without_rights,
    a_part_of_a_cluster,
)


@pytest.mark.parametrize("wrong", FOR_GOOD, ids=lambda wrong: wrong.__name__)
def test_what_waiting_does_not_mend_ends_the_start_at_once(tmp_path, server, wrong):
    url, reason = wrong(server)

    with Unready(tmp_path, on=url) as process:
        assert process._process.wait(LISTENS_WITHIN_S) == 2
        assert "Error: " in process.log
        assert reason in process.log
        assert "Traceback" not in process.log
        assert WAITS not in process.log


def test_a_redis_that_comes_and_cannot_be_used_ends_the_wait(tmp_path, server):
    with server.client() as client:
        client.set("driftline:{all}:layout", "2")
        client.save()
    server.kill()
    with waiting(tmp_path, server.url) as process:
        wait_until(lambda: WAITS in process.log, LISTENS_WITHIN_S, lambda: process.log)

        server.start()

        assert process._process.wait(BACK_WITHIN_S) == 2
        assert "of a later version of Driftline" in process.log
        assert "Traceback" not in process.log


def test_a_database_that_is_none_ends_the_start(tmp_path):
    (tmp_path / "driftline.db").write_bytes(b"no database" * 1_000)

    with Unready(tmp_path) as process:
        assert process._process.wait(LISTENS_WITHIN_S) == 2
        assert "the file is not a SQLite database" in process.log


class Unready(Process):
    """One that nobody waits for."""

    def _answers(self):
        return True
