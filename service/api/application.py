"""The ASGI application: the raw routes first, the control plane behind them, one error form for all."""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeAlias

from service.api.backtests import router as backtests
from service.api.context import Context
from service.api.counting import router as counting
from service.api.counts import ROUTE as COUNTS_ROUTE
from service.api.counts import Counts
from service.api.deliveries import router as deliveries
from service.api.episodes import router as episodes
from service.api.evaluations import router as evaluations
from service.api.guard import Guard, route_path
from service.api.inferences import ROUTE as INFERENCES_ROUTE
from service.api.inferences import Inferences
from service.api.models import router as models
from service.api.operations import router as operations
from service.api.page import router as page
from service.api.plane import control_plane
from service.api.references import router as references
from service.api.response import Respond

__all__ = ["Application"]

_Message: TypeAlias = MutableMapping[str, Any]
_ROUTERS = (models, references, counting, evaluations, backtests, episodes, deliveries, operations, page)


class Application:
    """The whole service as one ASGI application.

    Parameters
    ----------
    context : Context
    inferences : Inferences
    counts : Counts
    version : str
    observe : callable
        Told of the route, the status and the seconds of each request.
    """

    def __init__(
        self,
        context: Context,
        inferences: Inferences,
        counts: Counts,
        version: str,
        observe: Callable[[str, int, float], None],
    ) -> None:
        self._inferences = inferences
        self._counts = counts
        self._routes = control_plane(context, version, _ROUTERS, (INFERENCES_ROUTE, COUNTS_ROUTE))
        self._control = Guard(self._routes, context.access, context.limits, observe)

    @property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return self._routes.openapi()

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Coroutine[Any, Any, _Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            path = route_path(scope)
            for route in (self._inferences, self._counts):
                model = route.model_of(path)
                if model is not None:
                    await route(scope, receive, send, model)
                    return
        await self._control(scope, receive, send)

    def at_once(self, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes, respond: Respond) -> bool:
        """Answer a POST that has come whole without ASGI, now or later; False if it is to be called as ASGI asks."""
        return self._inferences.at_once(target, headers, body, respond)
