"""What happens when rows come faster than the store takes them, and when it takes none."""

import asyncio

import pytest
from bodies import body_of
from serving import JSON, NDJSON, ROW, asgi, encoded, problem_in, rows_of, served, until
from test_ingest_formats import headers_of

RECEIVED = {"ack": "received"}


def closed(api):
    """Close the gate of the store, and wait until a commit stands before it."""

    async def standing():
        return api.store.commits > before

    before = api.store.commits
    api.store.gate.clear()
    return standing


def metric(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(name)]
    return float(line.split()[-1])


@pytest.mark.parametrize(
    ("limits", "rows_each"),
    [({"buffer_rows_max": 10}, 5), ({"buffer_bytes_max": "3KB"}, 1)],
    ids=["rows", "bytes"],
)
def test_a_full_buffer_refuses_with_429_and_recovers(tmp_path, limits, rows_each):
    async def scenario(api):
        await api.model()
        standing = closed(api)
        first = asyncio.create_task(api.send([ROW] * rows_each))
        await until(standing)
        waiting = [asyncio.create_task(api.send([ROW] * rows_each)) for _ in range(40)]

        async def all_but_a_few_answered():
            return sum(task.done() for task in waiting) >= 30

        await until(all_but_a_few_answered)
        refused = [task.result() for task in waiting if task.done()]
        api.store.gate.set()
        taken = [answer for answer in await asyncio.gather(first, *waiting) if answer.status_code == 200]
        return refused, taken, await api.send(ROW), await api.rows()

    refused, taken, after, rows = served(tmp_path, scenario, limits=limits)

    for answer in refused:
        assert problem_in(answer, 429)["detail"] == "too many rows wait for the store"
        assert answer.headers["retry-after"] == "1"
    assert after.status_code == 200
    assert rows == len(taken) * rows_each + 1


def test_rows_are_refused_before_their_body_is_read(tmp_path):
    async def scenario(api):
        await api.model()
        standing = closed(api)
        first = asyncio.create_task(api.send([ROW] * 10))
        await until(standing)
        answer = await asgi(api.service.application, path="/v1/models/m/inferences", pieces=[b"{"], end="silent")
        api.store.gate.set()
        await first
        return answer

    problem_in(served(tmp_path, scenario, limits={"buffer_rows_max": 10}), 429)


@pytest.mark.parametrize("form", ["ndjson", "csv", "arrow"])
def test_a_stream_that_has_begun_is_slowed_down_and_not_refused(tmp_path, form):
    rows = [{**row, "temp": row["temp"] or 0.0} for row in rows_of(40)] * 1_000
    body = body_of(form, rows)

    async def scenario(api):
        await api.model()
        answer = await api.send(body, headers=headers_of(form))
        both = await asyncio.gather(
            *(api.send(body, headers=headers_of(form)) for _ in range(2)), return_exceptions=True
        )
        return answer, both, await api.rows()

    answer, both, rows_stored = served(tmp_path, scenario, limits={"buffer_rows_max": 500})

    taken = [one for one in both if one.status_code == 200]
    assert answer.json()["accepted"] == len(rows)
    assert {one.status_code for one in both} <= {200, 429}
    assert rows_stored == len(rows) * (1 + len(taken))


def test_a_store_that_is_ill_counts_nothing_and_says_so(tmp_path):
    async def scenario(api):
        await api.model()
        api.store.ill = True
        refused = await asyncio.gather(*(api.send([ROW] * n, headers=JSON) for n in range(1, 6)))
        stream = await api.send(encoded(ROW) + b"\n", headers=NDJSON)
        ready = await api.client.get("/readyz")
        api.store.ill = False
        return (
            [*refused, stream, ready],
            await api.send(ROW),
            await api.client.get("/readyz"),
            await api.rows(),
            (await api.client.get("/metrics")).text,
        )

    refused, after, ready, rows, metrics = served(tmp_path, scenario)

    for answer in refused:
        problem_in(answer, 503)
    assert (after.status_code, ready.status_code, rows) == (200, 200, 1)
    assert metric(metrics, 'driftline_store_errors_total{operation="commit"}') >= 1


