"""HTTP connections within bounds: of the size of a head, and of the time that a sender may take.

uvicorn bounds neither: a head of any length is gathered, and a connection on which nothing comes stays open. The time that a
body takes is kept by its route; here it is that of heads, of connections without a request, and of bodies that nobody reads
because their request was answered already. What is not HTTP is answered as every other error is.

A request whose body came with its head is offered to the application before a task is made for it: what can be answered at
once costs half. Such answers are written together when all that has arrived was looked at. To write each by itself wakes a
waiting client up each time, and that costs more than all the rest.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service.api.problem import CONTENT_TYPE, Problem
from service.api.response import Respond, Response

__all__ = ["HEAD_BYTES_MAX", "AtOnce", "protocol_of"]

AtOnce: TypeAlias = Callable[[Any, bytes, Respond], bool]
"""Takes the ASGI scope and the body of a request that has come whole, and answers it, now or later, unless it says False."""

HEAD_BYTES_MAX: Final = 64 << 10
"""Request line and headers; eight times what nginx takes by default."""


def protocol_of(silence_s: float, at_once: AtOnce | None = None) -> type[HttpToolsProtocol]:
    """Protocol that closes a connection which makes no headway for so long (up to twice that: it is looked at in turns)."""

    class _Bounded(_Connection):
        patience_s = silence_s
        answered_at_once = staticmethod(at_once or _never)
        answers = _Answers()

    return _Bounded


def _never(_scope: object, _body: bytes, _respond: Respond) -> bool:
    return False


class _Answers:
    """Answers of this turn of the event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[_Connection, RequestResponseCycle, Response]] = []

    def add(self, connection: "_Connection", cycle: RequestResponseCycle, response: Response) -> None:
        if not self._waiting:
            connection.loop.call_soon(self._write)
        self._waiting.append((connection, cycle, response))

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection, cycle, response in waiting:
            connection.respond(cycle, response)


class _Connection(HttpToolsProtocol):
    patience_s: float
    answered_at_once: AtOnce
    answers: _Answers
    _fed_bytes = 0
    _held: tuple[RequestResponseCycle, Any] | None = None
    _problem: Problem | None = None
    _head_bytes = 0
    _in_head = False
    _in_body = False
    _heads = 0
    _stuck_at = -1
    _idle_since_s: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._looking = self.loop.call_later(self.patience_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._looking.cancel()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._fed_bytes = len(data)
        super().data_received(data)
        self._fed_bytes = 0
        if self._in_head:
            # A part of a header is gathered by the parser, which tells nobody.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self._problem = _too_large()
                self.send_400_response("")
        if self._held is not None:
            (cycle, app), self._held = self._held, None
            self._begin(cycle, app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._fed_bytes:  # the body may be behind the head
            self._held = cycle, app
        else:
            super()._start_asgi_task(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: Any) -> None:
        whole = not cycle.more_body and app is self.app and not self.flow.write_paused
        if not (
            whole and self.answered_at_once(cycle.scope, bytes(cycle.body), partial(self.answers.add, self, cycle))
        ):
            super()._start_asgi_task(cycle, app)

    def respond(self, cycle: RequestResponseCycle, response: Response) -> None:
        """Write an answer that was given without ASGI."""
        if cycle.disconnected or self.transport.is_closing():
            return
        cycle.response_started = cycle.response_complete = True
        parts = [STATUS_LINE[response.status]]
        for name, value in (*self.server_state.default_headers, *response.headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", response.body)
        self.transport.write(b"".join(parts))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        cycle.on_response = _nothing  # else connection and request would hold one another

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._in_body, self._head_bytes = True, False, 0
        self._heads += 1

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        # Of a head that came in small pieces no header need be looked at.
        if self._fed_bytes + self._head_bytes > HEAD_BYTES_MAX and self._head_size() > HEAD_BYTES_MAX:
            self._problem = _too_large()
            raise ValueError  # the parser passes it on as its own error
        super().on_headers_complete()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin a request that waits, or wait for one. One timer serves all requests: uvicorn makes one for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_idle(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since_s = None  # the timer goes on, and finds that

    def _wait_idle(self, left_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(left_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for so long."""
        idle_s = 0.0 if self._idle_since_s is None else self.loop.time() - self._idle_since_s
        if idle_s < self.timeout_keep_alive:
            self._wait_idle(self.timeout_keep_alive - idle_s)
        elif not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words for all that is not HTTP
        """Refuse what is not HTTP, and end the connection: nobody knows where in it the next request would begin."""
        if self.cycle is not None and not self.cycle.response_complete and not self._in_body:
            # The request before it is whole. It gets its own answer, and that is the last.
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        problem = self._problem or Problem(400, "this is not a valid HTTP request")
        body = problem.body()
        head = (
            f"HTTP/1.1 {problem.status} {problem.title}\r\ncontent-type: {CONTENT_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _look(self) -> None:
        cycle: Any = self.cycle
        unread = self._in_body and cycle is not None and cycle.response_complete
        stuck = self._in_head or unread or not self._heads
        if stuck and self._stuck_at == self._heads:
            if self._in_head:
                self._problem = Problem(408, "the head of the request did not come in time")
                self.send_400_response("")
            else:
                self.transport.close()
            return
        self._stuck_at = self._heads if stuck else -1
        self._looking = self.loop.call_later(self.patience_s, self._look)


def _nothing() -> None:
    """Nobody is to be told."""


def _too_large() -> Problem:
    return Problem(431, f"the head of the request is larger than {HEAD_BYTES_MAX:,} bytes")
