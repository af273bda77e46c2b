"""Schemathesis: whatever the OpenAPI document allows, and much that it does not, against the running service."""

import json
from pathlib import Path

import pytest
import schemathesis
from golden_openapi import GOLDEN, document
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from serving import PROBLEM_TYPE, REFERENCE_TYPE, ROW, Process, key_setting, reference_file

schemathesis.serializer.alias("application/vnd.driftline.counts", "application/octet-stream")

KEY = {"X-API-Key": "key-all"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
OPERATIONS = [(path, method) for path, methods in json.loads(GOLDEN.read_text())["paths"].items() for method in methods]
EXAMPLES, EXAMPLES_OF_UPLOADS = 12, 2  # an upload is built in a process of its own


def test_the_openapi_document_is_the_golden_one(tmp_path):
    assert document(tmp_path) == GOLDEN.read_text(), (
        f"changed on purpose? PYTHONPATH=. python {GOLDEN.parent / 'make_openapi.py'}"
    )


def test_every_operation_has_a_name_of_its_own_and_says_what_it_does():
    operations = [
        operation for methods in json.loads(GOLDEN.read_text())["paths"].values() for operation in methods.values()
    ]

    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(operation.get("description") or operation.get("summary") for operation in operations)
    assert all(PROBLEM_TYPE in operation["responses"]["default"]["content"] for operation in operations)


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    auth = {"keys": [key_setting("all", "key-all", ["ingest", "read", "admin", "metrics"])]}
    limits = {"silence_timeout": "5s"}
    with Process(tmp_path_factory.mktemp("schemathesis"), auth=auth, limits=limits) as process:
        process.client.headers.update(KEY)
        process.model()
        process.send([ROW] * 50)
        yield process
        assert process.send(ROW).json()["accepted"] == 1
        assert "request failed" not in process.log
        assert "Traceback" not in process.log


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
def test_the_service_does_what_its_document_says(process, path, method):
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{process.port}/openapi.json")
    operation = schema[path][method.upper()]
    upload = (path, method) == ("/v1/models/{model}/references", "post")
    known = [{}] if "{model}" not in path or method == "delete" else [{}, {"path_parameters": {"model": "m"}}]
    cases = st.one_of([operation.as_strategy(generation_mode=GenerationMode.POSITIVE, **fixed) for fixed in known])
    if operation.path_parameters or operation.query or operation.body:
        cases |= operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @given(case=cases)
    @settings(
        max_examples=EXAMPLES_OF_UPLOADS if upload else EXAMPLES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case):
        case.call_and_validate(headers=KEY, checks=CHECKS)

    check()


def test_a_reference_file_is_taken_beside_all_that(process):
    answer = process.client.post(
        "/v1/models/m/references", content=reference_file(seed=4), headers={"content-type": REFERENCE_TYPE}
    )

    assert answer.status_code == 201
    assert Path(answer.headers["location"]).parent.name == "references"
