"""References over HTTP: training data in, versions side by side, activation."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from service.api.comparing import ComparisonDocument, compared_with, comparison_of, identity_of
from service.api.context import Context, allow, live_model, live_version, room_for_version
from service.api.instants import instant_of, span_of
from service.api.models import ModelName, make_model
from service.api.problem import Problem
from service.api.reading import Disconnected, Patience, Receive, encoding_of, pieces
from service.calibration.trusts import trust_document
from service.domain.configuration import Name
from service.domain.durations import Duration, parse_duration_s
from service.errors import DriftlineError
from service.ingest.decode import Encoding, Inflater, format_of
from service.ports import JobState, ReferenceRow
from service.references.building import UploadOptions
from service.references.comparison import Comparison
from service.references.promotion import base_windows, promote
from service.registry.models import FIRST_VERSION
from service.registry.reference_file import reference_of_bytes
from service.windows.times import format_instant

__all__ = ["router"]

router = APIRouter(prefix="/v1/models/{model}", tags=["references"])

_REFERENCE = "application/vnd.driftline.reference+json"
_WAIT_MAX_S = 600
_DATA = {
    kind: {"schema": {"type": "string", "format": "binary"}}
    for kind in (
        "text/csv",
        "application/x-ndjson",
        "application/vnd.apache.parquet",
        "application/vnd.apache.arrow.stream",
        _REFERENCE,
    )
}


class ReferenceDocument(BaseModel):
    """A reference, or the job that makes one."""

    id: str
    model: str
    version: str
    state: JobState
    active: bool
    created_at: str
    updated_at: str
    summary: dict[str, Any]
    comparison: ComparisonDocument | None = Field(
        default=None, description="With the one before it, when it is activated; or with `compare_with`"
    )


class ReferenceList(BaseModel):
    """References and jobs of a model, in the order they were made."""

    references: list[ReferenceDocument]


class ActivationRequest(BaseModel):
    """From when on a reference counts."""

    model_config = ConfigDict(extra="forbid")

    version: Name | None = None
    from_time: str | None = Field(default=None, max_length=64)


class PromotionRequest(BaseModel):
    """A span of stored traffic that is to become a reference."""

    model_config = ConfigDict(extra="forbid")

    version: Name | None = None
    since: str = Field(max_length=64)
    until: str = Field(max_length=64)
    windows: int | None = Field(
        default=None, ge=1, description="Refuse the span if fewer base windows with rows enough are kept of it"
    )
    as_version: Name | None = None
    activate: bool = False


@router.post(
    "/references",
    status_code=201,
    responses={202: {"model": ReferenceDocument, "description": "Still building; ask again."}},
    openapi_extra={"requestBody": {"required": True, "content": _DATA}},
)
async def upload_reference(
    request: Request,
    response: Response,
    model: ModelName,
    version: Annotated[Name | None, Query()] = None,
    time_column: Annotated[str | None, Query(max_length=256)] = None,
    outputs: Annotated[str | None, Query(description="Names of output columns, with commas")] = None,
    ignore: Annotated[str | None, Query(description="Names of columns to leave out, with commas")] = None,
    since: Annotated[str | None, Query(max_length=64)] = None,
    until: Annotated[str | None, Query(max_length=64)] = None,
    activate: Annotated[bool | None, Query(description="By default if the version has no reference yet")] = None,
    wait: Annotated[Duration | None, Query(description="Answer when it is built, or after so long")] = "30s",
) -> ReferenceDocument:
    """Upload training data, or a reference file; a model that was never declared is made."""
    context = allow(request, "admin", model)
    kind = request.headers.get("content-type", "")
    data = None if kind.partition(";")[0].strip().lower() == _REFERENCE else format_of(kind)
    if data == "json" or (data is None and not kind.lower().startswith(_REFERENCE)):
        raise Problem(415, f"Content-Type: wanted {', '.join(_DATA)}")
    encoding = encoding_of(request.headers.get("content-encoding", ""))
    if data is None:
        row, comparison = await _upload_file(context, request, model, encoding, version, activate=activate)
        response.headers["Location"] = _path(row)
        return _document(context, row, version or row.version, comparison)
    live = context.registry.get(model) or await make_model(context, model)
    options = UploadOptions(
        time_column=time_column,
        outputs=_names(outputs),
        ignore=_names(ignore),
        since=since,
        until=until,
        activate=activate,
    )
    name = version or live.configuration.default_version or next(reversed(live.versions), FIRST_VERSION)
    room_for_version(context, live, name)
    row = await context.jobs.receive(live, name, data, _body(context, request, encoding), options)
    wait_s = 0 if wait is None else min(parse_duration_s(wait), _WAIT_MAX_S)
    row = await context.jobs.wait(model, row.id, wait_s) or row
    if row.state == "failed":
        reason = msgspec.json.decode(row.summary).get("failed", "unknown")
        raise Problem(422, f"no reference could be built: {reason}")
    response.status_code = 201 if row.state == "ready" else 202
    response.headers["Location"] = _path(row)
    return _document(context, row, name)


@router.get("/references")
async def list_references(request: Request, model: ModelName) -> ReferenceList:
    """References of a model, and the jobs that make some."""
    context = allow(request, "read", model)
    live_model(context, model)
    rows = await context.store.references(model)
    return ReferenceList(references=[_document(context, row, row.version) for row in rows])


@router.get("/references/{reference_id}")
async def get_reference(
    request: Request,
    model: ModelName,
    reference_id: str,
    compare_with: Annotated[str | None, Query(max_length=128, description="Another id, or `active`")] = None,
) -> ReferenceDocument:
    """One of them; beside another one, if that is asked for."""
    context = allow(request, "read", model)
    row = await context.store.reference(model, reference_id)
    if row is None:
        raise Problem(404, "no such reference of the model")
    document = _document(context, row, row.version)
    if compare_with is not None:
        live = live_model(context, model)
        document.comparison = await compared_with(context, live, row.version, reference_id, compare_with)
    return document


@router.get("/references/{reference_id}/file", response_class=Response, responses={200: {"content": {_REFERENCE: {}}}})
async def get_reference_file(request: Request, model: ModelName, reference_id: str) -> Response:
    """The reference's file, gzip'd."""
    context = allow(request, "read", model)
    document = await context.store.reference_document(model, reference_id)
    if document is None:
        raise Problem(404, "no such reference of the model is ready")
    return Response(document, media_type=_REFERENCE, headers={"Content-Encoding": "gzip"})


@router.delete("/references/{reference_id}", status_code=204)
async def delete_reference(request: Request, model: ModelName, reference_id: str) -> None:
    """Drop a reference that nothing needs."""
    context = allow(request, "admin", model)
    if await context.store.reference(model, reference_id) is None:
        raise Problem(404, "no such reference of the model")
    if not await context.store.delete_reference(model, reference_id):
        raise Problem(409, "the reference is or was active, and counts that are kept need it")


@router.post("/references/{reference_id}/activate")
async def activate_reference(
    request: Request, model: ModelName, reference_id: str, wanted: ActivationRequest | None = None
) -> ReferenceDocument:
    """Make a reference the one that counts, from now or from an event time on."""
    context = allow(request, "admin", model)
    live = live_model(context, model)
    row = await context.store.reference(model, reference_id)
    if row is None:
        raise Problem(404, "no such reference of the model")
    asked = wanted or ActivationRequest()
    from_us = None
    if asked.from_time is not None:
        from_us = instant_of("from_time", asked.from_time, live)
    room_for_version(context, live, asked.version or row.version)
    comparison = await context.jobs.activate(model, asked.version or row.version, identity_of(row), from_us)
    return _document(context, row, asked.version or row.version, comparison)


@router.post("/promotions", status_code=201)
async def promote_traffic(
    request: Request, response: Response, model: ModelName, wanted: PromotionRequest
) -> ReferenceDocument:
    """Make a reference of a span of stored traffic."""
    context = allow(request, "admin", model)
    live = live_model(context, model)
    version = live_version(live, wanted.version)
    since_us, until_us = span_of(wanted.since, wanted.until, live)
    room_for_version(context, live, wanted.as_version or version.version)
    reference = await promote(
        context.store,
        live,
        version,
        since_us=since_us,
        until_us=until_us,
        as_version=wanted.as_version or version.version,
    )
    if wanted.windows is not None:
        kept = base_windows(reference, live.configuration.policy.rows_min)
        if kept < wanted.windows:
            raise Problem(409, f"{kept:,} base windows with rows enough are kept of that span, not {wanted.windows:,}")
    row = await context.jobs.keep(model, reference)
    comparison = await context.jobs.activate(model, reference.version, row.id, None) if wanted.activate else None
    response.headers["Location"] = _path(row)
    return _document(context, row, reference.version, comparison)


async def _upload_file(
    context: Context, request: Request, model: str, encoding: Encoding, version: str | None, *, activate: bool | None
) -> tuple[ReferenceRow, Comparison | None]:
    parts: list[bytes] = []
    size = 0
    async for part in _body(context, request, encoding):
        size += len(part)
        if size > context.limits.reference_bytes_max:
            raise Problem(413, f"a reference file of more than {context.limits.reference_bytes_max:,} bytes")
        parts.append(part)
    reference = await asyncio.to_thread(reference_of_bytes, b"".join(parts), "the reference file")
    if reference.model != model:
        raise Problem(422, "the reference file is of another model", [{"field": "model", "reason": "another name"}])
    live = context.registry.get(model) or await make_model(context, model)
    name = version or reference.version
    room_for_version(context, live, name)
    row = await context.jobs.keep(model, reference)
    known = live.version(name)
    first = known is None or known.active is None
    activated = first if activate is None else activate
    return row, await context.jobs.activate(model, name, row.id, None) if activated else None


async def _body(context: Context, request: Request, encoding: Encoding) -> AsyncIterator[bytes]:
    body = pieces(_coroutine(request), bytes_max=None, patience=Patience(silence_s=context.limits.read_timeout_s))
    try:
        if encoding == "identity":
            async for piece in body:
                yield piece
            return
        inflater = Inflater(encoding, None)
        async for piece in body:
            for part in inflater.feed(piece):
                yield part
                await asyncio.sleep(0)  # few bytes may inflate to very many
        inflater.finish()
    except Disconnected:
        raise DriftlineError("the upload was cut off") from None


def _path(row: ReferenceRow) -> str:
    return f"/v1/models/{row.model}/references/{row.id}"


def _coroutine(request: Request) -> Receive:
    """The `receive` of a request; the server's is a coroutine function, though ASGI asks only for an awaitable."""
    return cast("Receive", request.receive)


def _names(text: str | None) -> tuple[str, ...]:
    return () if text is None else tuple(filter(None, (name.strip() for name in text.split(","))))


def _document(
    context: Context, row: ReferenceRow, version: str, comparison: Comparison | None = None
) -> ReferenceDocument:
    summary = msgspec.json.decode(row.summary)
    live = context.registry.get(row.model)
    known = live.version(version) if live is not None else None
    active = known.active if known is not None else None
    if active is not None and active.id not in {row.id, summary.get("reference_id")}:
        active = None
    trust = context.trusts.known(live, active) if live is not None and active is not None else None
    if live is not None and trust is not None:  # by the policy of today, not by that of the day it was made
        summary["calibration"] = trust_document(trust, live.configuration.policy.false_alarms_per_30d)
    return ReferenceDocument(
        id=row.id,
        model=row.model,
        version=row.version,
        state=row.state,
        active=active is not None,
        created_at=format_instant(row.created_at_us),
        updated_at=format_instant(row.updated_at_us),
        summary=summary,
        comparison=comparison_of(comparison),
    )
