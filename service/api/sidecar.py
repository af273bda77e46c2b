"""The ASGI application of a sidecar: the route of rows, health, metrics, a page. All else is asked of the centre."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from service.api.access import Access
from service.api.context import ControlLimits
from service.api.guard import Guard
from service.api.inferences import ROUTE, Inferences
from service.api.operations import router as operations
from service.api.plane import control_plane
from service.api.raw import Front
from service.api.sidecar_page import SidecarDocument
from service.api.sidecar_page import router as page

__all__ = ["SidecarContext", "sidecar_application"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarContext:
    """Parts of the running sidecar; as `service.api.operated` has them."""

    access: Access
    limits: ControlLimits
    begun: Callable[[], None]
    ready: Callable[[], Awaitable[str | None]]
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]]
    info: dict[str, Any]
    standing: Callable[[], SidecarDocument]


def sidecar_application(
    context: SidecarContext, inferences: Inferences, version: str, observe: Callable[[str, int, float], None]
) -> Front:
    """The whole sidecar as one ASGI application; `observe` is told of the route, the status and the seconds of each request."""
    plane = control_plane(context, version, (operations, page), (ROUTE,))
    return Front((inferences,), Guard(plane, context, observe), inferences.at_once)
