"""A receiver of webhooks on the loopback interface, as a CI system has one: it believes what is signed."""

import hmac
import json
import queue
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from service.webhooks.signature import decode_secret, signed_headers

__all__ = ["Receiver", "Webhook", "is_signed", "receiver"]

_HOST: Final = "127.0.0.1"
_SECRET_BYTES: Final = 32
_TOLERANCE_S: Final = 300
"""Standard Webhooks: what is older could be an old request of ours that somebody sends again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """What came: the notice, and whether its signature is ours."""

    notice: dict[str, Any]
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A receiver that listens."""

    url: str
    secret: str
    webhooks: "queue.SimpleQueue[Webhook]"


def is_signed(headers: dict[str, str], body: bytes, secret: str, now_s: float) -> bool:
    """Whether a request was signed with a secret, not long ago.

    Parameters
    ----------
    headers : dict of str to str
        By their lower-case names.
    body : bytes
    secret : str
        whsec_...
    now_s : float
    """
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(now_s - int(timestamp)) > _TOLERANCE_S:
        return False
    wanted = signed_headers([decode_secret(secret)], headers.get("webhook-id", ""), int(timestamp), body)
    presented = headers.get("webhook-signature", "").split()
    return any(hmac.compare_digest(one.encode(), wanted["webhook-signature"].encode()) for one in presented)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Listen on a free port until the block is left."""
    secret = "whsec_" + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
    webhooks: queue.SimpleQueue[Webhook] = queue.SimpleQueue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Take a notice, and answer at once."""
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            verified = is_signed(headers, body, secret, time.time())
            webhooks.put(Webhook(notice=json.loads(body), verified=verified))
            self.send_response(204 if verified else 401)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the library's
            """Nothing: what comes is shown elsewhere."""

    server = ThreadingHTTPServer((_HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Receiver(url=f"http://{_HOST}:{server.server_address[1]}/webhooks", secret=secret, webhooks=webhooks)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
