"""What the README says of the running service: its commands are run as they stand there, but for the port."""

import json
import os
import re
import subprocess
import time

import needs
import pytest
import yaml
from readme_tables import README
from serving import Process, key_setting, served, wait_until

from service.alerts.notice import make_test_notice
from service.domain.targets import TargetConfiguration
from service.ingest.pending import Answer
from service.webhooks import resolve_target
from service.webhooks.payloads import request_of

TEXT = README.read_text()
HTTP = TEXT[TEXT.index("\n## HTTP\n") : TEXT.index("\n## Metrics\n")]
SECRET = "whsec_" + "Q" * 43 + "="
SPAN = {"since": "2026-03-01", "until": "2026-03-02"}
WITHOUT_RIGHTS = {"ingest": "k-read", "read": "k-ingest", "admin": "k-ingest", "metrics": "k-ingest"}


def blocks(language):
    fenced = [part.partition("\n") for part in TEXT.split("```")[1::2]]
    return [text for found, _, text in fenced if found == language]


def block(language, holding):
    (found,) = [text for text in blocks(language) if holding in text]
    return found


def shell(script, port):
    """What a script of the README prints."""
    needs.program("curl", "curl")
    done = subprocess.run(
        ["sh", "-c", script.replace("localhost:8080", f"127.0.0.1:{port}")],
        cwd=README.parent,
        env=os.environ | {"no_proxy": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_model_that_was_never_configured_has_a_verdict_and_metrics_after_the_commands_of_the_readme(tmp_path):
    commands, scrape = block("sh", "bikes/references?until"), block("sh", "/metrics | grep")
    seen = []

    with Process(tmp_path) as process:
        printed = shell(commands, process.port)
        wait_until(lambda: seen.append(shell(scrape, process.port)) or seen[-1], 30, lambda: process.log)

    assert commands.count("curl ") == 3
    assert printed == block("", '"verdict":"drifted"')
    assert seen[-1] == block("", "driftline_drift_statistic{")


# --- HTTP -----------------------------------------------------------------------------------------------------------


def rows_of_calls():
    """Method, path, scope and the row of each call of the table."""
    for row in re.findall(r"^\| `(?:GET|POST|PUT|DELETE) /.*$", HTTP, re.MULTILINE):
        _, calls, scope, _ = row.split("|", 3)
        for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/\S+)`", calls):
            yield method, path, scope.strip(), row


async def openapi(api):
    return api.service.application.openapi


def test_the_calls_of_the_readme_are_those_of_the_openapi_document(tmp_path):
    document = served(tmp_path, openapi)

    documented = {(method.upper(), path) for path, calls in document["paths"].items() for method in calls}

    assert {(method, path) for method, path, _, _ in rows_of_calls()} == documented


def test_every_query_parameter_is_in_the_row_of_its_call(tmp_path):
    document = served(tmp_path, openapi)

    for method, path, _, row in rows_of_calls():
        parameters = document["paths"][path][method.lower()].get("parameters", [])
        for parameter in parameters:
            if parameter["in"] == "query":
                assert re.search(rf"\b{parameter['name']}=", row), (method, path, parameter["name"])


def test_every_status_of_the_openapi_document_is_in_the_readme(tmp_path):
    document = served(tmp_path, openapi)
    table = HTTP[HTTP.index("| status | means |") : HTTP.index("**Time.**")]

    statuses = {
        status
        for calls in document["paths"].values()
        for call in calls.values()
        for status in call["responses"]
        if status[0] in "45"
    }

    assert statuses <= set(re.findall(r"\b[45]\d\d\b", table))


def body_of(path, row):
    """The body that the row shows, or what its call wants at least."""
    shown = re.search(r'`(\{"(?:by|for|state)".*?\})`', row)
    if shown:
        return json.loads(shown[1])
    return SPAN if path.endswith(("/promotions", "/evaluations")) else {}


def test_every_call_wants_the_scope_that_the_readme_says(tmp_path):
    keys = [key_setting(f"k-{scope}", f"k-{scope}", [scope]) for scope in ("ingest", "read", "admin", "metrics")]

    async def answers(api):
        found = []
        for method, path, scope, row in rows_of_calls():
            for key in (f"k-{scope}", WITHOUT_RIGHTS.get(scope, "none")):
                headers = {"authorization": f"Bearer {key}"}
                body = {} if method in {"GET", "DELETE"} else {"json": body_of(path, row)}
                answer = await api.request(method, re.sub(r"\{\w+\}", "x", path), headers=headers, **body)
                found.append((method, path, scope, key == f"k-{scope}", answer))
        return found

    for method, path, scope, has_it, answer in served(tmp_path, answers, auth={"keys": keys}):
        if has_it or not scope:
            assert answer.status_code not in {401, 403}, (method, path, answer.text)
        else:
            assert (answer.status_code, f"'{scope}'" in answer.json()["detail"]) == (403, True), (method, path)


def examples():
    """Content types, each with the bodies that the readme shows."""
    table = HTTP[HTTP.index("| `Content-Type` | body |") : HTTP.index("with `Content-Encoding")]
    for kind, cell in re.findall(r"^\| `(\S+/\S+)` \| (.*) \|$", table, re.MULTILINE):
        shown = [code for code in re.findall(r"`(.*?)`", cell) if not code.startswith("pip ")]
        yield kind, ["\n".join(shown)] if kind == "text/csv" else shown


def test_the_content_types_of_the_readme_are_those_of_the_openapi_document(tmp_path):
    document = served(tmp_path, openapi)
    body = document["paths"]["/v1/models/{model}/inferences"]["post"]["requestBody"]

    assert [kind for kind, _ in examples()] == list(body["content"])


@pytest.mark.parametrize(("kind", "body"), [(kind, body) for kind, bodies in examples() for body in bodies])
def test_the_bodies_of_the_readme_are_taken(tmp_path, kind, body):
    async def scenario(api):
        await api.model()
        return await api.send(body.encode(), headers={"content-type": kind})

    answer = served(tmp_path, scenario)

    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] >= 1
    assert answer.json()["errors"] == []


