"""Deliveries of notices: who was told, who could not be, and who asked for no more."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from service.api.context import allow
from service.api.problem import Problem
from service.ports import Delivery, DeliveryState
from service.windows.times import format_instant

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["deliveries"])

_LIMIT_MAX = 1_000


class DeliveryDocument(BaseModel):
    """A notice on its way to one target."""

    id: str
    target: str
    model: str
    kind: str
    state: DeliveryState
    attempts: int
    created_at: str
    updated_at: str
    next_attempt_at: str | None
    last: str


class DeliveryList(BaseModel):
    """Deliveries, the latest first."""

    deliveries: list[DeliveryDocument]


@router.get("/deliveries")
async def list_deliveries(
    request: Request,
    state: Annotated[DeliveryState | None, Query()] = None,
    target: Annotated[str | None, Query(max_length=128)] = None,
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX)] = 100,
) -> DeliveryList:
    """The outbox: pending, delivered and dead."""
    context = allow(request, "read")
    found = await context.store.deliveries(state=state, target=target, limit=limit)
    return DeliveryList(deliveries=[_delivery(one) for one in found])


@router.post("/deliveries/{delivery_id:path}/retry", status_code=202)
async def retry_delivery(request: Request, delivery_id: str) -> dict[str, str]:
    """Send a dead delivery again."""
    context = allow(request, "admin")
    if not await context.store.retry_delivery(delivery_id):
        raise Problem(404, "no such dead delivery")
    context.on_notices()
    return {"id": delivery_id, "state": "pending"}


@router.post("/targets/{target}/enable")
async def enable_target(request: Request, target: str) -> dict[str, str]:
    """Send to a target again that once asked for no more (410)."""
    context = allow(request, "admin")
    if target not in context.targets:
        raise Problem(404, "no such target is configured")
    await context.store.set_target_disabled(target, None)
    context.on_notices()
    return {"target": target, "state": "enabled"}


def _delivery(delivery: Delivery) -> DeliveryDocument:
    return DeliveryDocument(
        id=delivery.id,
        target=delivery.target,
        model=delivery.model,
        kind=msgspec.json.decode(delivery.notice).get("kind", ""),
        state=delivery.state,
        attempts=delivery.attempts,
        created_at=format_instant(delivery.created_at_us),
        updated_at=format_instant(delivery.updated_at_us),
        next_attempt_at=format_instant(delivery.next_attempt_us) if delivery.state == "pending" else None,
        last=delivery.last,
    )
