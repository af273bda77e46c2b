"""The raw route in the OpenAPI document."""

from typing import Any

__all__ = ["describe_inferences"]

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


def describe_inferences(document: dict[str, Any]) -> dict[str, Any]:
    """Add the route that takes rows to an OpenAPI document."""
    parameters = [
        {
            "name": "model",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"},
        },
        {"name": "version", "in": "query", "schema": {"type": "string"}},
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
        },
        {"name": "Content-Encoding", "in": "header", "schema": {"enum": ["gzip", "zstd", "identity"]}},
    ]
    responses = {"200": {"description": "Fate of the rows", "content": {"application/json": {"schema": _ANSWER}}}}
    responses |= {
        status: {"description": text, "content": {"application/problem+json": {}}} for status, text in _PROBLEMS.items()
    }
    document["paths"]["/v1/models/{model}/inferences"] = {
        "post": {
            "tags": ["inferences"],
            "summary": "Log rows",
            "operationId": "log_inferences",
            "parameters": parameters,
            "requestBody": {"required": True, "content": _BODIES},
            "responses": responses,
        }
    }
    return document
