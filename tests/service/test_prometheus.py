"""A real Prometheus scrapes the real service, and answers for every metric and every query that the README names."""

import contextlib
import http.server
import re
import resource
import subprocess
import threading
import time

import httpx
import needs
import pytest
import yaml
from readme_tables import README
from serving import Process, free_port, rows_of, wait_until

from service.exporter.catalogue import CATALOGUE, PROCESS_METRICS
from service.windows.times import format_instant

HOUR_S = 3_600
NOT_BEFORE_CALIBRATION = {
    "driftline_false_alarms_per_30d",
    "driftline_false_alarm_budget_per_30d",
    "driftline_replayed_false_alarms_per_30d",
    "driftline_budget_exceeded",
}
OF_SIDECARS = {metric.name for metric in CATALOGUE if metric.name.startswith("driftline_upstream_")}
"""Are asked for where a sidecar is, in `test_sidecars.py`."""

OPENMETRICS = "application/openmetrics-text;version=1.0.0"


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what comes to /works, and has a bad day everywhere else."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204 if self.path == "/works" else 500)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def receiving():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Prometheus:
    """A Prometheus that scrapes one address every second."""

    def __init__(self, folder, scraped_port):
        self._program = needs.program("prometheus", "prometheus")
        self._folder, self._port = folder, free_port()
        self._config = folder / "prometheus.yml"
        scrape = {
            "job_name": "driftline",
            "scrape_interval": "1s",
            "static_configs": [{"targets": [f"127.0.0.1:{scraped_port}"]}],
        }
        self._config.write_text(yaml.safe_dump({"scrape_configs": [scrape]}))

    def __enter__(self):
        arguments = [f"--config.file={self._config}", f"--storage.tsdb.path={self._folder / 'tsdb'}"]
        arguments.append(f"--web.listen-address=127.0.0.1:{self._port}")
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen([self._program, *arguments], stdout=log, stderr=log, cwd=self._folder)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=30, trust_env=False)
        try:
            wait_until(self._scrapes, 60, (self._folder / "prometheus.log").read_text)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._client.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def answers(self, query):
        """Samples that a query has."""
        answer = self._client.get("/api/v1/query", params={"query": query})
        assert answer.status_code == 200, (query, answer.text)
        return answer.json()["data"]["result"]

    def unanswered(self, queries):
        """Those of some queries that stay without data."""
        left = list(queries)

        def none_left():
            left[:] = [query for query in left if not self.answers(query)]
            return not left

        with contextlib.suppress(AssertionError):
            wait_until(none_left, 20)
        return left

    def _scrapes(self):
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text()
        with contextlib.suppress(httpx.TransportError):
            answer = self._client.get("/api/v1/query", params={"query": "up == 1"})
            return answer.status_code == 200 and bool(answer.json()["data"]["result"])


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The service with everything that has a metric: a drifting model, a learning one, targets that work and that do not."""
    needs.program("prometheus", "prometheus")  # before anything is started
    with receiving() as address:
        targets = {name: {"url": f"{address}/{name}", "allow_private": True} for name in ("works", "fails")}
        with Process(tmp_path_factory.mktemp("service"), targets=targets) as process:
            process.client.put("/v1/models/learns", json={}).raise_for_status()
            drifts = {"columns": {"at": {"role": "time"}}, "notify": ["works", "fails"]}
            process.client.put("/v1/models/drifts", json=drifts).raise_for_status()
            process.model("drifts")
            send_what_happens(process)
            wait_until(lambda: has_drifted(process), 30, lambda: process.log)
            yield process


def send_what_happens(process):
    now_s = int(time.time())
    for hours_ago, seed in ((3, 1), (1, 2), (0, 3)):
        at = format_instant((now_s - hours_ago * HOUR_S) * 1_000_000)
        rows = [row | {"at": at, "unknown": 1} for row in rows_of(200, seed)]
        headers = {"content-type": "application/json", "idempotency-key": str(hours_ago)}
        for duplicate in (False, True):
            answer = process.send(rows, model="drifts", headers=headers)
            assert (answer.status_code, answer.json()["duplicate"]) == (200, duplicate), answer.text
    assert process.send([{"at": "no time"}], model="drifts").json()["rejected"] == 1
    assert process.send(rows_of(20), model="learns").json()["accepted"] == 20
    with no_room_in_the_store(process):
        assert process.send(rows_of(20), model="learns").status_code == 503


@contextlib.contextmanager
def no_room_in_the_store(process):
    """No file of the service may become larger than half of its write-ahead log is."""
    room_bytes = (process.folder / "driftline.db-wal").stat().st_size // 2
    assert room_bytes > len(process.log) + 10_000  # the log is a file too
    before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room_bytes, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)


def has_drifted(process):
    lines = process.client.get("/metrics").text.splitlines()
    wanted = ("driftline_alert_firing", "driftline_deliveries_total", "driftline_drift_statistic", "driftline_stored_")
    return all(any(line.startswith(name) and not line.endswith(" 0") for line in lines) for name in wanted)


def section(text, name):
    (found,) = re.findall(rf"<!-- made: {name} -->\n(.*?)<!-- end -->", text, re.DOTALL)
    return found


def test_prometheus_answers_for_every_metric_of_the_readme(service, tmp_path):
    named = re.findall(r"^\| `(\w+)` \|", section(README.read_text(), "metrics"), re.MULTILINE)
    series = {metric.name: f"{metric.name}_count" for metric in CATALOGUE if metric.type == "histogram"}

    with Prometheus(tmp_path, service.port) as prometheus:
        wanted = [name for name in named if name not in NOT_BEFORE_CALIBRATION | OF_SIDECARS]
        left = prometheus.unanswered(series.get(name, name) for name in wanted)
        too_early = [name for name in NOT_BEFORE_CALIBRATION if prometheus.answers(name)]
        process_metrics = {sample["metric"]["__name__"] for sample in prometheus.answers('{__name__=~"process_.*"}')}

    assert set(named) == {metric.name for metric in CATALOGUE}
    assert left == []
    assert too_early == []
    assert process_metrics == set(PROCESS_METRICS)


def test_prometheus_answers_every_query_of_the_readme(service, tmp_path):
    blocks = re.findall(r"```promql\n(.*?)```", README.read_text(), re.DOTALL)
    queries = [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]

    with Prometheus(tmp_path, service.port) as prometheus:
        left = prometheus.unanswered(queries)

    assert len(queries) >= 5
    assert left == []


def test_promtool_finds_no_fault_with_the_text_format(service):
    checked = subprocess.run(
        [needs.program("promtool", "prometheus"), "check", "metrics"],
        input=service.client.get("/metrics").text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_promtool_reads_all_of_openmetrics(service, tmp_path):
    # `check metrics` knows the text format only; this parser wants times, which an exposition does not have.
    answer = service.client.get("/metrics", headers={"accept": OPENMETRICS})
    lines = answer.text.splitlines()
    document = "\n".join(line if line.startswith("#") else f"{line} 1700000000" for line in lines) + "\n"
    (tmp_path / "openmetrics.txt").write_text(document)
    arguments = ["tsdb", "create-blocks-from", "openmetrics", tmp_path / "openmetrics.txt", tmp_path / "blocks"]

    read = subprocess.run(
        [needs.program("promtool", "prometheus"), *arguments], capture_output=True, text=True, check=False
    )

    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert read.returncode == 0, read.stderr
    samples = sum(not line.startswith("#") for line in lines)
    assert re.search(rf"1ms +{samples} ", read.stdout), read.stdout
