"""A request that is sent again is counted once and answered alike."""

import asyncio
import gzip
import io

import pyarrow as pa
import pytest
from bodies import arrow_body, body_of, parquet_body
from serving import JSON, NDJSON, ROW, Served, asgi, encoded, problem_in, rows_of, served, serving, until
from test_ingest_formats import PACKED, TYPES, bodies_of, headers_of

ROWS = rows_of(40)
HOUR_US = 3_600_000_000


def keyed(headers, key="k"):
    return {**headers, "idempotency-key": key}


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("form", [form for form in TYPES if form != "row"])
def test_a_repeat_is_counted_once_and_gets_the_same_answer(tmp_path, form, store):
    async def scenario(api):
        await api.model()
        (body,) = bodies_of(form, [{**row, "more": 1} for row in ROWS])
        headers = keyed(headers_of(form))
        return [(await api.send(body, headers=headers)).json() for _ in range(3)], await api.rows()

    (first, *others), rows = served(tmp_path, scenario, store=store)

    assert (first["accepted"], first["duplicate"], first["ignored"]) == (40, False, ["more"])
    assert others == [{**first, "duplicate": True}] * 2
    assert rows == 40


@pytest.mark.parametrize("form", ["rows", "columns", "ndjson", "csv", "arrow", "parquet"])
def test_the_same_key_with_another_body_is_refused(tmp_path, form):
    async def scenario(api):
        await api.model()
        await api.send(body_of(form, ROWS), headers=keyed(headers_of(form)))
        return await api.send(body_of(form, ROWS[1:]), headers=keyed(headers_of(form))), await api.rows()

    answer, rows = served(tmp_path, scenario)

    assert problem_in(answer, 422)["detail"] == "the idempotency key was used before, with another body"
    assert rows == 40


@pytest.mark.parametrize("form", ["rows", "ndjson", "csv", "arrow", "parquet"])
def test_a_repeat_may_be_compressed_otherwise_than_the_first(tmp_path, form):
    body = body_of(form, ROWS)

    async def scenario(api):
        await api.model()
        sent = [
            (body, "identity"),
            (gzip.compress(body, mtime=1), "gzip"),
            (gzip.compress(body, 1, mtime=2), "gzip"),
            (PACKED["zstd"](body), "zstd"),
        ]
        answers = [await api.send(data, headers=keyed(headers_of(form, encoding))) for data, encoding in sent]
        return [answer.json().get("duplicate") for answer in answers], await api.rows()

    assert served(tmp_path, scenario) == ([False, True, True, True], 40)


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_repeats_at_the_same_time_are_counted_once(tmp_path, store):
    async def scenario(api):
        await api.model()
        answers = await asyncio.gather(*(api.send(ROWS, key="k") for _ in range(30)))
        mixed = await asyncio.gather(*(api.send(ROWS[: number % 3], key="other") for number in range(30)))
        return [answer.json() for answer in answers], [answer.status_code for answer in mixed], await api.rows()

    answers, mixed, rows = served(tmp_path, scenario, store=store)

    assert sorted(answer["duplicate"] for answer in answers) == [False] + [True] * 29
    assert {answer["accepted"] for answer in answers} == {40}
    assert sorted(mixed) == [200] * 10 + [422] * 20
    assert rows in {40, 41, 42}


def test_repeats_at_the_same_time_to_two_services_are_counted_once(tmp_path):
    async def scenario():
        async with serving(tmp_path, store="sqlite") as one:
            await one.model()
            async with serving(tmp_path, store="sqlite") as other:
                answers = await asyncio.gather(*((one, other)[n % 2].send(ROWS, key=f"k{n // 4}") for n in range(40)))
                return [answer.json()["duplicate"] for answer in answers], await one.rows()

    duplicates, rows = asyncio.run(scenario())

    assert duplicates.count(False) == 10
    assert rows == 400


def test_keys_are_of_one_model_and_of_the_version_that_was_asked_for(tmp_path):
    async def scenario(api):
        for model in ("m", "n"):
            await api.model(model)
            await api.model(model, version="2", seed=2)
        return [
            (await api.send(ROW, model=model, key="k", params=params)).json()["duplicate"]
            for model in ("m", "n")
            for params in ({}, {"version": "1"}, {"version": "2"}, {})
        ]

    assert served(tmp_path, scenario) == [False, False, False, True] * 2


def test_a_repeat_is_known_when_another_version_has_become_the_default(tmp_path):
    async def scenario(api):
        await api.model(version="1")
        await api.send(ROWS, key="k")
        await api.model(version="2", seed=2)
        answer = await api.send(ROWS, key="k")
        return answer.json(), await api.rows(version="1"), await api.rows(version="2")

    answer, first, second = served(tmp_path, scenario)

    assert (answer["accepted"], answer["duplicate"]) == (40, True)
    assert (first, second) == (40, 0)


def test_a_repeat_is_known_after_the_service_was_started_anew(tmp_path):
    async def first(api: Served):
        await api.model()
        await api.send(ROWS, key="k")

    async def second(api: Served):
        return (await api.send(ROWS, key="k")).json()["duplicate"], await api.rows()

    served(tmp_path, first, store="sqlite")

    assert served(tmp_path, second, store="sqlite") == (True, 40)


