"""Who may do what, for every operation of the OpenAPI document: one that is new fails here until it is listed."""

import pytest
from serving import JSON, PROBLEM_TYPE, ROW, key_setting, served

SCOPES = ("ingest", "read", "admin", "metrics")
KEYS = {scope: f"key-{scope}" for scope in SCOPES}
ALL, BOUND = "key-all", "key-bound"
AUTH = {
    "keys": [
        *(key_setting(scope, key, [scope]) for scope, key in KEYS.items()),
        key_setting("all", ALL, SCOPES),
        key_setting("bound", BOUND, SCOPES, ["mine"]),
    ]
}

# Scope, path and JSON body of each operation; None is no body.
OPERATIONS = {
    ("get", "/v1/models"): ("read", "/v1/models", None),
    ("get", "/v1/models/{model}"): ("read", "/v1/models/m", None),
    ("put", "/v1/models/{model}"): ("admin", "/v1/models/m", {}),
    ("delete", "/v1/models/{model}"): ("admin", "/v1/models/m", None),
    ("post", "/v1/models/{model}/inferences"): ("ingest", "/v1/models/m/inferences", ROW),
    ("post", "/v1/models/{model}/references"): ("admin", "/v1/models/m/references", {}),
    ("get", "/v1/models/{model}/references"): ("read", "/v1/models/m/references", None),
    ("get", "/v1/models/{model}/references/{reference_id}"): ("read", "/v1/models/m/references/r", None),
    ("delete", "/v1/models/{model}/references/{reference_id}"): ("admin", "/v1/models/m/references/r", None),
    ("get", "/v1/models/{model}/references/{reference_id}/file"): ("read", "/v1/models/m/references/r/file", None),
    ("post", "/v1/models/{model}/references/{reference_id}/activate"): (
        "admin",
        "/v1/models/m/references/r/activate",
        {},
    ),
    ("post", "/v1/models/{model}/promotions"): (
        "admin",
        "/v1/models/m/promotions",
        {"since": "2026-03-01", "until": "2026-03-02"},
    ),
    ("post", "/v1/models/{model}/counts"): ("ingest", "/v1/models/m/counts", {}),
    ("get", "/v1/models/{model}/counting"): ("ingest", "/v1/models/m/counting", None),
    ("get", "/v1/counting"): ("ingest", "/v1/counting", None),
    ("get", "/v1/models/{model}/evaluations"): ("read", "/v1/models/m/evaluations", None),
    ("post", "/v1/models/{model}/backtests"): ("read", "/v1/models/m/backtests", {}),
    ("post", "/v1/models/{model}/evaluations"): (
        "read",
        "/v1/models/m/evaluations",
        {"since": "2026-03-01", "until": "2026-03-02"},
    ),
    ("get", "/v1/models/{model}/columns/{column}"): ("read", "/v1/models/m/columns/temp", None),
    ("get", "/v1/episodes"): ("read", "/v1/episodes", None),
    ("get", "/v1/episodes/{episode_id}"): ("read", "/v1/episodes/e", None),
    ("post", "/v1/episodes/{episode_id}/acknowledge"): ("admin", "/v1/episodes/e/acknowledge", {"by": "me"}),
    ("post", "/v1/episodes/{episode_id}/outcome"): ("admin", "/v1/episodes/e/outcome", {"state": "failed"}),
    ("post", "/v1/episodes/{episode_id}/silence"): ("admin", "/v1/episodes/e/silence", {"for": "1h"}),
    ("post", "/v1/episodes/{episode_id}/resolve"): ("admin", "/v1/episodes/e/resolve", {"by": "me"}),
    ("get", "/v1/deliveries"): ("read", "/v1/deliveries", None),
    ("post", "/v1/deliveries/{delivery_id}/retry"): ("admin", "/v1/deliveries/d/retry", None),
    ("post", "/v1/targets/{target}/enable"): ("admin", "/v1/targets/ci/enable", None),
    ("get", "/metrics"): ("metrics", "/metrics", None),
}
PUBLIC = {("get", "/livez"), ("get", "/healthz"), ("get", "/readyz")}


