"""The service in this process with a clock that stands still, and as a process of its own, for tests of its HTTP surface."""

import asyncio
import contextlib
import gc
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import structlog
import yaml
from making import reference_of
from redis_server import shared_server
from stores import FakeClock

from detectors.learning import Sketch, merged
from service.app import Service
from service.app.logs import configure_logs
from service.errors import StoreUnavailableError
from service.ports import Committed
from service.registry.reference_file import reference_bytes
from service.settings import Settings
from service.settings.keys import hash_key
from service.storage.codec import summed
from service.storage.memory import MemoryStore
from service.storage.redis import RedisStore
from service.storage.sqlite import SqliteStore

NOW = "2026-03-02T12:00:00Z"
NOW_US = 1_772_452_800_000_000
REFERENCE_TYPE = "application/vnd.driftline.reference+json"
PROBLEM_TYPE = "application/problem+json"
JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
ROW = {"temp": 0.5, "hour": 7, "weather": "clear", "prediction": 3.5}
CATEGORIES = ("clear", "mist", "rain")
READY_WITHIN_S = 60.0


def reference_file(model="m", version="1", *, rows=400, seed=0, **kept):
    """Contents of a reference file with two inputs of numbers, one of categories, and an output."""
    rng = np.random.default_rng(seed)
    columns = {
        "temp": rng.normal(0.5, 0.2, rows),
        "hour": rng.integers(0, 24, rows).astype(float),
        "weather": np.array(CATEGORIES, dtype=object)[rng.integers(0, 3, rows)],
        "prediction": rng.normal(3, 1, rows),
    }
    reference = reference_of(columns, roles={"prediction": "output"}, model=model, version=version, **kept)
    return reference_bytes(reference, compressed=True)


def rows_of(n, seed=1):
    """Rows as production would send them: some cells are null, some of the wrong type, some categories new."""
    rng = np.random.default_rng(seed)
    weather = (*CATEGORIES, "storm", None)
    return [
        {
            "temp": None if rng.random() < 0.05 else float(rng.normal(0.6, 0.3)),
            "hour": int(rng.integers(0, 26)),
            "weather": weather[int(rng.integers(0, len(weather)))],
            "prediction": float(rng.normal(3, 1)),
        }
        for _ in range(n)
    ]


def merge_sketches(sketches):
    return merged([Sketch.from_bytes(sketch) for sketch in sketches]).to_bytes()


class FailingStore:
    """Any store, that can be told to be ill, and to be slow."""

    def __init__(self, store):
        self._store = store
        self.ill = False
        self.away = set()
        """Models whose part of the store is not there."""
        self.gate = asyncio.Event()
        self.gate.set()
        self.commits = 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _check(self):
        if self.ill:
            raise StoreUnavailableError("the store cannot be written to: made ill by a test")

    async def commit(self, commits):
        self.commits += 1
        await self.gate.wait()
        self._check()
        found = await self._store.commit([one for one in commits if one.model not in self.away])
        unavailable = Committed(status="unavailable", reason="made to be away by a test")
        rest = iter(found)
        return [unavailable if one.model in self.away else next(rest) for one in commits]

    async def progress(self, model=None):
        if model in self.away:
            raise StoreUnavailableError("made to be away by a test")
        return await self._store.progress(model)

    async def check(self):
        self._check()
        await self._store.check()


