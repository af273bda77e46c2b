"""Bodies that come whole with their head are answered without ASGI: nobody can tell by the answer, and nothing counts twice."""

import asyncio
import contextlib
import json
import socket

import pytest
from serving import ROW, Process, encoded, rows_of, serving, wait_until
from test_ingest_rounds import pending, played

KIND = [(b"content-type", b"application/json")]
PATH = b"/v1/models/m/inferences"


@pytest.fixture(scope="module", params=["committed", "received"])
def process(request, tmp_path_factory):
    with Process(tmp_path_factory.mktemp("serve"), auth="none") as process:
        for model in ("m", "keyed", "counted"):
            process.client.put(f"/v1/models/{model}", json={"ack": request.param}).raise_for_status()
            process.model(model)
        yield process


def head(body, *, path=PATH, method=b"POST", protocol=b"HTTP/1.1", kind=b"application/json", extra=b""):
    lines = [method + b" " + path + b" " + protocol, b"host: driftline", b"content-type: " + kind]
    return b"\r\n".join([*lines, b"content-length: %d" % len(body)]) + b"\r\n" + extra + b"\r\n"


def answers(connection, n):
    """The next answers on a socket, without the time."""
    with connection.makefile("rb") as stream:
        found = []
        for _ in range(n):
            lines = []
            while (line := stream.readline().rstrip()) and line:
                lines.append(line)
            (length,) = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]
            found.append(([line for line in lines if not line.startswith(b"date:")], stream.read(length)))
        return found


def answered(process, *pieces, n=1):
    """What comes back when each piece is sent after the one before it has been read."""
    with socket.create_connection(("127.0.0.1", process.port), 30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place, piece in enumerate(pieces):
            if place:
                process.client.get("/livez")  # answered by the same loop: what was sent before it has been read
            connection.sendall(piece)
        return answers(connection, n)


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (encoded(ROW), {}),
        (encoded([ROW, {**ROW, "temp": "warm"}, 7]), {}),
        (encoded({"rows": rows_of(20)}), {}),
        (encoded({**ROW, "nobody": 1}), {}),
        (b'{"temp": NaN}', {}),
        (b"{", {}),
        (b"7", {}),
        (b"[" + b",".join([b"{}"] * 1_001) + b"]", {}),
        (encoded(ROW), {"kind": b"application/json; charset=utf-8"}),
        (encoded(ROW), {"kind": b"application/x-ndjson"}),
        (encoded(ROW), {"kind": b"text/plain"}),
        (encoded(ROW), {"method": b"PUT"}),
        (encoded(ROW), {"path": PATH + b"?version=1"}),
        (encoded(ROW), {"path": PATH + b"?version=9"}),
        (encoded(ROW), {"extra": b"content-encoding: gzip\r\n"}),
        (encoded(ROW), {"extra": b"content-encoding: br\r\n"}),
        (encoded(ROW), {"extra": b"idempotency-key: \xe4\r\n"}),
        (encoded(ROW), {"extra": b"connection: close\r\n"}),
        (encoded(ROW), {"protocol": b"HTTP/1.0"}),
        (encoded(ROW), {"protocol": b"HTTP/1.0", "extra": b"connection: keep-alive\r\n"}),
        (encoded(ROW), {"extra": b"connection: upgrade\r\nupgrade: websocket\r\n"}),
        (
            encoded(ROW),
            {"extra": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"},
        ),
    ],
)
def test_a_body_that_comes_whole_is_answered_as_one_that_comes_in_pieces(process, body, options):
    request = head(body, **options)

    whole = answered(process, request + body)

    assert whole == answered(process, request + body[:-1], body[-1:])
    assert whole == answered(process, request, body)


def test_a_key_is_known_whichever_way_its_body_comes(process):
    body = encoded([ROW] * 3)
    request = head(body, path=PATH.replace(b"m/i", b"keyed/i"), extra=b"idempotency-key: k1\r\n")

    for pieces in ([request + body], [request, body], [request + body]):
        answered(process, *pieces)
    process.send([ROW], model="keyed")

    wait_until(lambda: process.accepted("keyed") == 4)


def test_many_requests_in_one_piece_are_answered_in_their_order(process):
    bodies = [encoded([ROW] * n) for n in range(1, 30)]

    found = answered(process, b"".join(head(body) + body for body in bodies), n=len(bodies))

    assert [json.loads(body)["accepted"] for _, body in found] == list(range(1, 30))


def test_requests_of_both_ways_in_one_piece_are_answered_in_their_order(process):
    body = encoded(ROW)
    alive = b"GET /livez HTTP/1.1\r\nhost: driftline\r\n\r\n"
    row, other = head(body) + body, head(body, kind=b"text/plain") + body

    found = answered(process, b"".join([row, alive, row, row, other, alive, row]), n=7)

    statuses = [lines[0].split()[1] for lines, _ in found]
    assert statuses == [b"200", b"200", b"200", b"200", b"415", b"200", b"200"]
    assert [b"accepted" in body for _, body in found] == [True, False, True, True, False, False, True]


