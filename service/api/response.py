"""What the route of rows answers, and how it is said in ASGI."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

import structlog

from service.api.problem import CONTENT_TYPE, Problem, problem_of
from service.errors import DriftlineError
from service.ingest.pending import Answer

__all__ = ["Respond", "Response", "accepted", "header_lines", "refused"]

_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", CONTENT_TYPE.encode())


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Headers as HTTP/1.1 writes them."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


class Response:
    """Status, headers and body.

    Parameters
    ----------
    status : int
    headers : list of (bytes, bytes)
    body : bytes
    """

    __slots__ = ("body", "headers", "lines", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.lines = header_lines(headers)
        self.body = body

    async def send(self, send: _Send) -> None:
        """Send it as ASGI messages."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


Respond: TypeAlias = Callable[[Response], None]


def accepted(answer: Answer) -> Response:
    """The response to rows that were taken."""
    return _plain(answer.accepted) if answer.plain else _written(answer)


@lru_cache(1_024)
def _plain(rows: int) -> Response:
    return _written(Answer(accepted=rows))


def _written(answer: Answer) -> Response:
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