def test_rows_acknowledged_on_receipt_do_not_wait_for_the_store(tmp_path):
    async def scenario(api):
        await api.model(configuration=RECEIVED)
        closed(api)
        answers = [
            await api.send([ROW, ROW]),
            await api.send(b"\n".join([encoded(ROW), b"[]", encoded({**ROW, "more": 1})]), headers=NDJSON),
        ]
        before = await api.rows()
        api.store.gate.set()

        async def stored():
            return await api.rows() == 4

        await until(stored)
        return [answer.json() for answer in answers], before

    (first, second), before = served(tmp_path, scenario)

    assert first == {"accepted": 2, "rejected": 0, "late": 0, "duplicate": False, "errors": []}
    assert (second["accepted"], second["rejected"], second["ignored"]) == (2, 1, ["more"])
    assert before == 0


def test_rows_acknowledged_on_receipt_are_committed_when_the_service_stops(tmp_path):
    async def first(api):
        await api.model(configuration=RECEIVED)
        for _ in range(20):
            await api.send([ROW] * 5)

    async def second(api):
        return await api.rows()

    served(tmp_path, first, store="sqlite")

    assert served(tmp_path, second, store="sqlite") == 100


def test_rows_beyond_the_buffer_are_dropped_counted_and_refused_where_nobody_waits(tmp_path):
    async def scenario(api):
        await api.model(configuration=RECEIVED)
        standing = closed(api)
        answers = [await api.send([ROW] * 6)]
        await until(standing)
        answers += [await api.send([ROW] * 6) for _ in range(3)]
        api.store.gate.set()

        async def stored():
            return await api.rows() == 12

        await until(stored)
        return answers, await api.send(ROW)

    answers, after = served(tmp_path, scenario, limits={"buffer_rows_max": 10})

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert after.status_code == 200


def test_rows_acknowledged_on_receipt_wait_for_a_store_that_is_away_and_those_beyond_the_buffer_are_dropped(tmp_path):
    async def scenario(api):
        await api.model(configuration=RECEIVED)
        api.store.ill = True
        answers = [await api.send([ROW] * 7) for _ in range(3)]
        text = (await api.client.get("/metrics")).text
        api.store.ill = False

        async def stored():
            return await api.rows() == 14

        await until(stored)
        return answers, text, (await api.client.get("/metrics")).text

    answers, away, back = served(tmp_path, scenario, limits={"buffer_rows_max": 10})

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert metric(away, 'driftline_rows_total{fate="dropped",model="m"}') == 7
    assert metric(back, 'driftline_rows_total{fate="dropped",model="m"}') == 7
    assert metric(back, 'driftline_rows_total{fate="accepted",model="m"}') == 14


def test_rows_that_wait_when_their_model_is_deleted_are_answered_404(tmp_path):
    async def scenario(api):
        await api.model()
        standing = closed(api)
        first = asyncio.create_task(api.send(ROW))
        await until(standing)
        second = asyncio.create_task(api.send(ROW))
        await asyncio.sleep(0)
        await api.client.delete("/v1/models/m")
        api.store.gate.set()
        return await first, await second

    for answer in served(tmp_path, scenario):
        problem_in(answer, 404)


def test_rows_that_were_counted_by_what_a_model_was_are_counted_again(tmp_path):
    async def scenario(api):
        await api.model()
        standing = closed(api)
        sending = asyncio.create_task(api.send([ROW] * 3))
        await until(standing)
        await api.client.put("/v1/models/m", json={"columns": {"temp": {"role": "ignore"}}})
        api.store.gate.set()
        return (await sending).json(), await api.rows()

    answer, rows = served(tmp_path, scenario)

    assert (answer["accepted"], answer["duplicate"], rows) == (3, False, 3)


def test_a_service_that_stops_answers_503_to_what_comes_then(tmp_path):
    async def scenario(api):
        await api.model()
        await api.service.buffer.stop()
        return await api.send(ROW), api

    answer, _ = served(tmp_path, scenario)

    assert problem_in(answer, 503)["detail"] == "the service is stopping"
