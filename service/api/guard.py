"""What holds for every request of the control plane, before its route is asked.

Whoever has no key learns nothing but that; before the service has begun its work, others learn why. A body is read here,
within its limit and in its time, so that no framework gathers one of any length; only uploads of training data are left to
their route. What a route does not catch ends here.
"""

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias, cast

from service.api.access import presented_key, unknown_key
from service.api.operated import Operated
from service.api.problem import CONTENT_TYPE, Problem, problem_of
from service.api.reading import Disconnected, Patience, Receive, whole
from service.errors import StoreUnavailableError

__all__ = ["Guard", "route_path"]

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
_App: TypeAlias = Callable[[_Message, _Receive, _Send], Awaitable[None]]

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_UPLOAD: Final = re.compile("/v1/models/[^/]+/references")
_JSON: Final = re.compile(rb"application/(json|[^;/]+\+json)\s*(;.*)?", re.IGNORECASE)
_OTHER: Final = "other"
"""Stands for all paths that are no route: whoever invents paths must not make metrics grow."""


def route_path(scope: _Message) -> str:
    """Path of a request below the one under which a proxy publishes the service."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class Guard:
    """Stands before an application.

    Parameters
    ----------
    application : ASGI application
    running : Operated
        What the application is of.
    observe : callable
        Told of the route, the status and the seconds of each request.
    """

    def __init__(self, application: _App, running: Operated, observe: Callable[[str, int, float], None]) -> None:
        limits = running.limits
        self._application = application
        self._access = running.access
        self._begun = running.begun
        self._bytes_max = limits.json_bytes_max
        self._patience = Patience(silence_s=limits.read_timeout_s, total_s=limits.body_timeout_s)
        self._observe = observe

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer a request."""
        started_s = time.perf_counter()
        statuses: list[int] = []

        async def counting(message: _Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            await self._application(scope, await self._admitted(scope, receive), counting)
        except Problem as problem:
            await _answer(problem, counting)
        except StoreUnavailableError as error:
            await _answer(problem_of(error), counting)
        except Disconnected:
            return
        except Exception:  # noqa: BLE001, S110 - it was logged and answered; the server would log it with its text
            pass
        route = getattr(scope.get("route"), "path_format", _OTHER)
        self._observe(route, statuses[0] if statuses else 500, time.perf_counter() - started_s)

    async def _admitted(self, scope: _Message, receive: _Receive) -> _Receive:
        path = route_path(scope)
        fields: dict[bytes, bytes] = dict(scope["headers"])
        if path.startswith("/v1/"):
            unknown_key(self._access, presented_key(fields))
            self._begun()
        if scope["method"] not in _WITH_BODY or (scope["method"] == "POST" and _UPLOAD.fullmatch(path)):
            return receive
        # The server's `receive` is a coroutine function, though ASGI asks only for an awaitable.
        body = await whole(cast("Receive", receive), bytes_max=self._bytes_max, patience=self._patience)
        if body and _JSON.fullmatch(fields.get(b"content-type", b"")) is None:
            raise Problem(415, "Content-Type: wanted application/json")
        if body and fields.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Problem(415, "Content-Encoding: wanted none")
        return _once(body, receive)


def _once(body: bytes, receive: _Receive) -> _Receive:
    """The body again, then whatever comes behind it."""
    told = False

    async def received() -> _Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


async def _answer(problem: Problem, send: _Send) -> None:
    body = problem.body()
    headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
