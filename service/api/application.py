"""The ASGI application: the raw route first, the control plane behind it, one error form for both."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeAlias

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from service.api.backtests import router as backtests
from service.api.context import Context
from service.api.deliveries import router as deliveries
from service.api.episodes import router as episodes
from service.api.evaluations import router as evaluations
from service.api.guard import Guard, route_path
from service.api.inferences import Inferences
from service.api.models import router as models
from service.api.openapi import finished
from service.api.operations import router as operations
from service.api.page import router as page
from service.api.problem import CONTENT_TYPE, Problem, problem_of
from service.api.references import router as references
from service.api.response import Respond
from service.errors import DriftlineError

__all__ = ["Application", "operations_only"]

_Message: TypeAlias = MutableMapping[str, Any]
_TITLE = "Driftline"
_ROUTERS = (models, references, evaluations, backtests, episodes, deliveries, operations, page)


class Application:
    """The whole service as one ASGI application.

    Parameters
    ----------
    context : Context
    inferences : Inferences
    version : str
    observe : callable
        Told of the route, the status and the seconds of each request.
    """

    def __init__(
        self, context: Context, inferences: Inferences, version: str, observe: Callable[[str, int, float], None]
    ) -> None:
        self._inferences = inferences
        self._routes = _control_plane(context, version, _ROUTERS)
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
            model = Inferences.model_of(route_path(scope))
            if model is not None:
                await self._inferences(scope, receive, send, model)
                return
        await self._control(scope, receive, send)

    def at_once(self, target: bytes, headers: list[tuple[bytes, bytes]], body: bytes, respond: Respond) -> bool:
        """Answer a POST that has come whole without ASGI, now or later; False if it is to be called as ASGI asks."""
        return self._inferences.at_once(target, headers, body, respond)


def operations_only(context: Context, version: str, observe: Callable[[str, int, float], None]) -> Guard:
    """Health, readiness and metrics alone, for a listener of their own."""
    return Guard(_control_plane(context, version, (operations,)), context.access, context.limits, observe)


def _control_plane(context: Context, version: str, routers: tuple[Any, ...]) -> FastAPI:
    app = FastAPI(
        title=_TITLE,
        version=version,
        summary="Drift monitoring for models in production",
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.context = context
    app.state.backtests = asyncio.Lock()
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(DriftlineError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_crash)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            app.openapi_schema = finished(document)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation says to extend it
    return app


def _response(problem: Problem) -> Response:
    return Response(problem.body(), status_code=problem.status, media_type=CONTENT_TYPE, headers=problem.headers)


async def _on_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - it was registered for that
    return _response(error)


async def _on_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, DriftlineError)  # noqa: S101
    return _response(problem_of(error))


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    # The messages of pydantic say what was wanted; what was got stays out.
    errors = [
        {"field": ".".join(str(part) for part in fault["loc"]), "reason": fault["msg"].removeprefix("Value error, ")}
        for fault in error.errors()[:20]
    ]
    unreadable = any(fault["type"] in {"json_invalid", "missing_body"} for fault in error.errors())
    return _response(Problem(400 if unreadable else 422, "the request is not valid", errors))


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return _response(Problem(error.status_code, str(error.detail), headers=error.headers))


async def _on_crash(request: Request, error: Exception) -> Response:
    structlog.get_logger().exception("request failed", path=request.url.path, error=type(error).__name__)
    return _response(Problem(500, "internal error; the log has more"))
