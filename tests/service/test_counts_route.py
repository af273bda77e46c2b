"""What is posted to the route of counts is added once, or refused with the field and what was wanted; never a 500."""

import asyncio
import contextlib
import struct
import zlib

import msgspec
import numpy as np
import pytest
import zstandard
from fleet import beside
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import NOW_US, ROW, asgi, key_setting, problem_in, rows_of, served, serving

from detectors.learning import Sketch
from service.ports import LEARNING, LEARNING_PANE_US, TURNS_KEPT_US, Commit, Turn
from service.storage import codec
from service.storage.wire import COUNTS_TYPE, encode_counts

TYPE = {"content-type": COUNTS_TYPE}
PATH = "/v1/models/m/counts"
HOUR_US = 3_600_000_000
UNTOUCHED = object()


def post(centre, document, *, model="m", headers=TYPE):
    body = document if isinstance(document, bytes) else msgspec.msgpack.encode(document)
    return centre.client.post(f"/v1/models/{model}/counts", content=body, headers=headers)


async def sent_by_a_sidecar(centre, folder, rows, key="k"):
    """The document that a sidecar sends for rows; the centre has it then."""
    async with beside(centre, folder) as sidecar:
        assert (await sidecar.send(rows, key=key)).status_code == 200
        (body,) = [body for method, _, body in sidecar.wire.sent if method == "POST"]
        return msgspec.msgpack.decode(body)


@contextlib.asynccontextmanager
async def asked(folder, configuration=None, **kept):
    """A centre with a model, and a document that it would take."""
    async with serving(folder, **kept) as centre:
        await centre.model(configuration=configuration)
        document = await sent_by_a_sidecar(centre, folder, rows_of(5))
        yield centre, document | {"sender": "another", "marks": []}


def run(scenario):
    asyncio.run(scenario())


def changed(document, path, value):
    """A copy with one field changed, or taken out."""
    document = msgspec.msgpack.decode(msgspec.msgpack.encode(document))
    *way, last = path
    inner = document
    for step in way:
        inner = inner[step]
    if value is UNTOUCHED:
        del inner[last]
    else:
        inner[last] = value
    return document


