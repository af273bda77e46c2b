"""A receiver of webhooks that remembers what came, and sometimes has no time."""

import json
import random
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request: to whom, and whether it was taken."""

    target: str
    webhook_id: str
    body: bytes
    taken: bool

    @property
    def notice(self):
        return json.loads(self.body)


class Inbox:
    """Listens in a thread; the target is the path.

    `refuses` is the share of requests that are answered with 503; while `held` is cleared, no request is answered.
    """

    def __init__(self, *, refuses=0.0, seed=0):
        self.received = []
        self.refuses = refuses
        self.held = threading.Event()
        self.held.set()
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if (
                    len(body) < length
                ):  # the sender was killed between the head and the end of the body: nothing was received
                    self.close_connection = True
                    return
                taken = inbox.note(self.path.strip("/"), self.headers["webhook-id"], body)
                inbox.held.wait(30)
                self.send_response(204 if taken else 503)
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_):
                """Senders of ours are killed."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def note(self, target, webhook_id, body):
        with self._lock:
            taken = self._rng.random() >= self.refuses
            self.received.append(Received(target=target, webhook_id=webhook_id, body=body, taken=taken))
        return taken

    def url(self, target):
        return f"http://127.0.0.1:{self._server.server_port}/{target}"

    def close(self):
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
