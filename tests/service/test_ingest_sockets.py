"""The real process against senders that no HTTP client would be: each has its answer, and nobody else notices."""

import contextlib
import gzip
import json
import time

import pytest
import zstandard
from serving import NDJSON, PROBLEM_TYPE, ROW, Bystander, Process, answer_on, encoded, rows_of, wait_until

PATH = b"/v1/models/m/inferences"
BODY = encoded(ROW)
BYSTANDER_MAX_S = 5.0
"""Far above what it takes, since the machine of the tests may be busy; a stall that a sender can cause lasts for ever."""


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    limits = {"silence_timeout": "1s", "request_timeout": "2s", "json_bytes_max": "256KiB"}
    with Process(tmp_path_factory.mktemp("serve"), auth="none", limits=limits) as process:
        process.model()
        yield process


@pytest.fixture(autouse=True)
def bystander(process):
    """Beside every test somebody sends rows as one should."""
    before = process.accepted("m")
    with Bystander(process) as bystander:
        yield bystander
        wait_until(lambda: bystander.statuses)
    assert set(bystander.statuses) == {200}
    assert bystander.slowest_s < BYSTANDER_MAX_S
    assert process.accepted("m") >= before + len(bystander.statuses)
    assert "Traceback" not in process.log
    assert "request failed" not in process.log


def request(body=BODY, *, path=PATH, method=b"POST", kind=b"application/json", length=None, extra=b""):
    length = b"%d" % len(body) if length is None else length
    head = [method + b" " + path + b" HTTP/1.1", b"host: driftline", b"content-type: " + kind]
    head += [b"content-length: " + length] if length else []
    return b"\r\n".join(head) + b"\r\n" + extra + b"\r\n" + body


def chunked(*pieces, end=True, kind=b"application/json"):
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + (b"0\r\n\r\n" if end else b"")
    return request(body, length=b"", kind=kind, extra=b"transfer-encoding: chunked\r\n")


@pytest.mark.parametrize(
    "data",
    [
        request(length=b"-5"),
        request(length=b"+5"),
        request(length=b"5, 5"),
        request(length=b"0x10"),
        request(length=b"99999999999999999999999999"),
        request(extra=b"content-length: 3\r\n"),
        request(extra=b"transfer-encoding: chunked\r\n"),
        b"POST\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST " + PATH + b" HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n",
        b"POST " + PATH + b" HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n",
        b"POST /v1/\xff\xfe HTTP/1.1\r\nhost: a\r\n\r\n",
        chunked(BODY).replace(b"%x\r\n" % len(BODY), b"zz\r\n"),
        chunked(BODY).replace(b"%x\r\n" % len(BODY), b"-5\r\n"),
    ],
)
def test_what_is_not_http_is_answered_400_and_the_connection_ends(process, data):
    answer = process.raw(data)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == PROBLEM_TYPE
    assert answer.json()["status"] == 400
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "head",
    [
        b"x-big: " + b"a" * 100_000 + b"\r\n",
        b"".join(b"x-%d: %s\r\n" % (number, b"a" * 500) for number in range(200)),
    ],
)
def test_a_head_beyond_its_limit_is_answered_431(process, head):
    answer = process.raw(request(extra=head))

    assert answer.status_code == 431
    assert answer.json()["title"] == "Request Header Fields Too Large"


def test_a_header_without_end_takes_no_memory(process):
    before = process.memory_bytes()

    with process.connect() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nx-endless: ")
        for _ in range(400):
            connection.sendall(b"a" * 65536)

    assert process.memory_bytes() < before + (8 << 20)


def test_a_long_path_and_a_long_query_are_answered(process):
    for path in (b"/v1/models/" + b"m" * 5_000 + b"/inferences", PATH + b"?version=" + b"v" * 5_000):
        answer = process.raw(request(path=path))

        assert answer.status_code in {404, 422}
        assert answer.headers["content-type"] == PROBLEM_TYPE
        assert len(answer.content) < 1_000


