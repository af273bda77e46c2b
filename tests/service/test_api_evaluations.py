"""Evaluations and distributions over HTTP."""

from urllib.parse import quote

import numpy as np
import pytest
from making import reference_of
from serving import NOW_US, REFERENCE_TYPE, ROW, problem_in, rows_of, served

from service.registry.reference_file import reference_bytes

MINUTE_US = 60_000_000


def test_the_open_window_is_shown_at_once_and_marked_as_provisional(tmp_path):
    async def scenario(api):
        await api.model()
        none = await api.client.get("/v1/models/m/evaluations")
        await api.send(rows_of(200))
        return none, await api.client.get("/v1/models/m/evaluations")

    none, some = served(tmp_path, scenario)

    (evaluation,) = some.json()["evaluations"]
    assert none.json()["evaluations"] == []
    assert (evaluation["provisional"], evaluation["rows"], evaluation["format"]) == (
        True,
        200,
        "driftline.evaluation/1",
    )
    assert set(evaluation["columns"]) == {"temp", "hour", "weather", "prediction"}


def test_closed_windows_are_listed_by_size_and_time(tmp_path):
    async def scenario(api):
        await api.model()
        for _ in range(4):
            await api.send(rows_of(100))
            api.clock.us += 60 * MINUTE_US
        await api.service.ticks.evaluate()
        get = api.client.get
        return (
            await get("/v1/models/m/evaluations", params={"window": "1h", "limit": 1000}),
            await get("/v1/models/m/evaluations", params={"window": "1h", "limit": 1}),
            await get(
                "/v1/models/m/evaluations",
                params={"window": "1h", "since": "2026-03-02T13:00:00Z", "until": "1772463600"},
            ),
            await get("/v1/models/m/evaluations", params={"window": "7h"}),
        )

    all_of, one, ranged, none = (answer.json()["evaluations"] for answer in served(tmp_path, scenario))

    ends = [evaluation["window"]["end"] for evaluation in all_of if not evaluation["provisional"]]
    assert ends == sorted(ends, reverse=True)
    assert len(ends) >= 3
    assert len(one) == 1
    assert [evaluation["window"]["end"] for evaluation in ranged] == ["2026-03-02T15:00:00Z", "2026-03-02T14:00:00Z"]
    assert none == []


def test_a_learning_version_says_how_far_it_is(tmp_path):
    async def scenario(api):
        await api.client.put("/v1/models/m", json={"learning": {"rows": 500}})
        await api.send([ROW] * 3)
        return await api.client.get("/v1/models/m/evaluations"), [
            await api.client.post("/v1/models/m/evaluations", json={"since": "2026-03-02", "until": "2026-03-03"}),
            await api.client.get("/v1/models/m/columns/temp"),
        ]

    found, refused = served(tmp_path, scenario)

    assert found.json() == {
        "model": "m",
        "version": "1",
        "evaluations": [],
        "learning": {"rows": 3, "rows_wanted": 500},
    }
    for answer in refused:
        problem_in(answer, 409)


def test_a_span_is_evaluated_now_and_not_recorded(tmp_path):
    async def scenario(api):
        await api.model()
        await api.send(rows_of(200))
        span = {"since": "2026-03-02T12:00:00Z", "until": "2026-03-02T12:05:00Z"}
        evaluated = await api.client.post("/v1/models/m/evaluations", json=span)
        return evaluated, await api.store.evaluations("m", "1", size=None, first_us=None, last_us=None, limit=10)

    evaluated, recorded = served(tmp_path, scenario)

    assert (evaluated.json()["rows"], evaluated.json()["provisional"]) == (200, True)
    assert evaluated.json()["window"]["size"] == "span"
    assert recorded == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("evaluations?since=planted-secret", None, 422),
        ("evaluations?until=planted-secret", None, 422),
        ("evaluations?since=0001-01-01", None, 422),
        ("evaluations?limit=0", None, 422),
        ("evaluations?limit=1001", None, 422),
        ("evaluations?limit=x", None, 422),
        ("evaluations?version=nope", None, 404),
        ("evaluations?version=a%20b", None, 422),
        ("evaluations?window=" + "1" * 33, None, 422),
        ("evaluations", {"since": "planted-secret", "until": "2026-03-02"}, 422),
        ("evaluations", {"since": "2026-03-02", "until": "9999-12-31T23:59:59Z"}, 422),
        ("evaluations", {"since": "0001-01-01", "until": "2026-03-02"}, 422),
        ("evaluations", {"since": "2026-03-03", "until": "2026-03-02"}, 422),
        ("evaluations", {"since": "2026-03-02", "until": "2026-03-02"}, 422),
        ("evaluations", {"since": "2026-03-02", "until": "x" * 100}, 422),
        ("evaluations", {"since": "2026-03-02"}, 422),
        ("evaluations", {"since": 5, "until": 6}, 422),
        ("evaluations", {"since": "2026-03-02", "until": "2026-03-03", "version": "9"}, 404),
        ("evaluations", {"since": "2026-03-02", "until": "2026-03-03", "extra": 1}, 422),
        ("columns/none", None, 404),
        ("columns/temp?since=2026-03-02", None, 422),
        ("columns/temp?since=planted-secret&until=2026-03-02", None, 422),
        ("columns/temp?since=2026-03-02&until=9999-12-31T23:59:59Z", None, 422),
        ("columns/temp?version=9", None, 404),
    ],
)
def test_what_cannot_be_evaluated_is_refused_without_an_echo(tmp_path, path, body, status):
    async def scenario(api):
        await api.model()
        await api.send(ROW)
        return await api.client.request("POST" if body else "GET", f"/v1/models/m/{path}", json=body)

    answer = served(tmp_path, scenario)

    assert "planted-secret" not in answer.text
    assert problem_in(answer, status)["errors"] or status == 404 or "since and until" in answer.text


