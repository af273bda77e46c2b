"""Models and their configuration."""

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from detectors.catalog import CATALOG
from service.api.access import presented_key
from service.api.calibration import CalibrationDocument, CandidateDocument, calibration_of
from service.api.context import Context, allow, context_of, live_model
from service.api.problem import Problem
from service.domain.configuration import NAME_PATTERN, ModelConfiguration
from service.ports import Progress
from service.references.learning import learned_rows
from service.registry.models import LiveModel
from service.windows.times import format_instant

__all__ = ["ModelName", "make_model", "model_document", "router"]

router = APIRouter(prefix="/v1/models", tags=["models"])

ModelName = Annotated[str, Path(pattern=NAME_PATTERN, description="Name of the model")]
_STATISTICS = frozenset(detector.name for detector in CATALOG)


class VersionDocument(BaseModel):
    """How a version stands."""

    version: str
    mode: str
    reference_id: str | None
    previous_reference_id: str | None = Field(default=None, description="The one that counted before")
    active_from: str | None
    newest_row: str | None = None
    evaluated_until: str | None = None
    learned_rows: int | None = None
    calibration: CalibrationDocument | None = Field(
        default=None,
        description="Null while it learns, while the reference is replayed, and in lists until it is known",
    )
    candidate: CandidateDocument | None = Field(
        default=None, description="Traffic since the reference was learned, once there is enough of it"
    )


class ModelDocument(BaseModel):
    """A model."""

    model: str
    owner: str
    default_version: str
    configuration: ModelConfiguration
    versions: list[VersionDocument]


class ModelList(BaseModel):
    """All models."""

    models: list[ModelDocument]


@router.get("")
async def list_models(request: Request) -> ModelList:
    """All models that the key may see, with their versions."""
    context = context_of(request)
    key = presented_key(dict(request.scope["headers"]))
    seen = [
        live for live in context.registry.models.values() if context.access.allowed(key, "read", live.model) == "ok"
    ]
    if not seen:
        allow(request, "read")
    progress = await context.store.progress()
    return ModelList(models=[await model_document(context, live, progress, patient=False) for live in seen])


@router.get("/{model}")
async def get_model(request: Request, model: ModelName) -> ModelDocument:
    """One model."""
    context = allow(request, "read", model)
    return await model_document(context, live_model(context, model), await context.store.progress(model))


@router.put("/{model}", responses={201: {"model": ModelDocument, "description": "It was made."}})
async def put_model(
    request: Request, model: ModelName, configuration: ModelConfiguration, response: Response
) -> ModelDocument:
    """Make a model, or change its configuration."""
    context = allow(request, "admin", model)
    _check_names(context, configuration)
    if len(configuration.learning.versions) > context.limits.versions_max:
        raise Problem(422, f"learning.versions: wanted at most {context.limits.versions_max:,}")
    await context.registry.refresh(model)
    live = context.registry.get(model)
    if live is not None and live.owner == "file":
        raise Problem(409, "the configuration file owns this model; change it there")
    if live is not None and _grid(live.configuration) != _grid(configuration) and await _has_rows(context, model):
        raise Problem(
            409, "pane, base_window and time_zone cannot change while rows are kept; make another version of the model"
        )
    if live is None and len(context.registry.models) >= context.limits.models_max:
        raise Problem(409, f"there are {context.limits.models_max:,} models already, as many as the limit allows")
    if live is None or live.configuration != configuration:
        document = configuration.model_dump_json(exclude_unset=True).encode()
        epoch = await context.store.put_model(model, document, "api", None if live is None else live.epoch)
        if epoch is None:
            raise Problem(409, "the model was changed at the same time; read it again")
        await context.registry.refresh(model)
    if live is None:
        response.status_code = 201
        response.headers["Location"] = f"/v1/models/{model}"
    return await model_document(context, live_model(context, model), await context.store.progress(model))


@router.delete("/{model}", status_code=204)
async def delete_model(request: Request, model: ModelName) -> None:
    """Drop a model and all that is kept of it."""
    context = allow(request, "admin", model)
    if live_model(context, model).owner == "file":
        raise Problem(409, "the configuration file owns this model; remove it there")
    await context.store.delete_model(model)
    await context.registry.refresh(model)
    context.forget(model)


async def model_document(
    context: Context, live: LiveModel, progress: Iterable[Progress], *, patient: bool = True
) -> ModelDocument:
    """A model as people see it."""
    reached = {item.version: item for item in progress if item.model == live.model}
    # Each may have to be waited for; together they take no longer than one.
    trusted = await asyncio.gather(
        *(
            calibration_of(context, live, version, reached.get(name), patient=patient)
            for name, version in live.versions.items()
        )
    )
    versions = []
    for (name, version), (calibration, candidate) in zip(live.versions.items(), trusted, strict=True):
        known = reached.get(name)
        since = version.since[-1] if version.since else None
        document = VersionDocument(
            version=name,
            mode="learning" if since is None else "active",
            reference_id=None if since is None else since.reference.id,
            previous_reference_id=version.since[-2].reference.id if len(version.since) > 1 else None,
            active_from=None if since is None or since.from_us is None else format_instant(since.from_us),
            calibration=calibration,
            candidate=candidate,
        )
        if version.learning:
            document.learned_rows = await learned_rows(context.store, version)
        if known is not None:
            document.newest_row = format_instant(known.newest_us)
            if known.evaluated_until_us is not None:
                document.evaluated_until = format_instant(known.evaluated_until_us)
        versions.append(document)
    return ModelDocument(
        model=live.model,
        owner=live.owner,
        default_version=live.default_version,
        configuration=live.configuration,
        versions=versions,
    )


async def make_model(context: Context, model: str) -> LiveModel:
    """A model with the default configuration, for those who begin with its data."""
    if len(context.registry.models) >= context.limits.models_max:
        raise Problem(409, f"there are {context.limits.models_max:,} models already, as many as the limit allows")
    await context.store.put_model(model, msgspec.json.encode({}), "api", None)
    await context.registry.refresh(model)
    return live_model(context, model)


def _check_names(context: Context, configuration: ModelConfiguration) -> None:
    named = {*configuration.notify, *(trigger.target for trigger in configuration.triggers)}
    errors: list[dict[str, Any]] = [
        {"field": "notify, triggers", "reason": "a target that is not configured"}
        for _ in sorted(named - context.targets)
    ]
    if set(configuration.metrics.statistics) - _STATISTICS:
        errors.append({"field": "metrics.statistics", "reason": f"wanted some of {', '.join(sorted(_STATISTICS))}"})
    if errors:
        raise Problem(422, "the configuration names what is not there", errors)


def _grid(configuration: ModelConfiguration) -> tuple[str, str, str]:
    return configuration.pane, configuration.base_window, configuration.time_zone


async def _has_rows(context: Context, model: str) -> bool:
    return bool(await context.store.progress(model))