@pytest.mark.parametrize("data", [b"", b"POST " + PATH, b"POST " + PATH + b" HTTP/1.1\r\nhost: a\r\nx-slow: "])
def test_a_head_that_never_ends_is_given_up(process, data):
    started = time.monotonic()

    with process.connect() as connection:
        connection.sendall(data)
        answer = answer_on(connection)

    assert (answer is None) if not data else (answer.status_code == 408)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("kind", [b"application/json", b"text/csv", b"application/x-ndjson"])
@pytest.mark.parametrize("sent", [b"", b"{"])
def test_a_body_that_never_ends_is_answered_408_and_the_connection_ends(process, kind, sent):
    answer = process.raw(request(sent, length=b"1000", kind=kind))

    assert answer.status_code == 408
    assert answer.headers["connection"] == "close"
    assert answer.json()["detail"] == "the body did not come in time"


def test_an_arrow_stream_that_never_ends_is_answered_408(process):
    answer = process.raw(request(b"\xff\xff\xff\xff", length=b"1000", kind=b"application/vnd.apache.arrow.stream"))

    assert answer.status_code == 408


def test_a_body_that_trickles_is_answered_408_in_bounded_time(process):
    started = time.monotonic()

    with process.connect() as connection:
        connection.sendall(request(b"", length=b"100000"))
        connection.setblocking(False)
        answer = None
        while answer is None:
            assert time.monotonic() - started < 10
            with contextlib.suppress(BlockingIOError):
                connection.sendall(b" ")
            time.sleep(0.05)
            with contextlib.suppress(BlockingIOError):
                answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_control_plane_body_that_never_ends_is_answered_408(process):
    answer = process.raw(request(b"{", length=b"1000", method=b"PUT", path=b"/v1/models/other"))

    assert answer.status_code == 408
    assert answer.headers["content-type"] == PROBLEM_TYPE


def test_a_body_that_is_refused_early_and_never_sent_does_not_keep_the_connection(process):
    with process.connect() as connection:
        connection.sendall(request(b"", length=b"1000", path=b"/v1/models/nobody/inferences"))
        answer = answer_on(connection)
        ended = answer_on(connection)

    assert answer.status_code == 404
    assert ended is None


@pytest.mark.parametrize("cut", [0, 1, 10, len(BODY) - 1])
def test_a_sender_that_goes_away_in_the_middle_is_not_counted(process, cut):
    before = process.client.get("/v1/models/m").json()

    with process.connect() as connection:
        connection.sendall(request(BODY[:cut], length=b"%d" % len(BODY)))

    assert process.client.get("/v1/models/m").json()["model"] == before["model"]
    assert process.send([]).json()["accepted"] == 0


def test_a_sender_that_goes_away_while_its_rows_are_committed_harms_nobody(process):
    body = encoded(rows_of(500))
    for _ in range(20):
        with process.connect() as connection:
            connection.sendall(request(body))

    assert process.send(ROW).json()["accepted"] == 1


def test_a_stream_that_is_cut_off_and_sent_again_counts_every_row_once(process):
    process.client.put("/v1/models/cut", json={}).raise_for_status()
    process.model("cut")
    rows = rows_of(3_500)
    lines = [encoded(row) + b"\n" for row in rows]
    key = b"idempotency-key: one\r\n"

    def sent(n, *, whole):
        body = b"".join(lines[:n])
        data = request(
            b"%x\r\n%s\r\n" % (len(body), body) + (b"0\r\n\r\n" if whole else b""),
            length=b"",
            path=b"/v1/models/cut/inferences",
            kind=b"application/x-ndjson",
            extra=b"transfer-encoding: chunked\r\n" + key,
        )
        if whole:
            return process.raw(data)
        with process.connect() as connection:
            connection.sendall(data)
        return None

    sent(1_500, whole=False)
    wait_until(lambda: process.accepted("cut") == 1_000)
    sent(2_700, whole=False)
    wait_until(lambda: process.accepted("cut") == 2_000)
    whole, again = sent(3_500, whole=True), sent(3_500, whole=True)
    other = process.send(b"".join(lines[1:]), model="cut", headers={**NDJSON, "idempotency-key": "one"})

    assert (whole.json()["accepted"], whole.json()["duplicate"]) == (3_500, False)
    assert (again.json()["accepted"], again.json()["duplicate"]) == (3_500, True)
    assert other.status_code == 422
    assert process.accepted("cut") == 3_500