def asked(api, operation, key=None, *, model="m", header="authorization"):
    _, path, body = OPERATIONS[operation]
    headers = {} if key is None else {header: f"Bearer {key}" if header == "authorization" else key}
    if body is not None:
        headers |= JSON
    return api.client.request(
        operation[0],
        path.replace("/m", f"/{model}", 1) if path.startswith("/v1/models/m") else path,
        json=body,
        headers=headers,
    )


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Status and body of each operation, by who asks."""

    async def scenario(api):
        await api.service.store.put_model("m", b"{}", "api", None)
        await api.service.store.put_model("mine", b"{}", "api", None)
        await api.service.registry.refresh()
        document = (await api.client.get("/openapi.json")).json()
        found = {
            (who, operation): await asked(api, operation, key)
            for operation in OPERATIONS
            for who, key in [("nobody", None), ("stranger", "no-such-key"), *KEYS.items(), ("bound", BOUND)]
            if (who, operation[0]) != ("admin", "delete")
        }
        public = [(await api.client.request(*operation)).status_code for operation in PUBLIC]
        return document, found, public

    return served(tmp_path_factory.mktemp("access"), scenario, auth=AUTH)


def test_every_operation_has_its_scope(answers):
    document, _, _ = answers

    operations = {(method, path) for path, methods in document["paths"].items() for method in methods}

    assert operations == set(OPERATIONS) | PUBLIC
    assert {
        (method, path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") == []
    } == PUBLIC


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_without_a_known_key_nothing_is_told(answers, operation):
    _, found, _ = answers

    for who in ("nobody", "stranger"):
        answer = found[who, operation]
        assert answer.status_code == 401
        assert answer.headers["content-type"] == PROBLEM_TYPE
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["detail"] == "no or unknown API key"


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_a_key_opens_what_its_scope_is_for_and_nothing_else(answers, operation):
    _, found, _ = answers
    wanted = OPERATIONS[operation][0]

    for scope in SCOPES:
        if (scope, operation) not in found:
            continue
        answer = found[scope, operation]
        assert (answer.status_code in {401, 403}) == (scope != wanted), (scope, answer.text)
        assert answer.status_code < 500
        if scope != wanted:
            assert answer.status_code == 403
            assert answer.headers["content-type"] == PROBLEM_TYPE


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
def test_a_key_that_is_bound_to_models_opens_no_other_and_not_all(answers, operation):
    _, found, _ = answers
    status, body = found["bound", operation].status_code, found["bound", operation].text

    if operation in {("get", "/v1/models"), ("get", "/v1/counting")}:  # lists show what the key may see
        assert status == 403 or not ('"model":"m"' in body or '"m":' in body)
    else:
        assert status == 403


def test_health_and_readiness_need_no_key(answers):
    assert set(answers[2]) == {200}


def test_a_bound_key_opens_its_own_models_and_their_episodes(tmp_path):
    async def scenario(api):
        from stores import episode  # noqa: PLC0415

        headers = {"x-api-key": BOUND}
        await api.service.store.put_model("mine", b"{}", "api", None)
        await api.service.registry.refresh()
        await api.service.store.put_episode(episode("e1", model="mine"), None, ())
        return [
            (await api.client.request(method, path, headers=headers)).status_code
            for method, path in (
                ("GET", "/v1/models/mine"),
                ("GET", "/v1/models/mine/evaluations"),
                ("GET", "/v1/episodes?model=mine"),
                ("GET", "/v1/episodes"),
                ("GET", "/v1/episodes/e2"),
            )
        ]

    assert served(tmp_path, scenario, auth=AUTH) == [200, 200, 200, 403, 403]


def test_a_key_may_come_in_either_header(tmp_path):
    async def scenario(api):
        operation = ("get", "/v1/models")
        return [
            (await asked(api, operation, ALL, header="x-api-key")).status_code,
            (await asked(api, operation, ALL)).status_code,
            (await api.client.get("/v1/models", headers={"authorization": f"bearer  {ALL}"})).status_code,
            (await api.client.get("/v1/models", headers={"authorization": f"Basic {ALL}"})).status_code,
            (await api.client.get("/v1/models", headers={"authorization": "Bearer"})).status_code,
            (await api.client.get("/v1/models", headers={"x-api-key": ""})).status_code,
            (await api.client.get("/v1/models", headers={"x-api-key": "k\xe9y".encode("latin-1")})).status_code,
            (await api.client.get("/v1/models", params={"key": ALL})).status_code,
        ]

    assert served(tmp_path, scenario, auth=AUTH) == [200, 200, 200, 401, 401, 401, 401, 401]


def test_an_unknown_key_is_refused_before_its_body_is_read(tmp_path):
    async def scenario(api):
        read = []

        async def endless():
            for number in range(1000):
                read.append(number)
                yield b" " * 65536

        answers = [
            await api.client.put("/v1/models/m", content=endless(), headers=JSON),
            await api.client.post("/v1/models/m/inferences", content=endless(), headers=JSON),
            await api.client.post("/v1/models/m/references", content=endless(), headers={"content-type": "text/csv"}),
        ]
        return [answer.status_code for answer in answers], len(read)

    statuses, read = served(tmp_path, scenario, auth=AUTH)

    assert statuses == [401, 401, 401]
    assert read == 0


def test_without_keys_everything_is_open_as_settings_said(tmp_path):
    async def scenario(api):
        return (await api.client.get("/v1/models")).status_code

    assert served(tmp_path, scenario) == 200
