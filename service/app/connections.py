"""HTTP connections within bounds: of the size of a head, and of the time that a sender may take.

uvicorn bounds neither: a head of any length is gathered, and a connection on which nothing comes stays open. The time that a
body takes is kept by its route; here it is that of heads, of connections without a request, and of bodies that nobody reads
because their request was answered already. What is not HTTP is answered as every other error is.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.problem import CONTENT_TYPE, Problem

__all__ = ["HEAD_BYTES_MAX", "protocol_of"]

HEAD_BYTES_MAX: Final = 64 << 10
"""Request line and headers; eight times what nginx takes by default."""


def protocol_of(silence_s: float) -> type[HttpToolsProtocol]:
    """Protocol that closes a connection which makes no headway for so long (up to twice that: it is looked at in turns)."""

    class _Bounded(_Connection):
        patience_s = silence_s

    return _Bounded


class _Connection(HttpToolsProtocol):
    patience_s: float
    _problem: Problem | None = None
    _head_bytes = 0
    _in_head = False
    _in_body = False
    _heads = 0
    _stuck_at = -1

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._looking = self.loop.call_later(self.patience_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            # A part of a header is gathered by the parser, which tells nobody.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self._problem = _too_large()
                self.send_400_response("")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._in_body, self._head_bytes = True, False, 0
        self._heads += 1

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES_MAX:
            self._problem = _too_large()
            raise ValueError  # the parser passes it on as its own error
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

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


def _too_large() -> Problem:
    return Problem(431, f"the head of the request is larger than {HEAD_BYTES_MAX:,} bytes")