def test_every_row_is_counted_once(process):
    request = head(encoded(ROW), path=PATH.replace(b"m/i", b"counted/i")) + encoded(ROW)

    found = answered(process, *[request] * 5, n=5)

    assert len(found) == 5
    wait_until(lambda: process.accepted("counted") == 5)


def test_what_the_store_cannot_take_is_answered_503(tmp_path):
    async def scenario():
        async with serving(tmp_path) as api:
            await api.model()
            api.store.ill = True
            told = asyncio.get_running_loop().create_future()
            taken = api.service.application.at_once(PATH, KIND, encoded(ROW), told.set_result)
            return taken, await told

    taken, response = asyncio.run(scenario())

    assert taken
    assert response.status == 503
    assert (b"retry-after", b"1") in response.headers


def test_senders_that_come_together_are_waited_for():
    async def scenario(scene):
        async def sender():
            for _ in range(5):
                await scene.buffer.add(pending("a", 1), 0)
                await asyncio.sleep(0)  # as far apart as answers and next requests are
                await asyncio.sleep(0)

        standing = await scene.hold()
        senders = [asyncio.create_task(sender()) for _ in range(8)]
        await asyncio.sleep(0)
        scene.store.gate.set()
        await asyncio.gather(standing, *senders)
        return scene.watched.commits

    assert played(scenario) == [1, 8, 8, 8, 8, 8]


def test_who_does_not_come_again_is_not_waited_for_long():
    async def scenario(scene):
        standing = await scene.hold()
        others = [asyncio.create_task(scene.buffer.add(pending("a", 1), 0)) for _ in range(8)]
        await asyncio.sleep(0)
        scene.store.gate.set()
        await asyncio.gather(standing, *others)
        await scene.buffer.add(pending("a", 1), 0)
        await scene.buffer.add(pending("a", 1), 0)
        return scene.watched.commits

    assert played(scenario) == [1, 8, 1, 1]


UPGRADE = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"


def test_a_body_behind_the_offer_of_an_upgrade_is_a_body(process):
    deletion = b"DELETE /v1/models/m HTTP/1.1\r\nhost: driftline\r\n\r\n"

    ((lines, _),) = answered(process, head(deletion, extra=UPGRADE), deletion)

    assert lines[0].split()[1] == b"400"  # no JSON
    assert process.client.get("/v1/models/m").status_code == 200


def test_the_offer_of_an_upgrade_in_a_head_that_comes_in_pieces_is_refused(process):
    request = head(encoded(ROW), extra=UPGRADE)

    ((lines, _),) = answered(process, request[:40], request[40:] + encoded(ROW))

    assert lines[0].split()[1] == b"400"


def chunked(body, trailers=b""):
    return b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(body), body, trailers)


def test_a_trailer_is_no_header(process):
    path = PATH.replace(b"m/i", b"counted/i")
    request = head(b"", path=path).replace(b"content-length: 0", b"transfer-encoding: chunked")
    request += chunked(encoded(ROW), b"idempotency-key: t1\r\n")

    found = [json.loads(body)["duplicate"] for _ in range(2) for _, body in answered(process, request)]

    assert found == [False, False]


@pytest.mark.parametrize("trailer", [b"x: " + b"y" * 1_000 + b"\r\n", b"x"])
def test_trailers_without_end_end_the_connection(process, trailer):
    start = head(b"").replace(b"content-length: 0", b"transfer-encoding: chunked") + b"0\r\n"
    before = process.memory_bytes()
    with socket.create_connection(("127.0.0.1", process.port), 30) as connection:
        connection.sendall(start)
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 32 << 20:
                connection.sendall(trailer * 64)
                sent += 64 * len(trailer)
        assert sent < 32 << 20
    assert process.memory_bytes() - before < 16 << 20


def test_who_sends_requests_and_reads_no_answer_is_read_no_further(process):
    before = process.memory_bytes()
    requests = b"GET /livez HTTP/1.1\r\nhost: driftline\r\n\r\n" * 1_000_000
    with socket.create_connection(("127.0.0.1", process.port), 2) as connection, pytest.raises(OSError):  # noqa: PT011 - cut, or late
        connection.sendall(requests)
    assert process.memory_bytes() - before < 64 << 20


def test_rows_that_find_no_room_are_dropped_and_counted_once(tmp_path):
    async def scenario():
        async with serving(tmp_path, limits={"buffer_rows_max": 100}) as api:
            await api.model(configuration={"ack": "received"})
            api.store.gate.clear()
            await api.send([ROW] * 400)
            told = asyncio.get_running_loop().create_future()
            assert api.service.application.at_once(PATH, KIND, encoded([ROW] * 7), told.set_result)
            response = await told
            text = (await api.client.get("/metrics")).text
            api.store.gate.set()
            return response, [line for line in text.splitlines() if 'fate="dropped"' in line]

    response, (dropped,) = asyncio.run(scenario())

    assert response.status == 429
    assert dropped.endswith(" 7.0")
