"""What a page has to show: the bike data, and a model whose every name is an attack."""

import http.server
import json
import threading

import numpy as np
from serving import NDJSON, wait_until

from service.demo.weeks import training_csv, weeks

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "'\"&amp; `${1}` {{7*7}}",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u202egnp.exe",
    "a/b?c#d%20e",
    "..",
    "  ",
    "__proto__",
    "\U0001f6b2",
    "long " * 40 + "name",
)
CATEGORIES = (
    "ok",
    "<script>alert(2)</script>",
    "<b>bold</b>",
    '"quoted"',
    "\u202eright to left",
    "\u05e2\u05d1\u05e8\u05d9\u05ea",
)
CATEGORICAL = HOSTILE[0]
DAY_S = 1_767_571_200  # Monday, 2026-01-05
HOUR_S = 3_600
KEPT = {"retention": "36525d", "columns": {"at": {"role": "time"}}}
CSV = {"content-type": "text/csv"}


class Receiver:
    """Takes webhooks, or refuses them."""

    def __enter__(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.status = 500
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.target = {"url": f"http://127.0.0.1:{self._server.server_port}/", "allow_private": True, "retry_for": "1s"}
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def hostile_rows(first_s, last_s, n, *, shift=0.0, seed=0):
    """Rows of a model whose every name is an attack, evenly in a span of time."""
    rng = np.random.default_rng(seed)
    shares = np.array([5, 3 + 9 * shift, 2, 1, 1, 1])
    lines = []
    for time_s in np.linspace(first_s, last_s, n, endpoint=False).tolist():
        row = {name: float(rng.normal()) + (shift if name == HOSTILE[1] else 0.0) for name in HOSTILE}
        row[CATEGORICAL] = CATEGORIES[int(rng.choice(len(CATEGORIES), p=shares / shares.sum()))]
        lines.append(json.dumps({"at": time_s, **row}))
    return "\n".join(lines).encode()


def watch_hostile(process, headers=None):
    """Hours of which one is stable, one drifted, one has few rows, one none, and one is open."""
    headers = {**NDJSON, **(headers or {})}
    send = process.client.post
    training = hostile_rows(DAY_S - 96 * HOUR_S, DAY_S, 1500)
    answer = send("/v1/models/hostile/references", content=training, headers=headers, params={"activate": "true"})
    assert answer.status_code == 201, answer.text
    hours = ((0, 200, 0.0), (1, 200, 2.0), (2, 6, 0.0), (4, 200, 0.0), (5, 40, 0.0))
    for hour, n, shift in hours:
        at_s = DAY_S + hour * HOUR_S
        body = hostile_rows(at_s, at_s + HOUR_S, n, shift=shift, seed=hour + 1)
        answer = send("/v1/models/hostile/inferences", content=body, headers=headers)
        assert answer.json() == {"accepted": n, "rejected": 0, "late": 0, "duplicate": False, "errors": []}
    evaluated(process, "hostile", "2026-01-05T05:00:00Z", headers)


def watch_bikes(process):
    """2011 is the reference, 2012 is replayed."""
    how = {"version": "2011", "activate": "true", "outputs": "prediction"}
    answer = process.client.post("/v1/models/bikes/references", content=training_csv(), headers=CSV, params=how)
    assert answer.status_code == 201, answer.text
    for week in weeks():
        answer = process.send(week.sound, model="bikes", headers=CSV)
        assert answer.json()["accepted"] == week.rows


def evaluated(process, model, until, headers=None):
    def is_done():
        (version,) = process.client.get(f"/v1/models/{model}", headers=headers).json()["versions"]
        return version["evaluated_until"] == until

    wait_until(is_done, 60, lambda: process.log[-2000:])