def test_the_answer_of_the_readme_has_the_form_of_an_answer():
    shown = json.loads(block("json", '"accepted"'))

    assert set(shown) == set(json.loads(Answer().body()))
    assert set(shown["errors"][0]) == {"row", "column", "reason"}


# --- webhooks -------------------------------------------------------------------------------------------------------


def sent(kind="test", **declared):
    """A request that a target is sent."""
    target = resolve_target("t", TargetConfiguration.model_validate(declared), {"SECRET": SECRET, "TOKEN": "token"})
    return request_of(target, make_test_notice("t", 0, "nonce") | {"kind": kind}, int(time.time()))


@pytest.mark.parametrize("snippet", blocks("python"))
def test_what_we_sign_is_verified_as_the_readme_says(snippet):
    receiver = {}
    exec(snippet, receiver)  # noqa: S102 - it is the README's
    request = sent(url="https://receiver.example/", secrets=[{"env": "SECRET"}])

    notice = receiver["notice_of"](SECRET, request.headers, request.body)

    assert notice == json.loads(request.body)


@pytest.mark.parametrize("snippet", blocks("python"))
def test_what_we_did_not_sign_is_refused_as_the_readme_says(snippet):
    receiver = {}
    exec(snippet, receiver)  # noqa: S102 - it is the README's
    request = sent(url="https://receiver.example/", secrets=[{"env": "SECRET"}])
    old = dict(request.headers) | {"webhook-timestamp": "1000000000"}

    for headers, body in ((request.headers, request.body + b" "), (old, request.body)):
        with pytest.raises(Exception, match=r"(?i)signature|signed|old"):
            receiver["notice_of"](SECRET, headers, body)


def test_the_workflow_of_the_readme_starts_with_a_retrain_notice_and_no_other():
    workflow = yaml.safe_load(block("yaml", "# .github/workflows/"))
    github = {"preset": "github", "repository": "acme/bikes", "token": {"env": "TOKEN"}}

    types = workflow[True]["repository_dispatch"]["types"]  # YAML 1.1 takes the key `on` for a truth
    used = re.findall(r"github\.event\.client_payload\.(\w+)", block("yaml", "# .github/workflows/"))
    retrain = json.loads(sent("retrain", **github).body)

    assert types == [retrain["event_type"]]
    assert json.loads(sent("drift.resolved", **github).body)["event_type"] not in types
    assert set(used) <= set(retrain["client_payload"])