def test_requests_in_one_packet_are_answered_in_their_order(process):
    data = request(encoded([ROW] * 1)) + request(encoded([ROW] * 2)) + request(b"{") + request(encoded([ROW] * 3))

    with process.connect() as connection:
        connection.sendall(data)
        received = b""
        while received.count(b"HTTP/1.1 ") < 4 or not received.endswith(b"}"):
            received += connection.recv(65536)

    answers = [part.partition(b"\r\n\r\n") for part in received.split(b"HTTP/1.1 ")[1:]]
    assert [head[:3] for head, _, _ in answers] == [b"200", b"200", b"400", b"200"]
    assert [json.loads(body).get("accepted") for _, _, body in answers] == [1, 2, None, 3]


def test_a_body_of_many_chunks_of_one_byte_is_read(process):
    answer = process.raw(chunked(*(BODY[i : i + 1] for i in range(len(BODY)))))

    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)


def test_a_body_larger_than_announced_is_cut_where_it_was_announced(process):
    with process.connect() as connection:
        connection.sendall(request(BODY + b"trailing", length=b"%d" % len(BODY)))
        answer, rest = answer_on(connection), answer_on(connection)

    assert (answer.status_code, answer.json()["accepted"], answer.headers["connection"]) == (200, 1, "close")
    assert rest is None


def test_who_asks_whether_to_go_on_is_told_before_the_body(process):
    with process.connect() as connection:
        connection.sendall(request(b"", length=b"%d" % len(BODY), extra=b"expect: 100-continue\r\n"))
        told = connection.recv(100)
        connection.sendall(BODY)
        answer = answer_on(connection)

    assert told.startswith(b"HTTP/1.1 100 ")
    assert answer.json()["accepted"] == 1


def test_who_asks_whether_to_go_on_with_a_body_beyond_the_limit_is_told_not_to(process):
    answer = process.raw(request(b"", length=b"300000", extra=b"expect: 100-continue\r\n"))

    assert answer.status_code == 413
    assert "application/x-ndjson" in answer.json()["detail"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize(
    ("kind", "unit", "mebibytes", "statuses"),
    [
        ("application/json", b" ", 100, {413}),
        ("application/json", b"[", 100, {413}),
        ("text/csv", b"a\n", 100, {413}),
        ("application/vnd.apache.parquet", b"\0", 100, {413}),
        ("application/x-ndjson", b"\n", 4, {200}),
        ("application/x-ndjson", b"{}\n", 1, {200}),
        ("application/x-ndjson", b"a", 100, {413}),
        ("application/vnd.apache.arrow.stream", b"\0", 100, {400, 413}),
    ],
)
def test_a_bomb_is_answered_and_takes_no_memory(process, pack, kind, unit, mebibytes, statuses):
    encoding = "zstd" if pack is not gzip.compress else "gzip"
    bomb = pack(unit * ((mebibytes << 20) // len(unit)))
    before = process.memory_bytes()

    answer = process.send(bomb, headers={"content-type": kind, "content-encoding": encoding})

    assert answer.status_code in statuses
    assert process.memory_bytes("VmRSS") < before + (90 << 20)


def test_many_slow_senders_at_a_time_delay_nobody(process, bystander):
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(process.connect()) for _ in range(100)]
        for connection in connections:
            connection.sendall(request(b"{", length=b"1000"))
        answers = [answer_on(connection) for connection in connections]

    assert {answer.status_code for answer in answers} == {408}


def test_slow_arrow_streams_leave_room_for_others_in_bounded_time(process):
    kind = "application/vnd.apache.arrow.stream"
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(process.connect())
            connection.sendall(request(b"\xff\xff\xff\xff", length=b"100000", kind=kind.encode()))
        refused = []

        def taken():
            answer = process.send(b"", headers={"content-type": kind})
            refused.append(answer)
            return answer.status_code == 400

        wait_until(taken)

    assert {answer.status_code for answer in refused} <= {400, 429}
    assert all(answer.headers["retry-after"] == "1" for answer in refused if answer.status_code == 429)
