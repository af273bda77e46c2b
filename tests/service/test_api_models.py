"""Models over HTTP: made, changed, listed, deleted; and every way in which that is refused."""

import asyncio

import httpx
import pytest
from serving import JSON, NOW, ROW, problem_in, served, serving


def test_a_model_is_made_changed_and_deleted(tmp_path):
    async def scenario(api):
        made = await api.client.put("/v1/models/m", json={"pane": "1m"})
        changed = await api.client.put("/v1/models/m", json={"pane": "1m", "retention": "7d"})
        found = await api.client.get("/v1/models/m")
        listed = await api.client.get("/v1/models")
        gone = await api.client.delete("/v1/models/m")
        return made, changed, found, listed, gone, await api.client.get("/v1/models/m")

    made, changed, found, listed, gone, missing = served(tmp_path, scenario)

    assert (made.status_code, made.headers["location"]) == (201, "/v1/models/m")
    assert changed.status_code == 200
    assert "location" not in changed.headers
    assert found.json() == changed.json() == listed.json()["models"][0]
    assert found.json()["configuration"]["retention"] == "7d"
    assert found.json()["versions"] == [
        {
            "version": "1",
            "mode": "learning",
            "reference_id": None,
            "previous_reference_id": None,
            "active_from": None,
            "newest_row": None,
            "evaluated_until": None,
            "learned_rows": 0,
            "calibration": None,
            "candidate": None,
        }
    ]
    assert (gone.status_code, gone.content) == (204, b"")
    assert problem_in(missing, 404)["detail"] == "no such model"


def test_a_version_says_how_it_stands(tmp_path):
    async def scenario(api):
        await api.client.put("/v1/models/m", json={})
        await api.send([ROW, ROW])
        learning = (await api.client.get("/v1/models/m")).json()
        await api.model()
        await api.send(ROW)
        return learning, (await api.client.get("/v1/models/m")).json()

    learning, active = served(tmp_path, scenario)

    assert (learning["versions"][0]["mode"], learning["versions"][0]["learned_rows"]) == ("learning", 2)
    assert active["versions"][0]["mode"] == "active"
    assert active["versions"][0]["reference_id"].startswith("sha256:")
    assert active["versions"][0]["newest_row"] == NOW
    assert active["versions"][0]["learned_rows"] is None


@pytest.mark.parametrize("model", ["a", "A9", "a.b_c-d", "0", "9" * 128, "a" + "-" * 127])
def test_names_of_models_may_have_dots_dashes_and_underscores(tmp_path, model):
    async def scenario(api):
        made = await api.client.put(f"/v1/models/{model}", json={})
        sent = await api.send(ROW, model=model)
        return made, sent, await api.client.delete(f"/v1/models/{model}")

    assert [answer.status_code for answer in served(tmp_path, scenario)] == [201, 200, 204]


