"""The ASGI application of a sidecar: the route of rows, health, metrics, a page. All else is asked of the centre."""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from service.api.access import Access
from service.api.context import ControlLimits
from service.api.guard import Guard, route_path
from service.api.inferences import ROUTE, Inferences
from service.api.operations import router as operations
from service.api.plane import control_plane
from service.api.response import Respond
from service.api.sidecar_page import SidecarDocument
from service.api.sidecar_page import router as page

__all__ = ["SidecarApplication", "SidecarContext"]

_Message: TypeAlias = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarContext:
    """Parts of the running sidecar; as `service.api.operated` has them."""

    access: Access
    limits: ControlLimits
    ready: Callable[[], Awaitable[str | None]]
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]]
    info: dict[str, Any]
    standing: Callable[[], SidecarDocument]


class SidecarApplication:
    """The whole sidecar as one ASGI application.

    Parameters
    ----------
    context : SidecarContext
    inferences : Inferences
    version : str
    observe : callable
        Told of the route, the status and the seconds of each request.
    """

    def __init__(
        self, context: SidecarContext, inferences: Inferences, version: str, observe: Callable[[str, int, float], None]
    ) -> None:
        self._inferences = inferences
        self._control = Guard(
            control_plane(context, version, (operations, page), (ROUTE,)), context.access, context.limits, observe
        )

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Coroutine[Any, Any, _Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            model = Inferences.model_of(route_path(scope))
            if model is not None:
                await self._inferences(scope, receive, send, model)
                return
        await self._control(scope, receive, send)

    def at_once(self, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes, respond: Respond) -> bool:
        """Answer a POST that has come whole without ASGI, now or later; False if it is to be called as ASGI asks."""
        return self._inferences.at_once(target, headers, body, respond)
