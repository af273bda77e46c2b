"""The OpenAPI document: the raw route, what errors look like, and who may ask."""

from typing import Any, Final

import msgspec

from service.api import counts, inferences
from service.api.problem import CONTENT_TYPE
from service.domain.configuration import NAME_PATTERN
from service.storage.wire import COUNTS, COUNTS_TYPE, CountingDocument, CountsAnswer, EpochsDocument

__all__ = ["finished"]

_PUBLIC: Final = frozenset({"/livez", "/healthz", "/readyz"})

_ROW = {"type": "object", "additionalProperties": True}
_BODIES: dict[str, Any] = {
    "application/json": {
        "schema": {
            "oneOf": [
                _ROW,
                {"type": "array", "items": _ROW},
                {"type": "object", "properties": {"rows": {"type": "array", "items": _ROW}}, "required": ["rows"]},
                {
                    "type": "object",
                    "properties": {
                        "columns": {"type": "object", "additionalProperties": {"type": "array", "items": {}}}
                    },
                    "required": ["columns"],
                },
            ]
        },
        "examples": {
            "rows": {"value": [{"temp": 0.24, "weather": "clear"}]},
            "columns": {"value": {"columns": {"temp": [0.24], "weather": ["clear"]}}},
        },
    },
    "application/x-ndjson": {"schema": {"type": "string"}},
    "text/csv": {"schema": {"type": "string"}},
    "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
}
_ANSWER = {
    "type": "object",
    "required": ["accepted", "rejected", "late", "duplicate", "errors"],
    "properties": {
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer"},
        "late": {"type": "integer"},
        "duplicate": {"type": "boolean"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "row": {"type": "integer"},
                    "column": {"type": ["string", "null"]},
                    "reason": {"type": "string"},
                },
            },
        },
        "ignored": {"type": "array", "items": {"type": "string"}},
    },
}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "An error, as RFC 9457 has it",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "What is wrong, by field, or by row and column; never with the value",
            "items": {
                "type": "object",
                "required": ["reason"],
                "properties": {
                    "field": {"type": "string"},
                    "row": {"type": "integer"},
                    "column": {"type": ["string", "null"]},
                    "reason": {"type": "string"},
                },
            },
        },
    },
}
_PROBLEMS = {
    "400": "The body cannot be read",
    "401": "No or unknown key",
    "403": "The key does not have the scope or the model",
    "404": "Unknown model or version",
    "408": "The body did not come in time",
    "413": "Larger than allowed",
    "415": "Unknown content type or encoding",
    "422": "Readable but not valid, or an idempotency key that was used with another body",
    "429": "Too much waits for the store; see Retry-After",
    "503": "The store cannot be written to; see Retry-After",
}
_DOCUMENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "/v1/counting": EpochsDocument,
    "/v1/models/{model}/counting": CountingDocument,
}
_COUNTS_PROBLEMS = {
    "400": "The body is not MessagePack, or cut off",
    "401": "No or unknown key",
    "403": "The key does not have the scope or the model",
    "404": "Unknown model",
    "408": "The body did not come in time",
    "409": "Counted by another epoch of the model: fetch it, and count again. Nothing was counted",
    "413": "Larger than allowed",
    "415": "Unknown content type or encoding",
    "422": "Readable but not valid: which field, and what was wanted. Nothing was counted",
    "429": "Too much waits for the store; see Retry-After",
    "503": "The store cannot be written to; see Retry-After",
}
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key; with `auth: none`, nothing"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def finished(document: dict[str, Any], raw: tuple[str, ...]) -> dict[str, Any]:
    """The document with what FastAPI cannot know; `raw` are the routes that are not FastAPI's."""
    documents = {inferences.ROUTE: _inferences, counts.ROUTE: _counts}
    for route in raw:
        document["paths"][route] = {"post": documents[route]()}
    for route, kind in _DOCUMENTS.items():
        if route in document["paths"]:
            schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
            document["paths"][route]["get"]["responses"]["200"]["content"] = {"application/json": {"schema": schema}}
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _PROBLEM
    if counts.ROUTE in raw:
        _, found = msgspec.json.schema_components(
            (CountsAnswer, CountingDocument, EpochsDocument), ref_template="#/components/schemas/{name}"
        )
        schemas |= found
    components["securitySchemes"] = _SECURITY
    document["security"] = [{name: []} for name in _SECURITY]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            # FastAPI's own form of 422 is not what is answered.
            if CONTENT_TYPE not in operation["responses"].get("422", {"content": {CONTENT_TYPE: {}}})["content"]:
                del operation["responses"]["422"]
            operation["responses"].setdefault("default", _problem("An error"))
            if path in _PUBLIC:
                operation["security"] = []
    return document


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _inferences() -> dict[str, Any]:
    parameters = [
        {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "pattern": NAME_PATTERN}},
        {"name": "version", "in": "query", "schema": {"type": "string"}},
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[ -~]+$"},
        },
        {"name": "Content-Encoding", "in": "header", "schema": {"enum": ["gzip", "zstd", "identity"]}},
    ]
    taken = {"description": "Fate of the rows", "content": {"application/json": {"schema": _ANSWER}}}
    return {
        "tags": ["inferences"],
        "summary": "Log rows",
        "operationId": "log_inferences",
        "parameters": parameters,
        "requestBody": {"required": True, "content": _BODIES},
        "responses": {"200": taken} | {status: _problem(text) for status, text in _PROBLEMS.items()},
    }


def _counts() -> dict[str, Any]:
    parameters = [
        {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "pattern": NAME_PATTERN}},
        {"name": "Content-Encoding", "in": "header", "schema": {"enum": ["gzip", "zstd", "identity"]}},
    ]
    body = {"schema": {"type": "string", "format": "binary", "description": f"{COUNTS}, in MessagePack"}}
    taken = {
        "description": "What became of the counts",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CountsAnswer"}}},
    }
    return {
        "tags": ["sidecars"],
        "summary": "Add counts that a sidecar has made",
        "operationId": "add_counts",
        "parameters": parameters,
        "requestBody": {"required": True, "content": {COUNTS_TYPE: body}},
        "responses": {"200": taken} | {status: _problem(text) for status, text in _COUNTS_PROBLEMS.items()},
    }