@pytest.mark.parametrize(
    "model", ["-a", ".a", "_a", "a%20b", "a:b", "%C3%A9", "a%00", "a%0A", "a" * 129, "a;b", "a|b", "%FF", "a%2Fb"]
)
@pytest.mark.parametrize("limits", [{}, {"unknown_models": "learn"}])
def test_other_names_are_refused_and_make_no_model(tmp_path, model, limits):
    async def scenario(api):
        path = f"/v1/models/{model}"
        answers = [
            await api.client.put(path, json={}),
            await api.client.get(path),
            await api.client.post(f"{path}/inferences", json=ROW),
            await api.client.post(f"{path}/references", content=b"a\n1\n", headers={"content-type": "text/csv"}),
        ]
        return answers, list(api.service.registry.models)

    answers, models = served(tmp_path, scenario, limits=limits)

    for answer in answers:
        problem_in(answer, answer.status_code)
        assert answer.status_code in {404, 405, 415, 422}
    assert models == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"pane": "7x"}, "body.pane"),
        ({"base_window": "7m"}, "body"),
        ({"time_zone": "Nowhere/City"}, "body.time_zone"),
        ({"colunms": {}}, "body.colunms"),
        ({"columns": {"": {}}}, "body.columns..[key]"),
        ({"columns": {"x" * 257: {}}}, None),
        ({"columns": {"t": {"role": "king"}}}, "body.columns.t.role"),
        ({"columns": {"t": {"role": "time"}, "u": {"role": "time"}}}, "body"),
        ({"scales": []}, "body.scales"),
        ({"retention": "0s"}, "body.retention"),
        ({"policy": {"rows_min": 0}}, "body.policy.rows_min"),
        ({"learning": {"versions": ["a b"]}}, "body.learning.versions.0"),
        ({"metrics": {"statistics": ["no"]}}, "metrics.statistics"),
        ({"notify": ["nobody"]}, "notify, triggers"),
        ([], "body"),
        (None, None),
        ("text", "body"),
    ],
)
def test_a_configuration_that_is_not_valid_says_which_field(tmp_path, body, field):
    async def scenario(api):
        return await api.client.put("/v1/models/m", json=body), list(api.service.registry.models)

    answer, models = served(tmp_path, scenario)

    problem = problem_in(answer, 422)
    assert problem["errors"]
    assert field is None or field in {error["field"] for error in problem["errors"]}
    assert not any(error["reason"].startswith("Value error") for error in problem["errors"])
    assert models == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", JSON, 422),
        (b"{", JSON, 400),
        (b"[" * 200_000, JSON, 400),
        (b'{"pane": NaN}', JSON, 422),
        (b"\xff\xfe", JSON, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {}, 415),
        (b"{}", {**JSON, "content-encoding": "gzip"}, 415),
        (b'{"pane": "' + b"x" * (5 << 20) + b'"}', JSON, 413),
        (b'{"columns": {' + b",".join(b'"%d": {}' % n for n in range(100_000)) + b"}}", JSON, 201),
    ],
    ids=["empty", "cut", "nested", "nan", "utf8", "text", "none", "gzip", "large", "wide"],
)
def test_a_body_that_cannot_be_taken_has_its_status(tmp_path, content, headers, status):
    async def scenario(api):
        return await api.client.put("/v1/models/m", content=content, headers=headers)

    answer = served(tmp_path, scenario)

    assert answer.status_code == status, answer.text[:200]
    if status >= 400:
        problem_in(answer, status)
        assert len(answer.content) < 2_000


@pytest.mark.parametrize("change", [{"pane": "1m"}, {"base_window": "2h"}, {"time_zone": "Europe/Paris"}])
def test_the_grid_of_a_model_with_rows_does_not_change(tmp_path, change):
    async def scenario(api):
        await api.client.put("/v1/models/m", json={})
        before = await api.client.put("/v1/models/m", json=change)
        await api.client.put("/v1/models/m", json={})
        await api.model()
        await api.send(ROW)
        return before, await api.client.put("/v1/models/m", json=change), await api.client.put("/v1/models/m", json={})

    before, after, same = served(tmp_path, scenario)

    assert before.status_code == same.status_code == 200
    assert problem_in(after, 409)


def test_models_that_the_file_owns_are_read_only(tmp_path):
    async def scenario(api):
        return [
            await api.client.put("/v1/models/mine", json={}),
            await api.client.delete("/v1/models/mine"),
        ], await api.client.get("/v1/models/mine")

    refused, found = served(tmp_path, scenario, models={"mine": {"pane": "1m"}})

    assert all("configuration file owns" in problem_in(answer, 409)["detail"] for answer in refused)
    assert (found.json()["owner"], found.json()["configuration"]["pane"]) == ("file", "1m")


def test_there_are_no_more_models_than_the_limit_allows(tmp_path):
    async def scenario(api):
        made = [await api.client.put(f"/v1/models/m{number}", json={}) for number in range(3)]
        learned = await api.send(ROW, model="m3")
        uploaded = await api.client.post(
            "/v1/models/m4/references", content=b"a\n1\n", headers={"content-type": "text/csv"}
        )
        await api.client.delete("/v1/models/m0")
        return made, learned, uploaded, await api.send(ROW, model="m3")

    made, learned, uploaded, after = served(tmp_path, scenario, limits={"models_max": 2, "unknown_models": "learn"})

    assert [answer.status_code for answer in made[:2]] == [201, 201]
    for answer in (made[2], learned, uploaded):
        assert "as many as the limit allows" in problem_in(answer, 409)["detail"]
    assert after.status_code == 200


