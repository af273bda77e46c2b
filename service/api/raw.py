"""Routes about one model that are raw ASGI, and how they stand before the control plane: one error form for both."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from typing import Any, Final, TypeAlias

from service.api.access import Access, authorize, presented_key
from service.api.guard import Guard, route_path
from service.api.problem import Problem
from service.api.reading import Disconnected, Receive
from service.api.response import Respond, Response, refused

__all__ = ["AtOnce", "Front", "RawRoute"]

_Scope: TypeAlias = MutableMapping[str, Any]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

AtOnce: TypeAlias = Callable[[bytes, list[tuple[bytes, bytes]], bytes, Respond], bool]
"""Takes target, headers and body of a POST that has come whole, and answers it, now or later, unless it says False."""

_GONE_STATUS: Final = 499
"""What the sender of a request that was cut off is counted as; nobody is answered it."""


class RawRoute(ABC):
    """A route to which something is posted.

    Parameters
    ----------
    route : str
        With `{model}` in it.
    access : Access
    begun : callable
        Returns once requests can be answered; raises `StoreUnavailableError` until then.
    observe : callable
        Told of the route, the status and the seconds of each request.
    """

    def __init__(
        self, route: str, access: Access, begun: Callable[[], None], observe: Callable[[str, int, float], None]
    ) -> None:
        self._route = route
        self._prefix, self._suffix = route.split("{model}")
        self._access = access
        self._begun = begun
        self._observe = observe

    def model_of(self, path: str) -> str | None:
        """The model that a path is about, if it is this route's."""
        if path.startswith(self._prefix) and path.endswith(self._suffix):
            name = path[len(self._prefix) : -len(self._suffix)]
            return name if name and "/" not in name else None
        return None

    async def __call__(self, scope: _Scope, receive: Receive, send: _Send, model: str) -> None:
        """Answer one request."""
        started_s = time.perf_counter()
        try:
            if scope["method"] != "POST":
                raise Problem(405, "wanted POST", headers={"Allow": "POST"})  # noqa: TRY301 - answered as all others are
            fields: dict[bytes, bytes] = dict(scope["headers"])
            authorize(self._access, presented_key(fields), "ingest", model)
            self._begun()
            response = await self._response(scope, fields, receive, model)
        except Disconnected:
            self._observe(self._route, _GONE_STATUS, time.perf_counter() - started_s)
            return
        except Exception as error:  # noqa: BLE001 - each has its answer
            response = refused(error)
        await response.send(send)
        self._observe(self._route, response.status, time.perf_counter() - started_s)

    @abstractmethod
    async def _response(self, scope: _Scope, fields: dict[bytes, bytes], receive: Receive, model: str) -> Response:
        """What a request is answered that has a key for it; whatever is raised is answered as what it is."""


class Front:
    """Raw routes first, and behind them all others.

    Parameters
    ----------
    routes : sequence of RawRoute
    control : Guard
    at_once : AtOnce
    """

    def __init__(self, routes: Sequence[RawRoute], control: Guard, at_once: AtOnce) -> None:
        self._routes = routes
        self._control = control
        self.at_once = at_once

    async def __call__(
        self,
        scope: _Scope,
        receive: Callable[[], Coroutine[Any, Any, _Scope]],
        send: _Send,
    ) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            path = route_path(scope)
            for route in self._routes:
                model = route.model_of(path)
                if model is not None:
                    await route(scope, receive, send, model)
                    return
        await self._control(scope, receive, send)