def test_a_batch_is_counted_once_however_often_it_comes(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            first = await post(centre, document)
            again = await post(centre, document)

            assert (first.json()["counted"], first.json()["duplicate"]) == (True, False)
            assert (again.json()["counted"], again.json()["duplicate"]) == (True, True)
            assert await centre.rows() == 10

    run(scenario)


def test_a_batch_that_arrives_behind_a_later_one_of_its_sender_adds_nothing(tmp_path):
    """Its sender has given it up: it told whoever waited that it may or may not have been counted."""

    async def scenario():
        async with asked(tmp_path) as (centre, document):
            for number, duplicate in ((4, False), (3, True), (4, True), (5, False)):
                answer = (await post(centre, document | {"number": number})).json()
                assert (answer["counted"], answer["duplicate"]) == (True, duplicate), number

            assert await centre.rows() == 15

    run(scenario)


@pytest.mark.parametrize("store", ["memory", "sqlite", "redis"])
def test_many_batches_neither_forget_keys_of_clients_nor_are_forgotten_for_them(tmp_path, store):
    limits = {"idempotency_max": 3, "idempotency_retention": "1h"}

    async def scenario():
        async with serving(tmp_path, store=store, limits=limits) as centre:
            await centre.model()
            async with beside(centre, tmp_path) as sidecar:
                await sidecar.send(ROW, key="k")
                for _ in range(50):
                    await sidecar.send(ROW)
                last = sidecar.wire.sent[-1][2]
                await centre.service.ticks.sweep()
                assert (await sidecar.send(ROW, key="k")).json()["duplicate"]
                for number in range(10):
                    await centre.send(ROW, key=str(number))
                await centre.service.ticks.sweep()
                assert not (await sidecar.send(ROW, key="k")).json()["duplicate"]  # there is room for three of them

            centre.clock.us += TURNS_KEPT_US - HOUR_US
            await centre.service.ticks.sweep()
            assert (await post(centre, last)).json()["duplicate"]
            assert await centre.rows() == 62

    run(scenario)


def test_a_sidecar_hears_how_long_keys_are_known_and_holds_none_back_for_longer(tmp_path):
    async def scenario():
        async with (
            serving(tmp_path, limits={"idempotency_retention": "2h"}) as centre,
            beside(centre, tmp_path) as sidecar,
        ):
            await centre.model()
            await sidecar.send(ROW)

            assert sidecar.sidecar.buffer._keyed_for_s() == 3_600

    run(scenario)


def test_two_copies_at_the_same_time_are_counted_once(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            answers = await asyncio.gather(*(post(centre, document) for _ in range(8)))

            assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 7
            assert await centre.rows() == 10

    run(scenario)


def test_a_request_that_was_counted_before_keeps_its_batch_out_and_is_named(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre:
            await centre.model()
            document = await sent_by_a_sidecar(centre, tmp_path, rows_of(5), key="k")

            answer = (await post(centre, document | {"sender": "another"})).json()

            assert (answer["counted"], [known["key"] for known in answer["known"]]) == (False, ["/k#0"])
            assert await centre.rows() == 5

    run(scenario)


def test_the_answer_says_the_time_and_how_far_versions_have_come(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            answer = (await post(centre, document)).json()

            assert answer["now_us"] == NOW_US
            assert answer["progress"] == [{"version": "1", "newest_us": NOW_US, "advanced_at_us": NOW_US}]

    run(scenario)


def test_counts_of_another_epoch_are_a_conflict_and_add_nothing(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            for epoch in (document["epoch"] - 1, document["epoch"] + 1):
                problem = problem_in(await post(centre, document | {"epoch": epoch}), 409)
                assert "counting" in problem["detail"]

            assert await centre.rows() == 5

    run(scenario)


def test_a_batch_that_was_counted_is_known_whatever_epoch_it_names(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            await post(centre, document)
            await centre.client.put("/v1/models/m", json={"lateness": "5m"})

            again = await post(centre, document)

            assert (again.json()["counted"], again.json()["duplicate"]) == (True, True)
            assert await centre.rows() == 10

    run(scenario)


def counted(counts, n_bins):
    vector = np.zeros(n_bins, dtype=np.int64)
    vector[: len(counts)] = counts
    return codec.encode_dense(vector)


def huge(n_bins):
    """A payload whose first count is beyond 63 bits."""
    body = struct.pack("<Q", 1 << 63) + bytes(8 * (n_bins - 1))
    head = struct.pack("<cBBBII", b"C", 1, 0, 3, n_bins, n_bins)
    return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


def bomb(n_bins):
    """A payload whose few bytes inflate to far more than its head promises."""
    body = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 28))
    head = struct.pack("<cBBBII", b"C", 1, 2, 0, n_bins, n_bins)
    return head + struct.pack("<I", zlib.crc32(body, zlib.crc32(head))) + body


FIRST = ("deltas", 0)
ANSWER = b'{"accepted":1,"rejected":0,"late":0,"duplicate":false,"errors":[]}'
FAULTS = [
    (("format",), "driftline.counts/2", "format"),
    (("format",), UNTOUCHED, "format"),
    (("sender",), "", "sender"),
    (("sender",), "~x", "sender"),
    (("sender",), "x" * 65, "sender"),
    (("number",), 0, "number"),
    (("number",), 1 << 53, "number"),
    (("number",), "1", "number"),
    (("number",), UNTOUCHED, "number"),
    (("epoch",), -1, "epoch"),
    (("epoch",), 1 << 63, "epoch"),
    (("epoch",), "1", "epoch"),
    (("epoch",), 1.5, "epoch"),
    (("surplus",), 1, "surplus"),
    (("deltas",), {}, "deltas"),
    ((*FIRST, "version"), "2", "deltas[0].version"),
    ((*FIRST, "version"), "no such name", "deltas[0].version"),
    ((*FIRST, "version"), UNTOUCHED, "version"),
    ((*FIRST, "reference_id"), "sha256:" + "0" * 64, "deltas[0].reference_id"),
    ((*FIRST, "reference_id"), LEARNING, "deltas[0].reference_id"),
    ((*FIRST, "reference_id"), "", "deltas[0].reference_id"),
    ((*FIRST, "segment"), "eu", "deltas[0].segment"),
    ((*FIRST, "pane_start_us"), NOW_US + 1, "deltas[0].pane_start_us"),
    ((*FIRST, "pane_start_us"), NOW_US + 60_000_000, "deltas[0].pane_start_us"),
    ((*FIRST, "pane_start_us"), -(1 << 63), "deltas[0].pane_start_us"),
    ((*FIRST, "pane_start_us"), LEARNING_PANE_US, "deltas[0].pane_start_us"),
    ((*FIRST, "pane_start_us"), (1 << 64) - 1, "pane_start_us"),
    ((*FIRST, "pane_start_us"), NOW_US - NOW_US % HOUR_US + 24 * HOUR_US, "newest_us"),
    ((*FIRST, "pane_start_us"), NOW_US - NOW_US % HOUR_US - HOUR_US, "newest_us"),
    ((*FIRST, "rows"), 0, "deltas[0].rows"),
    ((*FIRST, "rows"), -5, "deltas[0].rows"),
    ((*FIRST, "rows"), 1, "deltas[0].payload"),
    ((*FIRST, "rows"), 6, "tally.accepted"),
    ((*FIRST, "rows"), 1 << 40, "deltas[0].rows"),
    ((*FIRST, "late"), 6, "deltas[0].late"),
    ((*FIRST, "late"), -1, "deltas[0].late"),
    ((*FIRST, "payload"), b"", "deltas[0].payload"),
    ((*FIRST, "payload"), "text", "deltas[0].payload"),
    ((*FIRST, "payload"), codec.wrap_sketch(b"12"), "deltas[0].payload"),
    ((*FIRST, "payload"), counted([1, 1], 7), "deltas[0].payload"),
    (("newest_us",), {}, "newest_us"),
    (("newest_us",), {"1": NOW_US, "2": NOW_US}, "newest_us"),
    (("newest_us",), {"1": NOW_US + HOUR_US}, "newest_us"),
    (("newest_us",), {"1": "now"}, "newest_us"),
    (("marks",), [{"key": "\n", "digest": b"", "answer": ANSWER}], "marks"),
    (("marks",), [{"key": "/k#0", "digest": b"", "answer": b"[]"}], "marks[0].answer"),
    (("marks",), [{"key": "/k#0", "digest": b"", "answer": b"\xff\xfe"}], "marks[0].answer"),
    (("marks",), [{"key": "/k#0", "digest": b"", "answer": ANSWER.replace(b"1", b'"1"')}], "marks[0].answer"),
    (("marks",), [{"key": "/k#0", "digest": b"", "answer": ANSWER.replace(b"1", b"-1")}], "marks[0].answer"),
    (("marks",), [{"key": "/k#0", "digest": b"", "answer": ANSWER}] * 2, "marks"),
    (("marks",), [{"key": "/k#0", "digest": b"x" * 65, "answer": ANSWER}], "digest"),
    (("tally", "accepted"), 4, "tally.accepted"),
    (("tally", "late"), 6, "tally.late"),
    (("tally", "rejected"), {"for a reason of its own": 1}, "tally.rejected"),
    (("tally", "rejected"), {"future": -1}, "rejected"),
    (("tally", "ignored_cells"), -1, "ignored_cells"),
]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    """What each fault is answered, and the rows that the centre has in the end."""

    async def collected():
        async with asked(tmp_path_factory.mktemp("faults")) as (centre, document):
            n_bins = codec.bins_of(document["deltas"][0]["payload"])
            answers = [await post(centre, changed(document, path, value)) for path, value, _ in FAULTS]
            of_bins = [
                await post(centre, changed(document, (*FIRST, "payload"), payload))
                for payload in (huge(n_bins), bomb(n_bins), counted([3, 3], n_bins), counted([6], n_bins))
            ]
            return answers, of_bins, await centre.rows(), centre.log

    return asyncio.run(collected())


@pytest.mark.parametrize(
    "number", range(len(FAULTS)), ids=lambda number: f"{'.'.join(map(str, FAULTS[number][0]))}-{number}"
)
def test_a_faulty_document_is_refused_with_the_field(refusals, number):
    _, _, field = FAULTS[number]
    answer = refusals[0][number]

    assert answer.status_code in {400, 422}
    detail = problem_in(answer, answer.status_code)["detail"]
    assert "wanted" in detail or "Expected" in detail or "missing" in detail or "unknown field" in detail
    assert field.split(".")[-1].split("[")[0] in detail


def test_counts_that_cannot_be_are_refused(refusals):
    for answer in refusals[1]:
        assert "deltas[0].payload" in problem_in(answer, 422)["detail"]


def test_nothing_of_what_was_refused_is_counted(refusals):
    _, _, rows, log = refusals

    assert rows == 5
    assert "request failed" not in log


def test_a_body_that_was_cut_off_anywhere_is_refused(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            body = msgspec.msgpack.encode(document)
            statuses = {(await post(centre, body[:end])).status_code for end in range(len(body))}

            assert statuses == {400}
            assert await centre.rows() == 5

    run(scenario)


def test_a_body_with_a_flipped_bit_is_refused_or_says_something_else(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            body = msgspec.msgpack.encode(document)
            for place in range(len(body)):
                flipped = body[:place] + bytes([body[place] ^ 0x81]) + body[place + 1 :]
                assert (await post(centre, flipped)).status_code in {200, 400, 409, 422}, place

            assert "request failed" not in centre.log

    run(scenario)


def test_whatever_is_posted_is_never_a_server_error(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            loop = asyncio.get_running_loop()

            def status(body):
                return asyncio.run_coroutine_threadsafe(post(centre, body), loop).result().status_code

            values = st.recursive(
                st.none()
                | st.booleans()
                | st.integers(-(1 << 63), (1 << 64) - 1)
                | st.floats()
                | st.text()
                | st.binary(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=8,
            )
            paths = st.sampled_from([path for path, _, _ in FAULTS])

            @given(body=st.binary(), path=paths, value=values)
            @settings(
                max_examples=300,
                derandomize=True,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            def check(body, path, value):
                assert status(body) in {400, 422}
                assert status(changed(document, path, value)) in {200, 400, 409, 422}

            await asyncio.to_thread(check)
            assert "request failed" not in centre.log

    run(scenario)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_may_be_compressed_and_must_be_what_it_says(tmp_path, encoding):
    import gzip  # noqa: PLC0415 - beside its name

    async def scenario():
        async with asked(tmp_path, limits={"inflated_bytes_max": "1MiB"}) as (centre, document):
            compress = gzip.compress if encoding == "gzip" else zstandard.ZstdCompressor().compress
            headers = TYPE | {"content-encoding": encoding}
            body = compress(msgspec.msgpack.encode(document))

            problem_in(await post(centre, body[: len(body) // 2], headers=headers), 400)
            problem_in(await post(centre, b"neither", headers=headers), 400)
            problem_in(await post(centre, compress(bytes(1 << 24)), headers=headers), 413)
            assert (await post(centre, body, headers=headers)).json()["counted"]

    run(scenario)


def test_a_body_beyond_the_limit_another_type_and_another_method_are_refused(tmp_path):
    async def scenario():
        async with asked(tmp_path, limits={"body_bytes_max": "10KiB"}) as (centre, document):
            problem_in(await post(centre, bytes(20_000)), 413)
            problem_in(await post(centre, document, headers={"content-type": "application/json"}), 415)
            problem_in(await post(centre, document, headers=TYPE | {"content-encoding": "br"}), 415)
            problem_in(await centre.client.get(PATH), 405)
            problem_in(await post(centre, document, model="no-such"), 404)
            problem_in(await post(centre, document, model="no%20name"), 404)

    run(scenario)


def test_a_sender_who_goes_in_the_middle_leaves_no_trace(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            body = msgspec.msgpack.encode(document)

            answer = await asgi(centre.service.application, path=PATH, pieces=(body[:50],), headers=TYPE, end="gone")

            assert answer is None
            assert await centre.rows() == 5

    run(scenario)


def test_while_the_store_is_ill_counts_are_asked_for_again(tmp_path):
    async def scenario():
        async with asked(tmp_path) as (centre, document):
            centre.store.ill = True
            problem_in(await post(centre, document), 503)
            centre.store.ill = False

            assert (await post(centre, document)).json() == (await post(centre, document)).json() | {"duplicate": False}
            assert await centre.rows() == 10

    run(scenario)


def test_more_than_may_wait_is_asked_for_later(tmp_path):
    async def scenario():
        async with asked(tmp_path, limits={"buffer_bytes_max": "1KiB"}) as (centre, document):
            centre.store.gate.clear()
            first = [asyncio.ensure_future(post(centre, document | {"sender": f"b.{n}"})) for n in range(20)]
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            refused = [await one for one in first if one.done()]
            centre.store.gate.set()
            taken = [answer for answer in [await one for one in first] if answer.status_code == 200]

            assert {answer.status_code for answer in refused} == {429}
            assert await centre.rows() == 5 + 5 * len(taken)

    run(scenario)


def sketch_of(rows):
    from detectors.binning import ColumnValues  # noqa: PLC0415 - for this alone

    values = ColumnValues(values=np.arange(float(rows)))
    return codec.wrap_sketch(Sketch.of({"temp": values}, rows, {}).to_bytes())


def sketch_bomb():
    """A sketch whose header inflates to a quarter of a gigabyte."""
    header = zlib.compress(b" " * (1 << 28), 9)
    body = struct.pack("<I", len(header)) + header
    return codec.wrap_sketch(struct.pack("<3sBI", b"DLS", 1, zlib.crc32(body)) + body)


def test_sketches_are_taken_while_a_version_learns_and_counts_are_not(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre:
            await centre.client.put("/v1/models/m", json={})
            epoch = centre.service.registry.get("m").epoch
            pane_us = LEARNING_PANE_US + NOW_US // HOUR_US
            delta = {
                "version": "1",
                "reference_id": LEARNING,
                "pane_start_us": pane_us,
                "rows": 3,
                "payload": sketch_of(3),
            }
            document = {
                "format": "driftline.counts/1",
                "sender": "b",
                "number": 1,
                "epoch": epoch,
                "deltas": [delta],
                "newest_us": {"1": NOW_US},
                "tally": {"accepted": 3},
            }
            faults = {
                "payload": [counted([1], 8), b"S", b"Snothing", sketch_of(3)[:-1], sketch_bomb()],
                "rows": [4],
                "late": [1],
                "reference_id": ["sha256:" + "0" * 64],
                "pane_start_us": [NOW_US, LEARNING_PANE_US - (1 << 40), (1 << 63) - 1],
            }
            for field, values in faults.items():
                for value in values:
                    answer = await post(centre, changed(document, (*FIRST, field), value))
                    assert answer.status_code == 422, field

            assert (await post(centre, document)).json()["counted"]
            assert await centre.rows() == 3
            await centre.service.ticks.sweep()

    run(scenario)


def test_fates_are_counted_as_if_the_rows_had_been_posted_here(tmp_path):
    async def metrics_of(client):
        lines = (await client.get("/metrics")).text.splitlines()
        return sorted(line for line in lines if line.startswith(("driftline_rows_", "driftline_ignored_")))

    bodies = [
        ({"rows": [ROW, 7, ROW | {"other": 1}]}, None),
        ([ROW | {"at": "2026-03-02T13:00:00Z"}, ROW | {"at": "yesterday"}, ROW], None),
        ([ROW | {"at": "2026-03-02T12:00:00Z"}] * 3, "k"),
        ([ROW | {"at": "2026-03-02T11:00:00Z"}] * 3, "late"),
        ([ROW | {"at": "2020-01-01T00:00:00Z"}] * 2, None),
    ]

    async def scenario(api):
        await api.model(configuration={"columns": {"at": {"role": "time"}}})
        for body, key in bodies:
            await api.send(body, key=key)
        return await metrics_of(api.client)

    async def beside_it():
        async with serving(tmp_path) as centre:
            await centre.model(configuration={"columns": {"at": {"role": "time"}}})
            async with beside(centre, tmp_path) as sidecar:
                for body, key in bodies:
                    await sidecar.send(body, key=key)
            return await metrics_of(centre.client)

    assert asyncio.run(beside_it()) == served(tmp_path, scenario)


@pytest.mark.parametrize("name", ["bad%20name", "-x", "%7B%7D", "a" * 300, "x%0Ay"])
def test_nobody_makes_a_model_that_cannot_be_named(tmp_path, name):
    document = encode_counts(Commit(model="x", epoch=0, deltas=()), Turn(sender="b", number=1))

    async def scenario():
        async with serving(tmp_path, limits={"unknown_models": "learn"}) as centre:
            answer = await post(centre, document, model=name)
            return answer.status_code, await centre.store.epochs()

    assert asyncio.run(scenario()) == (404, {})


def test_a_key_for_a_model_that_is_not_there_yet_may_ask_for_its_epoch(tmp_path):
    keys = [key_setting("b", "b", ["ingest", "read"], ["m1"]), key_setting("r", "r", ["read"])]

    async def scenario():
        async with serving(tmp_path, auth={"keys": keys}) as centre:
            found = [
                await centre.client.get("/v1/counting", headers={"authorization": f"Bearer {key}"})
                for key in ("b", "r", "nobody")
            ]
            return [answer.status_code for answer in found], found[0].json()["epochs"]

    assert asyncio.run(scenario()) == ([200, 403, 401], {})
