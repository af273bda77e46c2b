"""References over HTTP: uploaded as data or as a file, activated, promoted, deleted; and how that is refused."""

import asyncio
import gzip

import msgspec
import pytest
from serving import PROBLEM_TYPE, REFERENCE_TYPE, ROW, asgi, problem_in, reference_file, rows_of, served

CSV = {"content-type": "text/csv"}
FILE = {"content-type": REFERENCE_TYPE}
DATA = b"temp,weather\n" + b"".join(b"%d.5,%s\n" % (n, (b"mist", b"rain")[n % 2]) for n in range(300))


def upload(api, content, headers, *, model="m", **params):
    return api.client.post(f"/v1/models/{model}/references", content=content, headers=headers, params=params)


def test_data_becomes_the_reference_of_a_model_that_was_never_declared(tmp_path):
    async def scenario(api):
        built = await upload(api, DATA, CSV)
        sent = await api.send({"temp": 3, "weather": "mist"})
        found = await api.client.get(built.headers["location"])
        listed = await api.client.get("/v1/models/m/references")
        return built, sent, found, listed

    built, sent, found, listed = served(tmp_path, scenario, store="sqlite")

    document = built.json()
    assert built.status_code == 201, built.text
    assert (document["state"], document["active"], document["summary"]["rows"]) == ("ready", True, 300)
    assert found.json()["summary"] == document["summary"]
    assert sent.json()["accepted"] == 1
    assert {one["state"] for one in listed.json()["references"]} == {"ready"}


def test_an_upload_may_be_gone_back_for_later(tmp_path):
    async def scenario(api):
        begun = await upload(api, DATA, CSV, wait="1s")
        for _ in range(600):
            found = await api.client.get(begun.headers["location"])
            if found.json()["state"] in {"ready", "failed"}:
                break
            await asyncio.sleep(0.05)
        return begun, found

    begun, found = served(tmp_path, scenario)

    assert begun.status_code in {201, 202}
    assert found.json()["state"] == "ready"


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_reference_file_is_kept_as_it_is_and_given_back(tmp_path, encoding):
    content = reference_file()

    async def scenario(api):
        packed = gzip.compress(content) if encoding == "gzip" else content
        kept = await upload(api, packed, {**FILE, "content-encoding": encoding})
        again = await upload(api, content, FILE)
        file = await api.client.get(f"{kept.headers['location']}/file")
        return kept, again, file

    kept, again, file = served(tmp_path, scenario)

    assert kept.status_code == again.status_code == 201
    assert kept.json()["id"] == again.json()["id"]
    assert kept.headers["location"] == f"/v1/models/m/references/{kept.json()['id']}"
    assert msgspec.json.decode(file.content) == msgspec.json.decode(gzip.decompress(content))
    assert file.headers["content-type"] == REFERENCE_TYPE


def test_versions_stand_side_by_side_and_one_is_the_default(tmp_path):
    async def scenario(api):
        await api.model(version="1")
        await api.model(version="2", seed=5)
        answers = [await api.send(ROW, params={"version": version}) for version in ("1", "2", "3")]
        await api.client.put("/v1/models/m", json={"default_version": "1"})
        await api.send(ROW)
        return answers, await api.rows(version="1"), await api.rows(version="2")

    answers, first, second = served(tmp_path, scenario)

    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert (first, second) == (2, 1)


def test_a_second_reference_counts_only_once_it_is_activated(tmp_path):
    async def scenario(api):
        one = await api.model()
        other = await upload(api, reference_file(seed=9), FILE)
        before = await api.client.get("/v1/models/m")
        activated = await api.client.post(f"{other.headers['location']}/activate", json={})
        again = await api.client.post(f"{other.headers['location']}/activate")
        return one, other, before, activated, again, await api.client.get("/v1/models/m")

    one, other, before, activated, again, after = served(tmp_path, scenario)

    assert other.json()["active"] is False
    assert before.json()["versions"][0]["reference_id"] == one["id"]
    assert activated.json()["active"] is again.json()["active"] is True
    assert after.json()["versions"][0]["reference_id"] == other.json()["id"]


def test_a_span_of_traffic_becomes_a_reference(tmp_path):
    async def scenario(api):
        await api.model()
        await api.send(rows_of(500))
        span = {"since": "2026-03-02T12:00:00Z", "until": "2026-03-02T13:00:00Z"}
        made = await api.client.post("/v1/models/m/promotions", json={**span, "as_version": "2", "activate": True})
        return made, await api.send(ROW, params={"version": "2"})

    made, sent = served(tmp_path, scenario)

    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/v1/models/m/references/{made.json()['id']}"
    assert (made.json()["version"], made.json()["active"], made.json()["summary"]["rows"]) == ("2", True, 500)
    assert sent.json()["accepted"] == 1


