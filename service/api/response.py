"""What the route of rows answers, and how it is said in ASGI."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple, TypeAlias

import structlog

from service.api.problem import CONTENT_TYPE, Problem, problem_of
from service.errors import DriftlineError
from service.ingest.pending import Answer

__all__ = ["Respond", "Response", "accepted", "refused"]

_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", CONTENT_TYPE.encode())


class Response(NamedTuple):
    """Status, headers and body."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def send(self, send: _Send) -> None:
        """Send it as ASGI messages."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


Respond: TypeAlias = Callable[[Response], None]


def accepted(answer: Answer) -> Response:
    """The response to rows that were taken."""
    body = answer.body()
    return Response(200, [_JSON, (b"content-length", b"%d" % len(body))], body)


def refused(error: BaseException) -> Response:
    """The response to what went wrong."""
    match error:
        case Problem():
            problem = error
        case DriftlineError():
            problem = problem_of(error)
        case _:  # the last line of defence
            structlog.get_logger().error(
                "request failed", route="inferences", error=type(error).__name__, exc_info=error
            )
            problem = Problem(500, "internal error; the log has more")
    body = problem.body()
    headers = [_PROBLEM, *((name.lower().encode(), value.encode()) for name, value in problem.headers.items())]
    return Response(problem.status, [*headers, (b"content-length", b"%d" % len(body))], body)
