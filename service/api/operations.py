"""Health, readiness and metrics: on the API's listener, and on one of their own."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from service.api.access import authorize, presented_key
from service.api.operated import operated
from service.api.problem import RETRY_AFTER_S, Problem

__all__ = ["router"]

router = APIRouter(tags=["operations"])


@router.get("/healthz")
@router.get("/livez", name="live_by_another_name")
async def live() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def ready(request: Request) -> dict[str, str]:
    """Whether rows are taken and kept."""
    reason = await operated(request).ready()
    if reason is not None:
        raise Problem(503, f"not ready: {reason}", retry_after_s=RETRY_AFTER_S)
    return {"status": "ready"}


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Prometheus and OpenMetrics text, by the Accept header."""
    running = operated(request)
    authorize(running.access, presented_key(dict(request.scope["headers"])), "metrics", None)
    body, content_type = await running.metrics(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})