def test_a_reference_that_nothing_needs_can_be_deleted_and_no_other(tmp_path):
    async def scenario(api):
        active = await api.model()
        spare = await upload(api, reference_file(seed=3), FILE)
        return [
            await api.client.delete(f"/v1/models/m/references/{active['id']}"),
            await api.client.delete(spare.headers["location"]),
            await api.client.delete(spare.headers["location"]),
        ]

    needed, deleted, missing = served(tmp_path, scenario)

    assert problem_in(needed, 409)
    assert deleted.status_code == 204
    assert problem_in(missing, 404)


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", CSV, 422),
        (b"temp\n", CSV, 422),
        (b"a,a\n1,2\n", CSV, 422),
        (b'a\n"planted-secret', CSV, 422),
        (b"a\n\xff\xfe\n", CSV, 422),
        (b"PAR1planted-secret", {"content-type": "application/vnd.apache.parquet"}, 422),
        (b"planted-secret", {"content-type": "application/vnd.apache.arrow.stream"}, 422),
        (b'{"planted-secret"', {"content-type": "application/x-ndjson"}, 422),
        (b"planted-secret", FILE, 422),
        (b'{"format": "planted-secret"}', FILE, 422),
        (reference_file()[:-100], FILE, 422),
        (reference_file(model="other"), FILE, 422),
        (b"planted-secret", {**CSV, "content-encoding": "gzip"}, 400),
        (gzip.compress(DATA)[:-9], {**CSV, "content-encoding": "gzip"}, 400),
        (DATA, {**CSV, "content-encoding": "br"}, 415),
        (DATA, {"content-type": "image/png"}, 415),
        (DATA, {"content-type": "application/json"}, 415),
        (DATA, {}, 415),
        (b"a\n" * (3 << 20), CSV, 413),
    ],
)
def test_an_upload_that_cannot_be_taken_says_why_and_holds_no_value(tmp_path, content, headers, status):
    async def scenario(api):
        return await upload(api, content, headers), api.log

    answer, log = served(tmp_path, scenario, limits={"upload_bytes_max": "4MiB"})

    problem_in(answer, status)
    assert "planted-secret" not in answer.text + log
    assert list(tmp_path.glob("upload*")) == []


def test_an_upload_of_a_kind_that_is_not_taken_makes_no_model(tmp_path):
    async def scenario(api):
        await upload(api, DATA, {"content-type": "image/png"})
        await upload(api, b"nonsense", FILE)
        return list(api.service.registry.models)

    assert served(tmp_path, scenario) == []


def test_an_upload_that_is_cut_off_fails_and_leaves_nothing_behind(tmp_path):
    async def scenario(api):
        await asgi(api.service.application, path="/v1/models/m/references", pieces=[DATA], end="gone", headers=CSV)
        return (await api.client.get("/v1/models/m/references")).json()["references"]

    (reference,) = served(tmp_path, scenario)

    assert (reference["state"], reference["summary"]["failed"]) == ("failed", "the upload was cut off")
    assert list(tmp_path.glob("upload*")) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "references/none", None, 404),
        ("GET", "references/none/file", None, 404),
        ("DELETE", "references/none", None, 404),
        ("POST", "references/none/activate", {}, 404),
        ("POST", "references/{id}/activate", {"version": "a b"}, 422),
        ("POST", "references/{id}/activate", {"from_time": "yesterday"}, 422),
        ("POST", "references/{id}/activate", {"from_time": "0001-01-01"}, 422),
        ("POST", "references/{id}/activate", {"from_time": "9999-12-31"}, 422),
        ("POST", "references/{id}/activate", {"version": "4"}, 409),
        ("POST", "promotions", {}, 422),
        ("POST", "promotions", {"since": "2026-03-02", "until": "2026-03-02"}, 422),
        ("POST", "promotions", {"since": "2026-03-02", "until": "9999-12-31T23:59:59Z"}, 422),
        ("POST", "promotions", {"since": "0001-01-01", "until": "2026-03-02"}, 422),
        ("POST", "promotions", {"since": "2026-03-02", "until": "2026-03-03"}, 422),
        ("POST", "promotions", {"since": "2026-03-02", "until": "2026-03-03", "version": "9"}, 404),
        ("POST", "references?version=a%20b", None, 422),
        ("POST", "references?wait=soon", None, 422),
    ],
)
def test_what_cannot_be_done_with_a_reference_is_refused(tmp_path, method, path, body, status):
    async def scenario(api):
        kept = await api.model()
        await api.model(version="2")
        await api.model(version="3")
        headers = CSV if body is None and method == "POST" else None
        return await api.client.request(
            method, f"/v1/models/m/{path}".replace("{id}", kept["id"]), json=body, headers=headers
        )

    answer = served(tmp_path, scenario, limits={"versions_max": 3})

    assert answer.headers["content-type"] == PROBLEM_TYPE
    problem_in(answer, status)


def test_references_of_a_model_that_is_none_are_not_found(tmp_path):
    async def scenario(api):
        return await api.client.get("/v1/models/none/references")

    problem_in(served(tmp_path, scenario), 404)