def test_a_deleted_model_begins_anew_when_it_is_made_again(tmp_path):
    async def scenario(api):
        columns = {"columns": {"at": {"role": "time"}}}
        await api.model(configuration=columns)
        new = await api.send({**ROW, "at": "2026-03-02T11:00:00Z"})
        too_old = await api.send({**ROW, "at": "2020-03-02T11:00:00Z"})
        await api.client.delete("/v1/models/m")
        gone = await api.send(ROW)
        await api.model(configuration=columns)
        again = await api.send({**ROW, "at": "2020-03-02T11:00:00Z"})
        return new, too_old, gone, again, await api.rows()

    new, too_old, gone, again, rows = served(tmp_path, scenario)

    assert new.json()["accepted"] == 1
    assert too_old.json()["rejected"] == 1
    problem_in(gone, 404)
    assert (again.json()["accepted"], again.json()["late"], rows) == (1, 0, 1)


def test_the_same_configuration_again_changes_nothing(tmp_path):
    async def scenario(api):
        await api.client.put("/v1/models/m", json={"pane": "1m"})
        before = api.service.registry.get("m").epoch
        answer = await api.client.put("/v1/models/m", json={"pane": "1m"})
        return before, api.service.registry.get("m").epoch, answer.status_code

    before, after, status = served(tmp_path, scenario)

    assert (before, status) == (after, 200)


def test_of_two_who_change_a_model_at_the_same_time_one_is_told(tmp_path):
    async def scenario():
        async with serving(tmp_path, store="sqlite") as one:
            await one.client.put("/v1/models/m", json={})
            answers = await asyncio.gather(
                *(one.client.put("/v1/models/m", json={"retention": f"{days}d"}) for days in range(2, 12))
            )
            found = await one.client.get("/v1/models/m")
            return answers, found.json()["configuration"]["retention"]

    answers, retention = asyncio.run(scenario())

    statuses = {answer.status_code for answer in answers}
    assert statuses <= {200, 409}
    assert retention in {answer.json()["configuration"]["retention"] for answer in answers if answer.status_code == 200}


def test_paths_that_are_none_and_methods_that_are_not_taken_are_problems_too(tmp_path):
    async def scenario(api):
        return [
            problem_in(await api.client.request(method, path), status)["title"]
            for method, path, status in (
                ("GET", "/v1", 404),
                ("GET", "/v1/models/", 404),
                ("GET", "/nowhere", 404),
                ("POST", "/v1/models", 405),
                ("PATCH", "/v1/models/m", 405),
                ("GET", "/v1/models/m/inferences", 405),
                ("DELETE", "/healthz", 405),
            )
        ], (await api.client.get("/v1/models/m/inferences")).headers["allow"]

    titles, allow = served(tmp_path, scenario)

    assert set(titles) == {"Not Found", "Method Not Allowed"}
    assert allow == "POST"


def test_a_store_that_is_ill_is_answered_503(tmp_path):
    async def scenario(api):
        await api.model()
        api.store.ill = True
        return await api.client.get("/readyz"), await api.send(ROW)

    for answer in served(tmp_path, scenario):
        assert "made ill" in problem_in(answer, 503)["detail"]
        assert answer.headers["retry-after"] == "1"


def test_what_no_route_expects_is_a_500_whose_log_and_answer_hold_no_value(tmp_path):
    async def scenario(api):
        async def broken(_model=None):
            raise RuntimeError("planted-secret")

        api.store.progress = broken
        return await api.client.get("/v1/models"), api.log

    answer, log = served(tmp_path, scenario)

    assert problem_in(answer, 500)["detail"] == "internal error; the log has more"
    assert "planted-secret" not in log
    assert '"error": "RuntimeError"' in log
    assert "models.py:" in log


def test_behind_a_proxy_every_route_lies_under_its_path(tmp_path):
    async def scenario(api):
        transport = httpx.ASGITransport(app=api.service.application, root_path="/driftline")
        async with httpx.AsyncClient(transport=transport, base_url="http://proxy/driftline") as client:
            await client.put("/v1/models/m", json={})
            sent = await client.post("/v1/models/m/inferences", json=ROW)
            return sent.status_code, (await client.get("/v1/models/m")).status_code

    assert served(tmp_path, scenario) == (200, 200)
