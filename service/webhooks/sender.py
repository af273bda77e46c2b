"""One attempt to deliver: names looked up once, addresses checked, and just these called.

The connection goes to the checked address, so that a name which points elsewhere a moment later changes nothing; the `Host`
header, and the name that the certificate has to bear, stay the target's. Every attempt has a connection of its own: attempts are
rare, and one that is kept open to an address could be taken for another name's. Redirects are answers like any other. Proxies of
the environment are not asked: they would do the looking up.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from service.webhooks.addresses import refusal_of
from service.webhooks.lookup import Lookup
from service.webhooks.payloads import OutgoingRequest
from service.webhooks.target import Target

__all__ = ["Answer", "Sender"]

_BODY_BYTES_MAX: Final = 16_384  # of an answer; it is only looked at by who sends a test
_ADDRESSES_MAX: Final = 4  # of a name that are tried


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an attempt ended with.

    Parameters
    ----------
    status : int or None
        None if there was no answer.
    ended : str
        The status, or `timeout`, `lookup`, `refused_address`, `private_address`, `connect`, `tls`, `broken`.
    retry_after : str or None
        The header.
    duration_s : float
    body : bytes
        The beginning of the answer's.
    """

    status: int | None
    ended: str
    retry_after: str | None = None
    duration_s: float = 0.0
    body: bytes = b""


class Sender:
    """Makes attempts; knows nothing of retries."""

    def __init__(self, lookup: Lookup | None = None, ssl_context: ssl.SSLContext | None = None) -> None:
        self._lookup = lookup or Lookup()
        self._ssl_context = ssl_context

    async def send(self, target: Target, request: OutgoingRequest) -> Answer:
        """Make one attempt, within the target's timeout. Whatever the receiver does is an answer."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        received = _Received()
        ended = "broken"
        try:
            async with asyncio.timeout(target.timeout_s):
                ended = await self._send(target, request, received)
        except (TimeoutError, httpx.TimeoutException):
            ended = "timeout"
        except httpx.ConnectError as error:
            ended = "tls" if _is_tls(error) else "connect"
        except (httpx.TransportError, httpx.InvalidURL):
            ended = "broken"
        except OSError:
            ended = "lookup"
        return Answer(
            status=received.status,
            # A receiver that answered and then broke off has answered.
            ended=ended if received.status is None else str(received.status),
            retry_after=received.retry_after,
            duration_s=loop.time() - started_s,
            body=bytes(received.body),
        )

    async def _send(self, target: Target, request: OutgoingRequest, received: "_Received") -> str:
        url = httpx.URL(request.url)
        addresses = await self._lookup.addresses(url.host)
        refusal = refusal_of(addresses, allow_private=target.allow_private)
        if refusal is not None:
            return refusal
        attempts = [_at(address, url, request, target.timeout_s) for address in addresses[:_ADDRESSES_MAX]]
        async with httpx.AsyncHTTPTransport(verify=await self._context(url)) as transport:
            response = await _first_taken(transport, attempts)
            try:
                await received.read(response)
            finally:
                await response.aclose()
        return "answered"

    async def _context(self, url: httpx.URL) -> ssl.SSLContext:
        """Certificates, read once (20 ms) and only when they are needed; `SSL_CERT_FILE` names a company's own."""
        if url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._ssl_context is None:
            self._ssl_context = await asyncio.to_thread(httpx.create_ssl_context)
        return self._ssl_context


class _Received:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.retry_after: str | None = None
        self.body = b""

    async def read(self, response: httpx.Response) -> None:
        """Take the head, and as much of the body as anybody wants to see, as it is: nothing is unpacked."""
        self.status = response.status_code
        self.retry_after = response.headers.get("retry-after")
        async for part in response.aiter_raw():
            self.body = (self.body + part)[:_BODY_BYTES_MAX]
            if len(self.body) == _BODY_BYTES_MAX:
                break


async def _first_taken(transport: httpx.AsyncHTTPTransport, attempts: Sequence[httpx.Request]) -> httpx.Response:
    """Call the addresses of a name in turn until one takes the connection."""
    for attempt in attempts[:-1]:
        with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return await transport.handle_async_request(attempt)
    return await transport.handle_async_request(attempts[-1])


def _at(address: str, url: httpx.URL, request: OutgoingRequest, timeout_s: float) -> httpx.Request:
    """Address a request to where it is sent, in the name of its host."""
    return httpx.Request(
        request.method,
        url.copy_with(host=address),
        headers={**request.headers, "host": url.netloc.decode(), "connection": "close"},
        content=request.body,
        # An address that swallows connections leaves time for the next one.
        extensions={"sni_hostname": url.host, "timeout": {"connect": timeout_s / _ADDRESSES_MAX}},
    )


def _is_tls(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None