def test_a_key_is_forgotten_after_its_retention(tmp_path):
    async def scenario(api):
        await api.model()
        await api.send(ROW, key="k")
        api.clock.us += 2 * HOUR_US
        await api.service.ticks.sweep()
        return (await api.send(ROW, key="k")).json()["duplicate"]

    assert served(tmp_path, scenario, limits={"idempotency_retention": "1h"}) is False


def test_a_refused_body_does_not_use_up_its_key(tmp_path):
    async def scenario(api):
        await api.model()
        refused = await api.send(b"{", key="k")
        api.store.ill = True
        unavailable = await api.send(ROW, key="k")
        api.store.ill = False
        return refused, unavailable, await api.send(ROW, key="k")

    refused, unavailable, taken = served(tmp_path, scenario)

    problem_in(refused, 400)
    problem_in(unavailable, 503)
    assert taken.json()["duplicate"] is False


@pytest.mark.parametrize("form", ["rows", "ndjson", "csv", "parquet", "arrow"])
def test_a_body_without_a_row_uses_its_key_all_the_same(tmp_path, form):
    empty = pa.table({"temp": pa.array([], pa.float64())})
    bodies = {
        "rows": b"[]",
        "ndjson": b"\n",
        "csv": b"temp\n",
        "parquet": parquet_body(empty),
        "arrow": arrow_body(empty),
    }

    async def scenario(api):
        await api.model()
        headers = keyed(headers_of(form))
        return [
            await api.send(body, headers=headers) for body in (bodies[form], bodies[form], body_of(form, ROWS))
        ], await api.rows()

    (first, again, other), rows = served(tmp_path, scenario)

    assert (first.json()["accepted"], first.json()["duplicate"]) == (0, False)
    assert (again.json()["accepted"], again.json()["duplicate"]) == (0, True)
    problem_in(other, 422)
    assert rows == 0


@pytest.mark.parametrize("key", ["", "x" * 129, "naïve", "a\tb", "\x7f"])
def test_other_keys_than_printable_ascii_are_refused(tmp_path, key):
    async def scenario(api):
        await api.model()
        headers = {**JSON, "idempotency-key": key.encode("latin-1")}
        return await api.send(ROW, headers=headers), await api.rows()

    answer, rows = served(tmp_path, scenario)

    problem_in(answer, 422)
    assert rows == 0


@pytest.mark.parametrize("key", ["x" * 128, "a b", '"quoted"', "#/%&", "550e8400-e29b-41d4-a716-446655440000"])
def test_any_printable_key_is_taken(tmp_path, key):
    async def scenario(api):
        await api.model()
        return [(await api.send(ROW, key=key)).json()["duplicate"] for _ in range(2)]

    assert served(tmp_path, scenario) == [False, True]


def stream(form, rows):
    """A stream, and where in it each chunk of a thousand rows ends."""
    if form == "ndjson":
        lines = [encoded(row) + b"\n" for row in rows]
        return b"".join(lines), [len(b"".join(lines[:end])) for end in range(0, len(rows) + 1, 1_000)]
    sink, ends = io.BytesIO(), []
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        for start in range(0, len(rows), 1_000):
            ends.append(sink.tell())
            writer.write_table(table.slice(start, 1_000))
    return sink.getvalue(), ends


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("form", ["ndjson", "arrow"])
def test_a_stream_that_was_cut_off_counts_every_row_once_when_it_is_sent_again(tmp_path, form, store):
    rows = [{**row, "temp": row["temp"] or 0.0} for row in rows_of(50)] * 70
    body, ends = stream(form, rows)

    async def scenario(api):
        await api.model()
        headers = keyed(headers_of(form))
        application, path, reached = api.service.application, "/v1/models/m/inferences", 0
        for chunks in (0, 1, 2, 1, 3):
            reached = max(reached, chunks * 1_000)
            cut = body[: ends[chunks] + 20]
            pieces = [cut[at : at + 5_000] for at in range(0, len(cut), 5_000)]

            async def committed(rows=reached):
                return await api.rows() == rows

            answer = await asgi(application, path=path, pieces=pieces, headers=headers, end=lambda: until(committed))
            assert answer is None
        whole, again = await api.send(body, headers=headers), await api.send(body, headers=headers)
        return whole.json(), again.json(), await api.rows()

    whole, again, stored = served(tmp_path, scenario, store=store)

    assert (whole["accepted"], whole["rejected"], whole["duplicate"], stored) == (3_500, 0, False, 3_500)
    assert again == {**whole, "duplicate": True}


def test_a_stream_with_another_chunk_in_the_middle_is_refused_there(tmp_path):
    lines = [encoded(row) + b"\n" for row in rows_of(3_000)]

    async def scenario(api):
        await api.model()
        await api.send(b"".join(lines), headers=keyed(NDJSON))
        lines[1_500] = encoded(ROW) + b"\n"
        return await api.send(b"".join(lines), headers=keyed(NDJSON)), await api.rows()

    answer, rows = served(tmp_path, scenario)

    problem_in(answer, 422)
    assert rows == 3_000


def test_errors_of_a_stream_name_its_lines_again_when_it_is_repeated(tmp_path):
    body = b"".join(encoded({**ROW, "temp": "x" if n in {5, 1_500, 2_999} else 1.0}) + b"\n" for n in range(3_000))

    async def scenario(api):
        await api.model()
        return [(await api.send(body, headers=keyed(NDJSON))).json() for _ in range(2)]

    first, again = served(tmp_path, scenario)

    assert [error["row"] for error in first["errors"]] == [6, 1_501, 3_000]
    assert again == {**first, "duplicate": True}
