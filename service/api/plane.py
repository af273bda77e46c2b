"""The control plane: routes behind FastAPI, with one error form for all."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from service.api.guard import Guard
from service.api.openapi import finished
from service.api.operated import Operated
from service.api.operations import router as operations
from service.api.problem import CONTENT_TYPE, Problem, problem_of
from service.errors import DriftlineError

__all__ = ["control_plane", "operations_only"]

_TITLE: Final = "Driftline"


def control_plane(
    context: Operated, version: str, routers: tuple[APIRouter, ...], raw: tuple[str, ...] = ()
) -> FastAPI:
    """Routes over what they need; `raw` are those that others answer, for the document."""
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
            app.openapi_schema = finished(document, raw)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation says to extend it
    return app


def operations_only(context: Operated, version: str, observe: Callable[[str, int, float], None]) -> Guard:
    """Health, readiness and metrics alone, for a listener of their own."""
    return Guard(control_plane(context, version, (operations,)), context, observe)


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
