import contextlib
import json
import signal
import socket
import time

import pyarrow as pa
import pytest
from proof import prove
from senders import request_of
from traffic import LATENESS_S, STREAMS, US_PER_S, batch_of
from trial import Trial, make_reference
from victim import HOST, wait_until

SEED = 4
BULK = STREAMS[2]
FIRST_DRIFTED = 6  # windows of `ordered` drift from here on
STOP_S = 3
HEAD = (
    b"POST /v1/models/%s/inferences HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return make_reference(tmp_path_factory.mktemp("reference"), SEED)


@pytest.fixture
def trial(reference, tmp_path):
    with Trial(tmp_path / "store", reference, seed=SEED) as made:
        yield made


def test_rows_are_answered_or_not_counted_when_the_service_is_stopped_under_load(tmp_path):
    def stop_again_and_again(trial):
        (service,) = trial.services
        trial.senders.start()
        codes = []
        for numbers in ([signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM] * 2, [signal.SIGTERM, signal.SIGINT]):
            service.start().wait_ready()
            before = trial.senders.answered()
            wait_until(lambda before=before: trial.senders.answered() > before + 50, 60, "batches answered")
            for number in numbers:
                service.send(number)
            codes.append(service.process.wait(30))
        assert codes == [0] * 4
        return "four graceful stops"

    outcome = prove(tmp_path, stop_again_and_again, seed=SEED, quick=True)

    assert not outcome.faults, str(outcome)
    assert outcome.counted_unanswered == 0
    assert set(outcome.figures["attempts that failed"].split()[::2]) <= {
        "ConnectionRefusedError",
        "ConnectionResetError",  # it was in the queue of the listener, or had not been read
        "BrokenPipeError",  # the same, while it was being sent
        "RemoteDisconnected",
    }


def test_an_upload_that_is_under_way_is_finished_and_answered(trial):
    service = trial.services[0].start().wait_ready()
    lines = ndjson(0).splitlines(keepends=True)

    with upload(service) as connection:
        send_chunk(connection, b"".join(lines[:600]))
        wait_until(lambda: b"rows_total" in service.get("/metrics")[1], 10, "metrics")
        service.send(signal.SIGTERM)
        wait_until(lambda: refuses(service), 10, "no further connection")
        send_chunk(connection, b"".join(lines[600:]))
        connection.sendall(b"0\r\n\r\n")
        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert b'"accepted":1100' in answer
    assert service.process.wait(20) == 0
    assert rows_in(trial) == BULK.rows


def test_an_upload_that_never_ends_is_broken_off_when_the_time_is_over(trial):
    service = patient(trial, STOP_S)

    with upload(service) as connection:
        send_chunk(connection, ndjson(0))  # a chunk of it is committed, a hundred rows wait for more
        wait_until(lambda: rows_in(trial) == 1_000, 20, "the first chunk")
        started_s = time.monotonic()
        service.send(signal.SIGTERM)
        code = service.process.wait(STOP_S + 15)
        answer = closed(connection)

    assert code == 0
    assert time.monotonic() - started_s >= STOP_S - 1
    assert not answer.startswith(b"HTTP/1.1 200")
    assert rows_in(trial) == 1_000
    assert "Traceback" not in service.tail()


def test_an_arrow_stream_that_never_ends_is_broken_off_when_the_time_is_over(trial):
    service = patient(trial, STOP_S)
    batch = batch_of(SEED, BULK, 0)
    table = pa.table({"t": batch.times_us / 1e6, "score": batch.columns["score"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)

    with upload(service, b"application/vnd.apache.arrow.stream") as connection:
        send_chunk(connection, sink.getvalue().to_pybytes()[:-8])  # without its end
        wait_until(lambda: rows_in(trial) == BULK.rows, 20, "the first batch")
        service.send(signal.SIGTERM)
        code = service.process.wait(STOP_S + 15)

    assert code == 0, service.tail()


def test_a_second_interrupt_waits_for_no_upload(trial):
    service = patient(trial, 60)

    with upload(service) as connection:
        send_chunk(connection, ndjson(0))
        wait_until(lambda: rows_in(trial) == 1_000, 20, "the first chunk")
        service.send(signal.SIGINT)
        wait_until(lambda: refuses(service), 10, "no further connection")
        service.send(signal.SIGINT)
        code = service.process.wait(20)

    assert code == 0
    assert rows_in(trial) == 1_000


def test_rows_that_were_acknowledged_on_receipt_are_committed(trial):
    configure(trial, lambda settings: settings["models"]["ordered"].update(ack="received"))
    service = trial.services[0].start().wait_ready()
    stream = STREAMS[1]

    for number in range(60):
        headers, body = request_of(batch_of(SEED, stream, number))
        assert service.request("POST", "/v1/models/ordered/inferences", body, headers)[0] == 200
    code = service.stop()

    assert code == 0
    assert rows_in(trial) == 60 * stream.rows


def test_a_delivery_that_is_under_way_ends(trial):
    service = trial.services[0].start().wait_ready()
    trial.inbox.held.clear()
    drift(trial)
    wait_until(lambda: trial.inbox.received, 30, "a delivery")

    service.send(signal.SIGTERM)
    wait_until(lambda: refuses(service), 10, "no further connection")
    trial.inbox.held.set()
    code = service.process.wait(20)

    assert code == 0
    received = {(one.target, one.webhook_id) for one in trial.inbox.received}
    assert len(trial.inbox.received) == len(received)
    states = deliveries(trial)
    assert {delivery for delivery, (state, _) in states.items() if state == "delivered"} == {
        f"{webhook_id}:{target}" for target, webhook_id in received
    }


def test_a_receiver_that_never_answers_does_not_keep_the_service_from_ending(trial):
    configure(trial, lambda settings: settings["targets"]["pager"].update(timeout="60s"))
    service = patient(trial, STOP_S)
    trial.inbox.held.clear()
    drift(trial)
    wait_until(lambda: trial.inbox.received, 30, "a delivery")

    started_s = time.monotonic()
    code = service.stop(seconds=STOP_S + 15)
    ended_s = time.monotonic() - started_s
    service.start().wait_ready()
    trial.inbox.held.set()
    trial.wait_delivered(20)

    assert code == 0
    assert ended_s >= STOP_S - 1
    assert "claimed" not in service.tail()


def test_the_second_listener_says_that_the_service_is_stopping_until_it_has(trial):
    service = trial.services[0]
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        ops = probe.getsockname()[1]
    service.environment["DRIFTLINE_OPS_ADDRESS"] = f"{HOST}:{ops}"
    service.start().wait_ready()

    with upload(service) as connection:
        service.send(signal.SIGTERM)
        wait_until(lambda: refuses(service), 10, "no further connection")
        status, body = at(ops, "/readyz")
        live, _ = at(ops, "/livez")
        connection.sendall(b"0\r\n\r\n")
        code = service.process.wait(20)

    assert (status, live, code) == (503, 200, 0)
    assert json.loads(body)["detail"] == "not ready: stopping"


# --- what they are made of --------------------------------------------------------------------------------------------


def configure(trial, change):
    path = trial.folder / "driftline.yaml"
    settings = json.loads(path.read_text())
    change(settings)
    path.write_text(json.dumps(settings))


def patient(trial, seconds):
    """The service of a trial, started, which takes so long at most to stop."""
    service = trial.services[0]
    service.environment["DRIFTLINE_LIMITS_STOP_TIMEOUT"] = f"{seconds}s"
    return service.start().wait_ready()


def ndjson(number):
    return request_of(batch_of(SEED, BULK, number))[1]


@contextlib.contextmanager
def upload(service, content_type=b"application/x-ndjson"):
    """A connection on which an upload has begun."""
    with socket.create_connection((HOST, service.port), 30) as connection:
        connection.sendall(HEAD.replace(b"application/x-ndjson", content_type) % b"ordered")
        yield connection


def send_chunk(connection, data):
    connection.sendall(b"%x\r\n%s\r\n" % (len(data), data))


def closed(connection):
    """What came before the other side closed the connection."""
    try:
        return connection.makefile("rb").read()
    except ConnectionError:
        return b""


def refuses(service):
    """Whether it takes connections no more."""
    try:
        with socket.create_connection((HOST, service.port), 5):
            return False
    except OSError:
        return True


def at(port, path):
    with socket.create_connection((HOST, port), 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    return int(head[9:12]), body


def drift(trial):
    """Send windows that drift, and let them be closed."""
    batches = [batch_of(SEED, BULK, number) for number in range(FIRST_DRIFTED, FIRST_DRIFTED + 3)]
    trial.send_all(batches)
    trial.close_windows(int(batches[-1].times_us[-1]) // US_PER_S + 2 * LATENESS_S)


def rows_in(trial):
    with trial.connected() as connection:
        (rows,) = connection.execute(
            "SELECT (SELECT coalesce(sum(rows), 0) FROM deltas) + (SELECT coalesce(sum(rows), 0) FROM panes)"
        ).fetchone()
    return rows


def deliveries(trial):
    with trial.connected() as connection:
        return {one: (state, last) for one, state, last in connection.execute("SELECT id, state, last FROM deliveries")}