class Served:
    """A service in this process, and a client of it."""

    def __init__(self, service, store, clock, client, log):
        self.service, self.store, self.clock, self.client, self._log = service, store, clock, client, log

    @property
    def log(self):
        return self._log.getvalue()

    def request(self, method, path, **kept):
        return self.client.request(method, path, **kept)

    async def model(self, model="m", version="1", configuration=None, **kept):
        """A model with a reference."""
        if configuration is not None:
            answer = await self.client.put(f"/v1/models/{model}", json=configuration)
            assert answer.status_code in {200, 201}, answer.text
        answer = await self.client.post(
            f"/v1/models/{model}/references",
            content=reference_file(model, version, **kept),
            headers={"content-type": REFERENCE_TYPE},
            params={"activate": "true"},
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def send(self, body, *, model="m", headers=JSON, key=None, **kept):
        """Log rows; `body` is bytes, an iterator of bytes, or what becomes JSON."""
        if key is not None:
            headers = {**headers, "idempotency-key": key}
        content = body if isinstance(body, bytes) or hasattr(body, "__aiter__") else encoded(body)
        return self.client.post(f"/v1/models/{model}/inferences", content=content, headers=headers, **kept)

    async def counts(self, model="m", version=None):
        """All that is stored of a version: rows and counts by pane."""
        live = self.service.registry.get(model).version(version)
        bins = live.active.binner.layout.n_bins_total
        panes = await self.store.panes(live.series(live.active.id), -(1 << 62), 1 << 62)
        return {pane.start_us: (pane.rows, tuple(summed(pane.payloads, bins).tolist())) for pane in panes}

    async def rows(self, model="m", version=None):
        """Rows that are stored of a version."""
        live = self.service.registry.get(model).version(version)
        series = live.series(None if live.learning else live.active.id)
        return sum(rows for _, rows in await self.store.rows_by_window(series, -(1 << 62), (1 << 63) - 1))


def encoded(value):
    import json  # noqa: PLC0415 - beside the constant of that name

    return json.dumps(value).encode()


def settings_of(folder, **sections):
    return Settings.model_validate({"store": {"path": str(folder / "driftline.db")}, "auth": "none", **sections})


@contextlib.asynccontextmanager
async def serving(folder, *, store="memory", clock=None, monotonic_s=time.monotonic, **sections):
    """Run the service in this process; sections are those of `driftline.yaml`. Leases are timed by `monotonic_s`."""
    clock = clock or FakeClock(NOW_US)
    settings = settings_of(folder, **sections)
    if store == "memory":
        inner = MemoryStore(clock, merge_sketches=merge_sketches)
    elif store == "redis":
        shared_server().empty()
        inner = await RedisStore.open(shared_server().url, clock, merge_sketches=merge_sketches)
    else:
        inner = await SqliteStore.open(settings.store.database, clock, merge_sketches=merge_sketches)
    failing = FailingStore(inner)
    with captured_logs() as log:
        service = Service(settings, failing, clock, {}, monotonic_s=monotonic_s)
        await service.start()
        gc.unfreeze()  # a test is not all that this process will do
        transport = httpx.ASGITransport(app=service.application)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://driftline") as client:
                yield Served(service, failing, clock, client, log)
        finally:
            failing.gate.set()
            await service.stop()


def served(folder, scenario, **kept):
    """Run a scenario on a service."""

    async def run():
        async with serving(folder, **kept) as api:
            return await scenario(api)

    return asyncio.run(run())


@contextlib.contextmanager
def captured_logs():
    """What is logged, in the form that is logged in production."""
    log, before = io.StringIO(), structlog.get_config()
    with contextlib.redirect_stderr(log):
        configure_logs("debug")
    structlog.configure(cache_logger_on_first_use=False)
    try:
        yield log
    finally:
        structlog.configure(**before)


def problem_in(answer, status):
    """The error that an answer is; it must be one of this status, and in the form of all errors."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_TYPE
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "errors"}
    assert problem["status"] == status
    assert ("retry-after" in answer.headers) == (status in {429, 503})
    return problem


def key_setting(name, key, scopes, models=None):
    """An API key as `driftline.yaml` has it."""
    return {"name": name, "hash": hash_key(key), "scopes": list(scopes)} | ({"models": models} if models else {})


# --- raw ASGI: what no client would send ----------------------------------------------------------------------------


async def asgi(application, *, path, pieces=(b"",), method="POST", headers=JSON, query=b"", end=True):
    """Call an application with pieces of a body; after them the sender disconnects, or is never heard of again.

    `end` is True for a whole body, "gone" for a disconnect, "silent" for neither, or a coroutine function that is awaited
    before the disconnect.
    """
    left, sent = list(pieces), []

    async def receive():
        if left:
            piece = left.pop(0)
            more = bool(left) or end is not True
            return {"type": "http.request", "body": piece, "more_body": more}
        if end == "silent":
            await asyncio.Event().wait()
        if callable(end):
            await end()
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("driftline", 80),
        "client": ("test", 1),
    }
    await application(scope, receive, send)
    if not sent:
        return None
    return httpx.Response(
        sent[0]["status"], headers=sent[0]["headers"], content=b"".join(one.get("body", b"") for one in sent[1:])
    )


# --- the real process -----------------------------------------------------------------------------------------------


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Process:
    """`python -m service serve` on a free port, until the end of the block; `within` is a command that it is run by.

    The block begins when `awaits` is answered with 200.
    """

    def __init__(
        self, folder: Path, *, environment=None, on=None, host="127.0.0.1", within=(), awaits="/readyz", **sections
    ):
        self.folder, self.port, self.host, self._awaits = folder, free_port(), host, awaits
        self._log = folder / "log.txt"
        config = folder / "driftline.yaml"
        config.write_text(yaml.safe_dump(sections))
        command = [*within, sys.executable, "-m", "service", "serve", "--host", host, "--port", str(self.port)]
        self._command = [*command, "--config", str(config), "--store", str(on or folder / "driftline.db")]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("DRIFTLINE_")}
        self._environment |= environment or {}

    def __enter__(self):
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)
        self.client = httpx.Client(base_url=f"http://{self.host}:{self.port}", timeout=60, trust_env=False)
        try:
            wait_until(self._answers, READY_WITHIN_S, lambda: self.log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.client.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def log(self):
        return self._log.read_text()

    @property
    def pid(self):
        return self._process.pid

    def _answers(self):
        assert self._process.poll() is None, self.log
        with contextlib.suppress(httpx.TransportError):
            return self.client.get(self._awaits).status_code == 200

    def ready(self):
        return self.client.get("/readyz").status_code == 200

    def ended(self, within_s, number=signal.SIGTERM):
        """Its exit code, once it was told to end."""
        self._process.send_signal(number)
        return self._process.wait(within_s)

    def model(self, model="m", version="1", **kept):
        answer = self.client.post(
            f"/v1/models/{model}/references",
            content=reference_file(model, version, **kept),
            headers={"content-type": REFERENCE_TYPE},
        )
        assert answer.status_code == 201, answer.text

    def send(self, body, *, model="m", headers=JSON, **kept):
        content = body if isinstance(body, bytes) or hasattr(body, "__next__") else encoded(body)
        return self.client.post(f"/v1/models/{model}/inferences", content=content, headers=headers, **kept)

    def accepted(self, model="m"):
        """Rows that it says it has accepted."""
        lines = self.client.get("/metrics").text.splitlines()
        wanted = f'driftline_rows_total{{fate="accepted",model="{model}"}}'
        alternative = f'driftline_rows_total{{model="{model}",fate="accepted"}}'
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith((wanted, alternative)))

    def memory_bytes(self, which="VmRSS"):
        """Memory of the process now (`VmRSS`), or at its most (`VmHWM`)."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (line,) = [line for line in status if line.startswith(which)]
        return int(line.split()[1]) * 1024

    def forget_peak(self):
        """Let `VmHWM` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def connect(self, timeout_s=15.0):
        """A socket to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def raw(self, data, *, close_write=False, timeout_s=15.0):
        """All that it answers to bytes until it closes the connection, or the answer is whole."""
        with self.connect(timeout_s) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
                if close_write:
                    connection.shutdown(socket.SHUT_WR)
            return answer_on(connection)


def answer_on(connection):
    """Status and body of the next answer on a socket; None if it was closed without one."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            piece = connection.recv(65536)
        except ConnectionError:
            return None
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    headers = {line.split(b":", 1)[0].strip().lower(): line.split(b":", 1)[1].strip() for line in lines[1:]}
    length = int(headers.get(b"content-length", b"0"))
    while len(body) < length:
        piece = connection.recv(65536)
        if not piece:
            break
        body += piece
    named = {name.decode(): value.decode() for name, value in headers.items()}
    return httpx.Response(int(lines[0].split()[1]), headers=named, content=body)


async def until(true, within_s=60.0):
    """Let others run until something is true."""
    async with asyncio.timeout(within_s):
        while not await true():  # noqa: ASYNC110 - what is waited for is in a store
            await asyncio.sleep(0.001)


def wait_until(true, within_s=60.0, explain=lambda: ""):
    """Poll until something is true."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s: {explain()}"
        time.sleep(0.02)


class Bystander:
    """A well-behaved client that sends one row at a time beside whatever else happens."""

    def __init__(self, process, model="m", pause_s=0.005):
        self.statuses, self.slowest_s = [], 0.0
        self._process, self._model, self._pause_s = process, model, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        with httpx.Client(base_url=f"http://127.0.0.1:{self._process.port}", timeout=60, trust_env=False) as client:
            while not self._stop.wait(self._pause_s):
                started = time.perf_counter()
                answer = client.post(f"/v1/models/{self._model}/inferences", json=ROW)
                self.slowest_s = max(self.slowest_s, time.perf_counter() - started)
                self.statuses.append(answer.status_code)