def test_the_distribution_of_a_column_needs_a_row(tmp_path):
    async def scenario(api):
        await api.model()
        return await api.client.get("/v1/models/m/columns/temp")

    problem_in(served(tmp_path, scenario), 404)


@pytest.mark.parametrize(("rows", "minimum", "shown"), [(9, 10, False), (10, 10, True), (1, 0, True), (1, 1, True)])
def test_the_distribution_of_few_rows_is_not_shown(tmp_path, rows, minimum, shown):
    async def scenario(api):
        await api.model()
        await api.send(rows_of(rows))
        return await api.client.get("/v1/models/m/columns/weather")

    column = served(tmp_path, scenario, limits={"rows_exposed_min": minimum}).json()

    shares = [group["current"] for group in column["groups"]]
    assert column["rows"] == rows
    assert sum(group["reference"] for group in column["groups"]) == pytest.approx(1)
    assert (None not in shares) == shown
    assert not shown or sum(shares) == pytest.approx(1)


def test_a_distribution_may_be_of_any_span(tmp_path):
    async def scenario(api):
        await api.model()
        await api.send(rows_of(40))
        api.clock.us += 60 * MINUTE_US
        await api.send(rows_of(20))
        get = api.client.get
        return (
            await get("/v1/models/m/columns/temp"),
            await get(
                "/v1/models/m/columns/temp", params={"since": "2026-03-02T12:00:00Z", "until": "2026-03-02T12:01:00Z"}
            ),
            await get("/v1/models/m/columns/temp", params={"since": "2026-03-02", "until": "2026-03-03"}),
        )

    newest, first, day = (answer.json() for answer in served(tmp_path, scenario))

    assert (newest["rows"], newest["since"], newest["until"]) == (20, "2026-03-02T13:00:00Z", "2026-03-02T14:00:00Z")
    assert (first["rows"], first["until"]) == (40, "2026-03-02T12:05:00Z")
    assert day["rows"] == 60


NAMES = ["a/b", "a/b/inferences", "/", "naïve ☃", "a?b#c%d", " ", "..", "a\tb", "'\"<script>", "x" * 200]


def test_columns_of_any_name_can_be_asked_for_and_logged(tmp_path):
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=200) for name in NAMES}
    document = reference_bytes(reference_of(columns), compressed=True)

    async def scenario(api):
        await api.client.post("/v1/models/m/references", content=document, headers={"content-type": REFERENCE_TYPE})
        sent = await api.send([dict.fromkeys(NAMES, 0.5)] * 10)
        return sent, {
            name: await api.client.get(f"/v1/models/m/columns/{quote(name, safe='')}") for name in NAMES if name != ".."
        }

    sent, found = served(tmp_path, scenario)

    assert sent.json() == {"accepted": 10, "rejected": 0, "late": 0, "duplicate": False, "errors": []}
    for name, answer in found.items():
        assert (answer.status_code, answer.json()["column"], answer.json()["rows"]) == (200, name, 10)


def test_the_rows_of_a_model_are_evaluated_in_the_time_of_the_store(tmp_path):
    async def scenario(api):
        await api.model()
        await api.send(ROW)
        return (await api.client.get("/v1/models/m/evaluations")).json()["evaluations"][0]["evaluated_at"], api.clock.us

    evaluated_at, now_us = served(tmp_path, scenario)

    assert now_us == NOW_US
    assert evaluated_at == "2026-03-02T12:00:00Z"
