"""HTTP connections within bounds: of the size of a head, and of the time that a sender may take.

uvicorn bounds neither: a head of any length is gathered, and a connection on which nothing comes stays open. The time that a
body takes is kept by its route; here it is that of heads, of connections without a request, and of bodies that nobody reads
because their request was answered already. What is not HTTP is answered as every other error is.

A request whose body came with its head is offered to the application before anything is made for ASGI: a scope, an event and
a task cost more than to count a row. Answers that are given at once are written together when all that has arrived was looked
at. To write each by itself wakes a waiting client up each time, and that costs more than all the rest.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.problem import CONTENT_TYPE, Problem
from service.api.raw import AtOnce
from service.api.response import Response, header_lines
from service.app.upgrades import without_upgrade

__all__ = ["HEAD_BYTES_MAX", "protocol_of"]

_OF_BODIES: Final = frozenset({b"content-length", b"transfer-encoding"})

HEAD_BYTES_MAX: Final = 64 << 10
"""Request line and headers; eight times what nginx takes by default."""


def protocol_of(silence_s: float, at_once: AtOnce | None = None) -> type[HttpToolsProtocol]:
    """Protocol that closes a connection which makes no headway for so long (up to twice that: it is looked at in turns)."""

    class _Bounded(_Connection):
        patience_s = silence_s
        answered_at_once = None if at_once is None else staticmethod(at_once)
        answers = _Answers()

    return _Bounded


class _Answers:
    """Answers of this turn of the event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[_Whole, Response]] = []
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._heads: dict[int, bytes] = {}

    def add(self, whole: "_Whole", response: Response) -> None:
        if not self._waiting:
            whole.connection.loop.call_soon(self._write)
        self._waiting.append((whole, response))

    def head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Status line and the headers of every answer; the server makes new ones each second, for the time."""
        if headers is not self._headers:
            self._headers, self._heads = headers, {}
        head = self._heads.get(status)
        if head is None:
            head = self._heads[status] = STATUS_LINE[status] + header_lines(headers)
        return head

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        for whole, response in waiting:
            whole.connection.respond(whole, response)


class _Whole:
    """A request that is answered without ASGI, where uvicorn looks for what it knows of one."""

    __slots__ = ("connection", "disconnected", "keep_alive", "message_event", "response_complete")
    more_body = False

    def __init__(self, connection: "_Connection", *, keep_alive: bool) -> None:
        self.connection = connection
        self.keep_alive = keep_alive
        self.message_event = _NOBODY
        self.disconnected = self.response_complete = False

    def __call__(self, response: Response) -> None:
        """Answer it."""
        self.connection.answers.add(self, response)


class _Nobody:
    """Waits for no part of a body."""

    def set(self) -> None:
        """Nobody is to be told."""


_NOBODY: Final = _Nobody()


class _Connection(HttpToolsProtocol):
    patience_s: float
    answered_at_once: AtOnce | None
    answers: _Answers
    _fed_bytes = 0
    _body: bytes | bytearray | None = None
    """Of a request whose head nobody has been told of yet."""

    _offers = False
    """Whether the parser has stopped at an upgrade that is offered."""

    _rewritten = False
    _heads_fed = 0
    _heard = False
    """Whether the parser has told anything of what it was fed."""

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
        self._feed(data)
        if self._offers:
            # Clients of HTTP/2 offer it with their first request, and send that in HTTP/1.1: it is taken as that.
            self._offers, self._rewritten = False, True
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
            self._feed(without_upgrade(data))
            self._rewritten = False

    def _feed(self, data: bytes) -> None:
        self._fed_bytes, self._heads_fed, self._heard = len(data), 0, False
        super().data_received(data)
        self._fed_bytes = 0
        if self._offers:
            return
        if self._in_head or (self._in_body and not self._heard):
            # A part of a header, or of a trailer, is gathered by the parser, which tells nobody.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self._problem = _too_large()
                self.send_400_response("")
        if self._body is not None and not self.transport.is_closing():  # more of it is to come
            try:
                self._begin()
            except httptools.HttpParserError:
                self.send_400_response("")

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._idle_since_s = None  # the timer goes on, and finds that
        self._in_head, self._in_body, self._head_bytes = True, False, 0
        self._heads += 1
        self._heads_fed += 1
        self._heard = True

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body, self._heard = False, True, True
        # Of a head that came in small pieces no header need be looked at.
        if self._fed_bytes + self._head_bytes > HEAD_BYTES_MAX and self._head_size() > HEAD_BYTES_MAX:
            self._problem = _too_large()
            raise ValueError  # the parser passes it on as its own error
        if self.parser.should_upgrade() and any(name in _OF_BODIES for name, _ in self.headers):
            self._offer()
        self._body = b""
        if not (self.answered_at_once is not None and self._unoccupied and self.parser.get_method() == b"POST"):
            self._begin()

    def _offer(self) -> None:
        """Stop at a head that offers an upgrade: the parser would take its body for what comes after one."""
        self._offers = self._heads_fed == 1 and not self._head_bytes and not self._rewritten
        if not self._offers:
            self._problem = Problem(400, "a request with a body cannot ask for an upgrade; speak HTTP/1.1")
        raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            super().on_header(name, value)
            return
        # A trailer says nothing that is listened to, and is as limited as a head.
        self._heard = True
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._problem = _too_large()
            raise ValueError

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    @property
    def _unoccupied(self) -> bool:
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def on_body(self, body: bytes) -> None:
        self._heard = True
        if self._body is None:
            super().on_body(body)
        elif self._body:  # in chunks, of which there may be very many
            self._body = self._body if isinstance(self._body, bytearray) else bytearray(self._body)
            self._body += body
        else:
            self._body = body

    def on_message_complete(self) -> None:
        self._in_body = False
        if self._body is not None:
            if not self.expect_100_continue and self._answered():
                return
            self._begin()
        super().on_message_complete()

    def _answered(self) -> bool:
        whole = _Whole(self, keep_alive=self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive())
        assert self.answered_at_once is not None  # noqa: S101 - or nothing would have been kept
        assert self._body is not None  # noqa: S101
        if not self.answered_at_once(self.url, self.headers, bytes(self._body), whole):
            return False
        self.cycle, self._body = whole, None  # type: ignore[assignment]  # as much of one as is looked at
        return True

    def _begin(self) -> None:
        """Let the request be answered as ASGI asks."""
        url, headers, expects, body = self.url, self.headers, self.expect_100_continue, self._body
        self._body = None
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()
        if body:
            super().on_body(bytes(body))

    def respond(self, whole: _Whole, response: Response) -> None:
        """Write an answer that was given without ASGI."""
        if whole.disconnected or self.transport.is_closing():
            return
        whole.response_complete = True
        head = self.answers.head(response.status, self.server_state.default_headers)
        if whole.keep_alive:
            self.transport.write(b"".join((head, response.lines, b"\r\n", response.body)))
        else:
            self.transport.write(b"".join((head, response.lines, b"connection: close\r\n\r\n", response.body)))
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Begin a request that waits, or wait for one. One timer serves all requests: uvicorn makes one for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self.flow.resume_reading()
        self._idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait_idle(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """Go on waiting: what has come may be no request."""

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
        if self._offers:
            return  # it is, and will be fed again
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


def _too_large() -> Problem:
    return Problem(431, f"the head of the request is larger than {HEAD_BYTES_MAX:,} bytes")
