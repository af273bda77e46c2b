"""Memory over millions of rows: flat, however many have come.

One service with many models learns a reference of each from its first rows, and then takes rows in event time, some hundred
models in turn, as Arrow streams over HTTP. Windows are evaluated and expire as in a long life, only faster. Every twentieth of
the way the service is let catch up, and its memory and its database are looked at. From the root::

    python tests/crash/soak.py [--rows 10_000_000] [--models 100]

Exit 1 if a row is missing at the end, or the memory of the second half is above that of the first by more than an eighth.
"""

import argparse
import http.client
import io
import json
import signal
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from traffic import START_US, US_PER_S
from victim import HOST, Victim, wait_until

GROWTH_MAX = 1 / 8
_NUMBERS, _TEXTS = 16, 4
_LEARNING_ROWS = 1_000
_BODY_ROWS, _WINDOWS_A_BODY = 2_000, 4
_WINDOW_S = 3_600
_RETENTION_WINDOWS = 12
_SAMPLES = 20
_SENDERS = 2
_MIB = 1 << 20
_LEARNED = "SELECT count(DISTINCT model_id) FROM activations"
_EVALUATED = "SELECT min(coalesce(evaluated_until_us, 0)) FROM progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """How it stands after some rows."""

    rows: int
    rss_bytes: int
    peak_bytes: int
    database_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What came of it."""

    samples: list
    sent: int
    accepted: int
    evaluated: int

    @property
    def growth(self):
        """Largest memory of the second half over the largest of the first, after learning, less one."""
        half = len(self.samples) // 2
        first = max(sample.rss_bytes for sample in self.samples[1:half])
        return max(sample.rss_bytes for sample in self.samples[half:]) / first - 1

    def __str__(self):
        lines = [f"{'rows':>12} {'memory MiB':>11} {'peak MiB':>9} {'database MiB':>13} {'seconds':>8}"]
        lines += [
            f"{one.rows:>12,} {one.rss_bytes / _MIB:>11.1f} {one.peak_bytes / _MIB:>9.1f} "
            f"{one.database_bytes / _MIB:>13.1f} {one.seconds:>8.0f}"
            for one in self.samples
        ]
        lines.append(f"memory of the second half against the first: {self.growth:+.1%}, allowed {GROWTH_MAX:+.1%}")
        lines.append(f"rows sent {self.sent:,}, accepted {self.accepted:,}; windows evaluated: {self.evaluated:,}")
        return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--models", type=int, default=100)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no service is left behind
    with tempfile.TemporaryDirectory(prefix="driftline-soak-") as folder:
        soaked = soak(Path(folder), rows=arguments.rows, models=arguments.models, told=print)
    print(soaked)
    return 1 if soaked.growth > GROWTH_MAX or soaked.accepted != soaked.sent else 0


def soak(folder, *, rows, models, samples=_SAMPLES, told=lambda _: None):
    """Send so many rows to so many models, and look at the service on the way."""
    names = [f"model-{number}" for number in range(models)]
    (folder / "driftline.yaml").write_text(json.dumps(_configuration(names)))
    bodies = [body_of(seed) for seed in range(8)]
    rounds = max(samples, rows // (models * _BODY_ROWS))
    seen = []
    with Victim(folder) as service, ThreadPoolExecutor(_SENDERS) as senders:
        service.start().wait_ready()
        started_s = time.monotonic()
        seen.append(_sample(service, 0, started_s))
        told(f"{seen[0].rss_bytes / _MIB:.1f} MiB before the first row")
        for number in range(rounds):
            jobs = [(service.port, name, number, bodies[(number + at) % len(bodies)]) for at, name in enumerate(names)]
            list(senders.map(lambda job: _send(*job), jobs))
            if number == 0:
                wait_until(lambda: _asked(service, _LEARNED) == models, 300, "references of all models")
            if (number + 1) % (rounds // samples) == 0:
                _settle(service, number)
                seen.append(_sample(service, (number + 1) * models * _BODY_ROWS, started_s))
                told(f"{seen[-1].rows:,} rows: {seen[-1].rss_bytes / _MIB:.1f} MiB")
        metrics = _metrics(service)
        assert service.stop() == 0, service.tail()
    return Soaked(
        samples=seen,
        sent=rounds * models * _BODY_ROWS,
        accepted=int(metrics["driftline_rows_total", "accepted"]),
        evaluated=int(metrics["driftline_evaluations_total", None]),
    )


def body_of(seed):
    """An Arrow stream of numbers and texts, without times."""
    rng = np.random.default_rng(seed)
    columns = {f"number{at}": rng.standard_normal(_BODY_ROWS) * (at + 1) for at in range(_NUMBERS)}
    texts = np.array(["red", "green", "blue", "grey"], dtype=object)
    columns |= {f"text{at}": rng.choice(texts, _BODY_ROWS) for at in range(_TEXTS)}
    return pa.table(columns)


def _send(port, name, number, table):
    start_s = START_US // US_PER_S + number * _WINDOWS_A_BODY * _WINDOW_S
    offsets_s = np.linspace(0, _WINDOWS_A_BODY * _WINDOW_S, table.num_rows, endpoint=False)
    table = table.append_column("t", pa.array(start_s + offsets_s))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    connection = http.client.HTTPConnection(HOST, port, timeout=120)
    try:
        headers = {"Content-Type": "application/vnd.apache.arrow.stream", "Idempotency-Key": f"{number}"}
        connection.request("POST", f"/v1/models/{name}/inferences", sink.getvalue(), headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
    finally:
        connection.close()


def _settle(service, number):
    """Wait until the windows before the last body have been evaluated, and be a Prometheus."""
    if number:  # the first went into references
        until_us = START_US + number * _WINDOWS_A_BODY * _WINDOW_S * US_PER_S
        wait_until(lambda: _asked(service, _EVALUATED) >= until_us, 900, "windows evaluated")
    assert service.get("/metrics")[0] == 200


def _asked(service, question):
    with closing(sqlite3.connect(service.database, timeout=30)) as connection:
        return connection.execute(question).fetchone()[0]


def _metrics(service):
    """Sums of `/metrics` by name, and by name and fate."""
    found = defaultdict(float)
    for line in service.get("/metrics")[1].decode().splitlines():
        if line.startswith("#"):
            continue
        name, _, rest = line.partition("{")
        labels, _, value = rest.rpartition("} ")
        for label in labels.split(","):
            key, _, said = label.partition("=")
            if key == "fate":
                found[name, said.strip('"')] += float(value)
        found[name, None] += float(value or 0)
    return found


def _sample(service, rows, started_s):
    files = [path for path in service.folder.iterdir() if path.name.startswith("driftline.db")]
    return Sample(
        rows=rows,
        rss_bytes=service.rss_bytes(),
        peak_bytes=service.rss_bytes("VmHWM"),
        database_bytes=sum(path.stat().st_size for path in files),
        seconds=time.monotonic() - started_s,
    )


def _configuration(names):
    model = {
        "columns": {"t": {"role": "time"}},
        "base_window": f"{_WINDOW_S}s",
        "lateness": "2m",
        "scales": [1, 6],
        "retention": f"{_RETENTION_WINDOWS}h",
        "fold_after": "2h",
        "learning": {"rows": _LEARNING_ROWS},
    }
    return {
        "limits": {"evaluations_retention": f"{_RETENTION_WINDOWS}h", "idempotency_retention": "60s"},
        "models": dict.fromkeys(names, model),
    }


if __name__ == "__main__":
    sys.exit(main())
