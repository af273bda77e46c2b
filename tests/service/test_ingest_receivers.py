"""A receiver of webhooks that is stuck, broken or gone delays neither the rows that come in nor what others are told."""

import contextlib
import http.server
import socket
import threading

import pytest
from serving import ROW, Bystander, Process, free_port, wait_until

MODELS = [f"m{number}" for number in range(4)]
BYSTANDER_MAX_S = 5.0


class Receiver:
    """Takes notices, or fails with each of them."""

    def __init__(self, status):
        self.taken = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.taken.append(body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def stuck():
    """The address of somebody who takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/hook"


@pytest.fixture
def told(tmp_path):
    """A service whose models are all told to a good receiver, a stuck, a failing and an absent one."""
    with Receiver(204) as good, Receiver(500) as failing, stuck() as stuck_url:
        urls = {
            "good": good.url,
            "failing": failing.url,
            "stuck": stuck_url,
            "absent": f"http://127.0.0.1:{free_port()}/hook",
        }
        targets = {name: {"url": url, "allow_private": True, "concurrency": 1} for name, url in urls.items()}
        models = {name: {"notify": list(urls), "columns": {"at": {"role": "time"}}} for name in MODELS}
        # Its end waits for attempts that have begun, but no longer than that.
        limits = {"stop_timeout": "1s"}
        with Process(tmp_path, auth="none", targets=targets, models=models, limits=limits) as process:
            yield process, good, failing


def test_nobody_waits_for_a_receiver_that_does_not_answer(told):
    process, good, failing = told
    for model in MODELS:
        process.model(model)
    process.client.put("/v1/models/beside", json={}).raise_for_status()

    with Bystander(process, "beside") as bystander:
        for model in MODELS:
            for hour in range(3):
                rows = [{**ROW, "temp": 50.0, "at": f"2026-01-05T0{hour}:{minute:02}:00Z"} for minute in range(60)]
                assert process.send(rows, model=model).json()["accepted"] == 60
        wait_until(lambda: len(good.taken) >= len(MODELS), 60)
        wait_until(lambda: failing.taken)

    assert set(bystander.statuses) == {200}
    assert bystander.slowest_s < BYSTANDER_MAX_S
    told_of = {model for model in MODELS for body in good.taken if b'"%s"' % model.encode() in body}
    assert told_of == set(MODELS)

    def states():
        deliveries = process.client.get("/v1/deliveries", params={"limit": 1000}).json()["deliveries"]
        names = ("good", "stuck", "absent")
        return {name: {one["state"] for one in deliveries if one["target"] == name} for name in names}

    wait_until(lambda: states()["good"] == {"delivered"}, 30)  # what was taken is written down a little later
    assert states() == {"good": {"delivered"}, "stuck": {"pending"}, "absent": {"pending"}}
    assert process.client.get("/readyz").status_code == 200
