"""What sidecars must know of models to count as it is done here: epochs, configuration, activations, the time.

What is read is read again from the store: a sidecar that was told of a conflict by one replica may ask another.
"""

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response

from service.api.access import authorize_any, presented_key
from service.api.context import allow, context_of, live_model
from service.api.models import ModelName
from service.domain.configuration import Name
from service.registry.models import LiveModel
from service.storage.wire import COUNTING, ActivationDocument, CountingDocument, EpochsDocument, VersionProgress
from service.windows.zones import US_PER_S

__all__ = ["router"]

router = APIRouter(tags=["sidecars"])

_CONFIGURATION: Final = frozenset(
    {
        "ack",
        "base_window",
        "clock_skew",
        "columns",
        "default_version",
        "lateness",
        "learning",
        "live_horizon",
        "pane",
        "retention",
        "scales",
        "time_zone",
    }
)
"""What binning needs of a configuration. Scales only because they have to fit the retention."""


@router.get("/v1/counting", response_class=Response, responses={200: {"description": "Epochs of models, and the time"}})
async def get_epochs(
    request: Request,
    model: Annotated[list[Name] | None, Query(max_length=1_000, description="Only these; all by default")] = None,
) -> Response:
    """Epochs of the models that the key may log rows of."""
    context = context_of(request)
    key = presented_key(dict(request.scope["headers"]))
    authorize_any(context.access, key, "ingest")  # the first rows of a model may come before there is one
    epochs = await context.store.epochs()
    wanted = epochs.keys() if model is None else epochs.keys() & set(model)
    seen = {name: epochs[name] for name in wanted if context.access.allowed(key, "ingest", name) == "ok"}
    return _json(EpochsDocument(epochs=seen, now_us=await context.store.now_us()))


@router.get(
    "/v1/models/{model}/counting",
    response_class=Response,
    responses={200: {"description": "What must be known of a model to count as it is done here"}},
)
async def get_counting(request: Request, model: ModelName) -> Response:
    """What a sidecar needs of a model."""
    context = allow(request, "ingest", model)
    await context.registry.refresh(model)
    live = live_model(context, model)
    progress = await context.store.progress(model)
    document = CountingDocument(
        format=COUNTING,
        model=live.model,
        epoch=live.epoch,
        configuration=msgspec.Raw(live.configuration.model_dump_json(include=set(_CONFIGURATION)).encode()),
        activations=_activations(live),
        now_us=await context.store.now_us(),
        keys_kept_us=context.limits.keys_kept_s * US_PER_S,
        progress=[VersionProgress.of(one) for one in progress],
    )
    return _json(document)


def _activations(live: LiveModel) -> list[ActivationDocument]:
    """Those in force, version by version in their order."""
    return [
        ActivationDocument(version=name, reference_id=since.reference.id, from_us=since.from_us, at_us=since.at_us or 0)
        for name, version in live.versions.items()
        for since in version.since
    ]


def _json(document: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(document), media_type="application/json", headers={"Cache-Control": "no-store"})
