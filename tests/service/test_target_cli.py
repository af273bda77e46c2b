"""`driftline target test` against receivers that take it and receivers that do not."""

import json
import socket
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.cli.main import main
from service.demo.receiver import is_signed, receiver

SECRET = "whsec_" + "A" * 43 + "="


@pytest.fixture
def run(monkeypatch, capfd, tmp_path):
    def run_(name, targets):
        (tmp_path / "driftline.yaml").write_text(json.dumps({"targets": targets}))
        monkeypatch.setenv("HOOK_SECRET", SECRET)
        monkeypatch.setenv("HOOK_URL", "http://127.0.0.1:9/secret/path")
        monkeypatch.setattr(
            sys, "argv", ["driftline", "target", "test", name, "--config", str(tmp_path / "driftline.yaml")]
        )
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        return left.value.code, out, err

    return run_


@contextmanager
def answering(status, body=b"", headers=()):
    """A receiver that gives one answer; its address, and the requests that came."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((dict(self.headers.items()), self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def target(url, **more):
    return {"url": url, "allow_private": True, "secrets": [{"env": "HOOK_SECRET"}], **more}


def test_a_notice_that_is_taken_is_delivered(run):
    with answering(202, b"thank you\x1b[31m") as (url, asked):
        code, out, err = run("ci", {"ci": target(url)})

    assert (code, err) == (0, "")
    assert f"ci: {url} (generic, plain), signed with 1 secret" in out
    assert "answer: 202 after " in out
    assert "body: thank you\N{REPLACEMENT CHARACTER}[31m" in out
    assert out.endswith("delivered\n")
    ((headers, body),) = asked
    assert json.loads(body)["kind"] == "test"
    assert is_signed({name.lower(): value for name, value in headers.items()}, body, SECRET, time.time())


@pytest.mark.parametrize(
    ("status", "more", "said"),
    [
        (500, {}, "not delivered: a notice would be tried again, at growing intervals of up to an hour, for 3d"),
        (301, {}, "would be tried again"),
        (429, {"retry_for": "1h"}, "would be tried again, at growing intervals of up to an hour, for 1h"),
        (410, {}, "410 would disable the target until POST /v1/targets/ci/enable"),
        (404, {"format": "cloudevents"}, "404 is final for this kind of target"),
    ],
)
def test_a_notice_that_is_not_taken_leaves_with_2_and_what_would_follow(run, status, more, said):
    with answering(status, headers=[("Retry-After", "7")]) as (url, _):
        code, out, _ = run("ci", {"ci": target(url, **more)})

    assert code == 2
    assert f"answer: {status} after " in out
    assert "Retry-After: 7" in out
    assert said in out


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_receiver_that_is_not_there_is_told_from_one_that_may_not_be_called(run):
    url = f"http://127.0.0.1:{closed_port()}/"

    nobody = run("ci", {"ci": target(url)})
    private = run("ci", {"ci": target(url, allow_private=False)})
    metadata = run("ci", {"ci": target("http://169.254.169.254/")})

    assert [code for code, _, _ in (nobody, private, metadata)] == [2, 2, 2]
    assert "no answer: no connection" in nobody[1]
    assert "`allow_private: true` allows it" in private[1]
    assert "it is never called" in metadata[1]


def test_an_address_that_is_a_secret_is_not_shown(run):
    _, out, err = run("ci", {"ci": {"url": {"env": "HOOK_URL"}, "allow_private": True}})

    assert "ci: a secret address (generic, plain), not signed" in out
    assert "secret/path" not in out + err


def test_only_the_target_that_is_tested_needs_its_secrets(run):
    with answering(204) as (url, _):
        code, _, _ = run("ci", {"ci": target(url), "pager": target(url, secrets=[{"env": "NOWHERE"}])})

    assert code == 0


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"pager": target("http://127.0.0.1:9/")}, "target 'ci' is not configured; there are: pager"),
        ({}, "there are: none"),
        (
            {"ci": target("http://127.0.0.1:9/", secrets=[{"env": "NOWHERE"}])},
            "environment variable NOWHERE is not set",
        ),
        ({"ci": {"url": "nonsense"}}, "wanted an http or https address"),
    ],
)
def test_a_configuration_that_does_not_do_is_told(run, targets, said):
    code, _, err = run("ci", targets)

    assert code == 2
    assert said in err


def test_the_demos_receiver_believes_only_what_was_signed_just_now():
    with receiver() as hook:
        pass

    headers = {"webhook-id": "1", "webhook-timestamp": "1000"}

    assert not is_signed(headers, b"{}", hook.secret, 1000)
    assert not is_signed(headers | {"webhook-signature": "v1,AAAA"}, b"{}", hook.secret, 1000)
    assert not is_signed(headers | {"webhook-timestamp": "soon"}, b"{}", hook.secret, 1000)
    signature = "v1,wrong v1,ll8dj1u5LzFh2MvQZLJzwXYzHd3hVgYhQ2M0r4p8i5k="
    assert not is_signed(headers | {"webhook-signature": signature}, b"{}", hook.secret, 1000)
