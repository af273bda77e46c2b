"""The ASGI application of a sidecar: the route of rows, health, metrics, a page. All else is asked of the centre.

The status of that is 421 and not 404, which says of a model that there is none: a sidecar that was pointed at another one in the
place of a centre would take it for that, and refuse rows for good instead of saying what is wrong.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request

from service.api.access import Access
from service.api.context import ControlLimits
from service.api.guard import Guard
from service.api.inferences import ROUTE, Inferences
from service.api.operations import router as operations
from service.api.plane import control_plane
from service.api.problem import Problem
from service.api.raw import Front
from service.api.sidecar_page import SidecarDocument
from service.api.sidecar_page import router as page

__all__ = ["SidecarContext", "sidecar_application"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarContext:
    """Parts of the running sidecar; as `service.api.operated` has them. `centre` is an address without a key."""

    access: Access
    limits: ControlLimits
    begun: Callable[[], None]
    ready: Callable[[], Awaitable[str | None]]
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]]
    info: dict[str, Any]
    standing: Callable[[], SidecarDocument]
    centre: str


_elsewhere: Final = APIRouter(include_in_schema=False)


@_elsewhere.api_route("/v1/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def elsewhere(request: Request) -> None:
    """Where to ask."""
    centre = request.app.state.context.centre
    raise Problem(421, f"this is a sidecar, which takes rows at POST {ROUTE}; for all else ask its centre, {centre}")


def sidecar_application(
    context: SidecarContext, inferences: Inferences, version: str, observe: Callable[[str, int, float], None]
) -> Front:
    """The whole sidecar as one ASGI application; `observe` is told of the route, the status and the seconds of each request."""
    plane = control_plane(context, version, (operations, page, _elsewhere), (ROUTE,))
    return Front((inferences,), Guard(plane, context, observe), inferences.at_once)
