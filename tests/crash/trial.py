"""A trial: a folder with references and a configuration, a store, services on it, senders, and a receiver of webhooks."""

import csv
import http.client
import json
import subprocess
import sys

from inbox import Inbox
from places import FilePlace
from senders import Senders, post, request_of
from traffic import LATENESS_S, PANE_S, START_US, STREAMS, US_PER_S, WINDOW_S, training_rows
from victim import HOST, ROOT, Victim, wait_until

MODELS = ("ordered", "shuffled", "bare")
_COLUMNS = {
    "columns": {
        "amount": {"kind": "numeric"},
        "items": {"kind": "numeric"},
        "kind": {"kind": "categorical"},
        "batch": {"kind": "categorical"},
        "score": {"role": "output"},
    }
}
_TRAINING_ROWS = 6_400


def make_reference(folder, seed):
    """Build the reference of all models by the real command; its path."""
    columns = training_rows(seed, _TRAINING_ROWS)
    with (folder / "training.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    (folder / "columns.yaml").write_text(json.dumps(_COLUMNS))
    command = ["reference", "build", "training.csv", "--model", "m", "--version", "1", "--columns", "columns.yaml"]
    subprocess.run(
        [sys.executable, "-m", "service", *command, "-o", "reference.json.gz"],
        cwd=folder,
        check=True,
        capture_output=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    return folder / "reference.json.gz"


class Trial:
    """Services that share a store, with their senders and their receiver.

    With sidecars, rows are sent to these alone, and they send counts to the first service.
    """

    def __init__(
        self,
        folder,
        reference,
        *,
        seed,
        services=1,
        sidecars=0,
        refuses=0.0,
        event_s_per_s=None,
        streams=STREAMS,
        place=None,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.seed = folder, seed
        self.place = place or FilePlace(self.database)
        self.inbox = Inbox(refuses=refuses, seed=seed)
        (folder / "driftline.yaml").write_text(json.dumps(_configuration(reference, self.inbox)))
        self.services = [Victim(folder) for _ in range(services)]
        for number, service in enumerate(self.services):
            service.environment |= self.place.environment(number)
        self.sidecars = [self._sidecar(number) for number in range(sidecars)]
        ports = [taker.port for taker in self.sidecars or self.services]
        # Over a wire a 503 may mean that the answer of the store was lost.
        doubtful = set() if isinstance(self.place, FilePlace) and not sidecars else {503}
        self.senders = Senders(seed, streams, ports, event_s_per_s=event_s_per_s, doubtful=doubtful)

    def _sidecar(self, number):
        folder = self.folder / f"sidecar{number}"
        folder.mkdir()
        (folder / "driftline.yaml").write_text("{}")
        sidecar = Victim(folder)
        sidecar.environment = {"DRIFTLINE_STORE_URL": f"http://{HOST}:{self.services[0].port}"}
        return sidecar

    @property
    def processes(self):
        """Those that a harm may come to."""
        return [*self.services, *self.sidecars]

    @property
    def database(self):
        return self.folder / "driftline.db"

    def connected(self, timeout_s=10.0):
        """A connection to the database, past the store."""
        return self.place.connected(timeout_s)

    def let_time_pass(self):
        """Let leases and claims run out at once: what waiting would do, if their holders are dead or stopped."""
        return self.place.let_time_pass()

    def close_windows(self, time_s=None):
        """Send each model a row so far ahead that all windows before it are closed; its time."""
        if time_s is None:
            newest_s = max(self.senders.next_s.values())
            time_s = START_US // US_PER_S + newest_s + LATENESS_S + 10 * WINDOW_S
        row = {"t": time_s, "amount": 0.0, "items": 5, "kind": "a", "batch": "b0", "score": 0.5}
        headers = {"Content-Type": "application/json", "Idempotency-Key": "last"}
        for model in MODELS:
            self._post(model, headers, json.dumps(row).encode())
        return time_s

    def send_all(self, batches):
        """Send batches one after the other to the first service, which has to take them."""
        for batch in batches:
            self._post(batch.stream.model, *request_of(batch))

    def _post(self, model, headers, body):
        connection = http.client.HTTPConnection(HOST, self.services[0].port, timeout=60)
        try:
            status, answer = post(connection, model, headers, body)
        finally:
            connection.close()
        assert status == 200, (answer, self.services[0].tail())

    def wait_evaluated(self, time_s, seconds, models=MODELS):
        """Wait until everything before a time has been evaluated, corrections too."""
        until_us = (time_s - LATENESS_S) // WINDOW_S * WINDOW_S * US_PER_S

        def done():
            evaluated, dirty = self.place.evaluated()
            return not dirty and all((evaluated.get(model) or 0) >= until_us for model in models)

        wait_until(done, seconds, "all windows evaluated")

    def wait_delivered(self, seconds):
        """Wait until no notice is pending."""
        wait_until(lambda: not self.place.undelivered(), seconds, "all notices delivered")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        self.inbox.close()
        self.place.close()


def _configuration(reference, inbox):
    def model(lateness_s, **more):
        return {
            "columns": {"t": {"role": "time"}},
            "pane": f"{PANE_S}s",
            "base_window": f"{WINDOW_S}s",
            "lateness": f"{lateness_s}s",
            "scales": [1, 4],
            "policy": {"resolve_after": 2, "cool_down": "10m"},
            "versions": {"1": {"reference": str(reference)}},
        } | more

    triggers = [{"target": "ci", "windows_min": 2, "cool_down": "1h", "dry_run": False}]
    return {
        "targets": {name: {"url": inbox.url(name), "allow_private": True, "timeout": "2s"} for name in ("pager", "ci")},
        "models": {
            # Old panes are folded while rows come, so that folding is interrupted too.
            "ordered": model(LATENESS_S, notify=["pager"], triggers=triggers, fold_after="30m"),
            "shuffled": model(60, fold_after="2h"),
            # Its batches are told by their panes, so these are never put together.
            "bare": model(60, fold_after="365d"),
        },
    }
