"""Evaluations and distributions."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from detectors.columns import CategoricalColumn
from detectors.labels import group_labels
from service.api.brief import brief_of
from service.api.context import Context, allow, live_model, live_version
from service.api.instants import instant_of, span_of
from service.api.models import ModelName
from service.api.problem import Problem
from service.domain.configuration import Name
from service.evaluation.document import evaluation_document
from service.evaluation.provisional import evaluate_span
from service.evaluation.spans import base_label, sum_of
from service.references.learning import learned_rows
from service.registry.models import LiveModel, LiveVersion
from service.windows.times import format_instant
from service.windows.zones import US_PER_S

__all__ = ["router"]

router = APIRouter(prefix="/v1/models/{model}", tags=["evaluations"])

_LIMIT_MAX = 1_000
_SPAN_SIZE = "span"
_BRIEF = "Say how many columns drifted, and which most, in the place of `columns`"


class EvaluationList(BaseModel):
    """Evaluations (`driftline.evaluation/1`), the latest first; `learning` while the version has no reference."""

    model: str
    version: str
    evaluations: list[dict[str, Any]]
    learning: dict[str, int] | None = None


class SpanRequest(BaseModel):
    """A span to evaluate now."""

    model_config = ConfigDict(extra="forbid")

    version: Name | None = None
    since: str = Field(max_length=64)
    until: str = Field(max_length=64)


class Share(BaseModel):
    """A group of a column: its share in the reference, and now (null while too few rows are there to be shown)."""

    group: str
    reference: float | None
    current: float | None


class ColumnDocument(BaseModel):
    """Distribution of one column."""

    model: str
    version: str
    column: str
    role: str
    kind: str
    reference_id: str
    reference_rows: int
    rows: int
    since: str
    until: str
    groups: list[Share]


@router.get("/evaluations", response_model=EvaluationList)
async def get_evaluations(
    request: Request,
    model: ModelName,
    version: Annotated[Name | None, Query()] = None,
    window: Annotated[str | None, Query(max_length=32, description="Size of the windows, such as 1h")] = None,
    since: Annotated[str | None, Query(max_length=64)] = None,
    until: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX)] = 10,
    brief: Annotated[bool, Query(description=_BRIEF)] = False,  # noqa: FBT002 - the name in the URL
) -> EvaluationList | Response:
    """The latest evaluations, the open window among them, marked as provisional; or those of a range of time."""
    context = allow(request, "read", model)
    live = live_model(context, model)
    found = live_version(live, version)
    if found.learning:
        rows = await learned_rows(context.store, found)
        learning = {"rows": rows, "rows_wanted": live.configuration.learning.rows}
        return EvaluationList(model=model, version=found.version, evaluations=[], learning=learning)
    rows_ = await context.store.evaluations(
        model,
        found.version,
        size=window,
        first_us=None if since is None else instant_of("since", since, live),
        last_us=None if until is None else instant_of("until", until, live),
        limit=limit,
    )
    documents = [row.document for row in rows_]
    if since is None and until is None:
        documents = [*await _looks(context, live, found, window), *documents][:limit]
    if brief:
        documents = await asyncio.to_thread(lambda: [brief_of(document) for document in documents])
    return _as_stored(model, found.version, documents)


@router.post("/evaluations")
async def evaluate_now(request: Request, model: ModelName, wanted: SpanRequest) -> dict[str, Any]:
    """Evaluate a past or present span now; it is not recorded and raises no alert."""
    context = allow(request, "read", model)
    live = live_model(context, model)
    version = _with_reference(live_version(live, wanted.version))
    start_us, end_us = _span(live, wanted.since, wanted.until)
    evaluation = await evaluate_span(
        context.store, context.evaluators, live, version, start_us=start_us, end_us=end_us, size=_SPAN_SIZE
    )
    return evaluation_document(evaluation)


@router.get("/columns/{column:path}")
async def get_column(
    request: Request,
    model: ModelName,
    column: str,
    version: Annotated[Name | None, Query()] = None,
    since: Annotated[str | None, Query(max_length=64)] = None,
    until: Annotated[str | None, Query(max_length=64)] = None,
) -> ColumnDocument:
    """Reference and current distribution of one column; by default of the newest base window."""
    context = allow(request, "read", model)
    live = live_model(context, model)
    found = _with_reference(live_version(live, version))
    start_us, end_us = await _shown_span(context, live, found, since, until)
    active = found.at(end_us - 1).reference
    reference = active.reference
    index = next((i for i, known in enumerate(reference.columns) if known.name == column), None)
    if index is None:
        raise Problem(404, "the reference has no such column")
    panes = await context.store.panes(found.series(active.id), start_us, end_us)
    counts = sum_of(panes, reference.layout.n_bins_total)
    low, high = reference.segment_offsets[index : index + 2].tolist()
    now, past = (reference.segments(some)[low:high].tolist() for some in (counts, reference.counts))
    known = reference.columns[index]
    labels = [*group_labels(known, reference.group_starts[index]), "missing", "invalid"]
    exposed = sum(now) >= context.limits.rows_exposed_min
    return ColumnDocument(
        model=model,
        version=found.version,
        column=column,
        role=known.role,
        kind="categorical" if isinstance(known, CategoricalColumn) else "numeric",
        reference_id=active.id,
        reference_rows=sum(past),
        rows=sum(now),
        since=format_instant(start_us),
        until=format_instant(end_us),
        groups=[
            Share(
                group=label,
                reference=before / sum(past) if sum(past) else None,
                current=after / sum(now) if exposed and sum(now) else None,
            )
            for label, before, after in zip(labels, past, now, strict=True)
        ],
    )


def _as_stored(model: str, version: str, documents: Sequence[bytes]) -> Response:
    """An EvaluationList of documents that are JSON already: to read and write them again would hold up everybody else."""
    head = msgspec.json.encode({"model": model, "version": version})[:-1]
    body = b"".join((head, b',"evaluations":[', b",".join(documents), b'],"learning":null}'))
    return Response(body, media_type="application/json")


async def _looks(context: Context, live: LiveModel, version: LiveVersion, window: str | None) -> list[bytes]:
    for progress in await context.store.progress(live.model):
        if progress.version == version.version:
            looks = await context.looks.look(live, version, progress)
            wanted = [look for look in looks if window in {None, look.window.size}]
            return [msgspec.json.encode(evaluation_document(look)) for look in wanted]
    return []


def _with_reference(version: LiveVersion) -> LiveVersion:
    if version.learning:
        raise Problem(409, "the version has no reference yet: it is still learning from its first rows")
    return version


def _span(live: LiveModel, since: str, until: str) -> tuple[int, int]:
    start_us, end_us = span_of(since, until, live)
    pane_us = live.grid.pane_s * US_PER_S
    return start_us - start_us % pane_us, end_us + -end_us % pane_us


async def _shown_span(
    context: Context, live: LiveModel, version: LiveVersion, since: str | None, until: str | None
) -> tuple[int, int]:
    if since is not None and until is not None:
        return _span(live, since, until)
    if since is not None or until is not None:
        raise Problem(422, "wanted both since and until, or neither")
    for progress in await context.store.progress(live.model):
        if progress.version == version.version:
            start_us = live.grid.base_start(progress.newest_us)
            return start_us, live.grid.base_end(start_us)
    raise Problem(404, f"no row of this version has come yet; its windows are {base_label(live)} long")
