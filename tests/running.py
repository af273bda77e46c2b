"""A service without HTTP, on any store, whose clock stands still until it is moved; for tests of what it makes of time."""

import asyncio
import functools
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pytest
import structlog
from making import reference_of
from stores import FakeClock

from detectors.binning import ColumnValues
from service.app.service import Service
from service.app.stores import merge_sketches
from service.ingest.decode import DecodedColumns, NdjsonDecoder
from service.ingest.pending import Answer, Pending
from service.settings import Settings
from service.storage import codec
from service.storage.memory import MemoryStore
from service.storage.sqlite import SqliteStore

structlog.configure(
    processors=[structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
)

S = 1_000_000
MINUTE = 60 * S
HOUR = 3600 * S
DAY = 24 * HOUR
EVER = 1 << 62


def at(text):
    """Microseconds of a time in UTC, such as `2026-03-02T10:30`."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S


MONDAY = at("2026-03-02")
"""When tests begin, unless they say otherwise."""

TARGET = {"pager": {"url": "https://example.com/hook"}}

TIME = {"at": {"role": "time"}, "label": {"role": "label"}}


@functools.cache
def small_reference(seed=0, **facts):
    """Two inputs and an output, a thousand rows."""
    rng = np.random.default_rng(seed)
    columns = {
        "x": rng.standard_normal(1000),
        "c": np.array(["red", "green", "blue"], dtype=object)[rng.integers(0, 3, 1000)],
        "y": rng.standard_normal(1000),
    }
    return reference_of(columns, roles={"y": "output"}, resolution=32, **facts)


def small_rows(times_us, *, shift=0.0, seed=0):
    """A row a time, as the reference has them but for a shift of x and y."""
    rng = np.random.default_rng(seed)
    n = len(times_us)
    return {
        "at": np.asarray(times_us, dtype=np.int64),
        "x": rng.standard_normal(n) + shift,
        "c": np.array(["red", "green", "blue"], dtype=object)[rng.integers(0, 3, n)],
        "y": rng.standard_normal(n) + shift,
    }


def spread(start_us, end_us, n):
    """So many times in a span, evenly."""
    return start_us + (np.arange(n) * ((end_us - start_us) / n)).astype(np.int64)


class Site:
    """Somewhere that services run: one store that outlives them, one clock."""

    def __init__(self, kind, folder: Path, now_us=MONDAY):
        self.kind, self.folder, self.clock = kind, folder, FakeClock(now_us)
        self.targets = {}
        self._state = None
        self._running = []

    async def __aenter__(self):
        self.running = await self.start()
        return self

    async def __aexit__(self, *_):
        for running in self._running:
            await running.stop()

    async def start(self):
        """One more process."""
        if self.kind == "sqlite":
            path = self.folder / "driftline.db"
            store = await SqliteStore.open(path, self.clock, merge_sketches=merge_sketches)
        else:
            store = MemoryStore(self.clock, merge_sketches=merge_sketches, state=self._state)
            self._state = store.state
        settings = Settings(store={"path": self.folder / "driftline.db"}, targets=self.targets)
        running = Running(Service(settings, store, self.clock, {}, monotonic_s=lambda: self.clock.us / S), self.clock)
        await running.begin()
        self._running.append(running)
        return running

    async def restart(self):
        """End the process, and start another one on the same store."""
        await self.running.stop()
        self.running = await self.start()
        return self.running

    def __getattr__(self, name):
        """What a site is asked, its first process answers."""
        return getattr(self.running, name)


class Running:
    """One process, driven by hand."""

    def __init__(self, service: Service, clock: FakeClock):
        self.service, self.clock, self.store = service, clock, service.store
        self._schemas = service._schemas
        self._stopped = False

    async def begin(self):
        await self.service.take_up()
        self.service.buffer.start()

    async def stop(self):
        if not self._stopped:
            self._stopped = True
            await self.service.roles.leave()
            await self.service.stop()

    # configuration

    async def configure(self, model="m", **configuration):
        """Make or change a model whose time is in the column `at`."""
        await self.service.registry.refresh()
        live = self.service.registry.get(model)
        document = json.dumps({"columns": TIME} | configuration).encode()
        epoch = await self.store.put_model(model, document, "api", None if live is None else live.epoch)
        assert epoch is not None
        await self.service.registry.refresh()

    async def activate(self, reference=None, *, model="m", version="1", from_us=None):
        """Keep a reference and make it active; its id."""
        kept = await self.service.jobs.keep(model, reference or small_reference())
        await self.service.jobs.activate(model, version, kept.id, from_us)
        return kept.id

    def live(self, model="m"):
        return self.service.registry.get(model)

    # rows

    async def post(self, rows, *, model="m", version=None, key=None) -> Answer:
        """Rows as dictionaries, or as arrays by name."""
        answer = Answer()
        for pending in self._pendings(rows, model, version, key):
            answer = answer.merged(await self.service.buffer.add(pending, 1))
        return answer

    async def post_hours(self, first_us, hours, n=60, **how):
        """So many rows in each of some hours; all in one body."""
        times = np.concatenate([spread(first_us + h * HOUR, first_us + (h + 1) * HOUR, n) for h in range(hours)])
        return await self.post(small_rows(times, **how))

    def _pendings(self, rows, model, version, key):
        received_us = self.clock.us
        if isinstance(rows, dict):
            n = len(next(iter(rows.values())))
            columns = {name: ColumnValues(values=np.asarray(values)) for name, values in rows.items()}
            parts = [DecodedColumns(rows=n, columns=columns, numbers=range(1, n + 1))]
        else:
            live = self.live(model)
            decoder = NdjsonDecoder(self._schemas.of(live, live.version(version)))
            body = "".join(json.dumps(row) + "\n" for row in rows).encode()
            parts = [*decoder.feed(body), *decoder.finish()]
        return [Pending(model=model, version=version, decoded=part, received_us=received_us, key=key) for part in parts]

    # what happens by itself

    async def tick(self, *, sweep=False):
        """One round of evaluations, to the end of what is due."""
        await self.service.ticks.evaluate()
        if sweep:
            await self.service.ticks.sweep()

    async def go_to(self, now_us, *, step_us=None, sweep=False):
        """Let the time pass, ticking on the way if a step is given, and at its end."""
        while step_us is not None and self.clock.us + step_us < now_us:
            self.clock.us += step_us
            await self.tick(sweep=sweep)
        self.clock.us = now_us
        await self.tick(sweep=sweep)

    # what came of it

    async def progress(self, model="m", version="1"):
        return next((item for item in await self.store.progress(model) if item.version == version), None)

    async def evaluations(self, size=None, *, model="m", version="1"):
        """Documents, in the order of their windows."""
        rows = await self.store.evaluations(model, version, size=size, first_us=None, last_us=None, limit=1_000_000)
        return [msgspec.json.decode(row.document) for row in reversed(rows)]

    async def evaluation(self, start_us, size="1h", **whose):
        """The one of a window."""
        start = datetime.fromtimestamp(start_us // S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        (found,) = [one for one in await self.evaluations(size, **whose) if one["window"]["start"] == start]
        return found

    async def decisions(self, model="m", version="1"):
        return [
            msgspec.json.decode(document) for _, document in await self.store.decisions(model, version, -EVER, EVER)
        ]

    async def episodes(self, model="m"):
        """Documents, in the order of their opening."""
        rows = await self.store.episodes(model=model, open_only=False, limit=1000)
        return [msgspec.json.decode(row.document) for row in reversed(rows)]

    async def notices(self):
        """Documents of the outbox, in the order they were made."""
        return [
            msgspec.json.decode(row.notice)
            for row in reversed(await self.store.deliveries(state=None, target=None, limit=1000))
        ]

    async def counted(self, reference_id, first_us=-EVER, last_us=EVER, *, model="m", version="1"):
        """Sum of the counts of a reference, and of the rows they are of."""
        live = self.live(model).version(version)
        panes = await self.store.panes(live.series(reference_id), first_us, last_us)
        reference = await self.service.registry.reference(model, reference_id)
        payloads = [payload for pane in panes for payload in pane.payloads]
        total = codec.summed(payloads, reference.reference.layout.n_bins_total)
        return total.tolist(), sum(pane.rows for pane in panes)

    async def late(self, first_us=-EVER, last_us=EVER, *, model="m", version="1"):
        """Rows that were counted as late."""
        live = self.live(model).version(version)
        return sum(pane.late for pane in await self.store.panes(live.series(live.active.id), first_us, last_us))

    async def metrics(self):
        """What is exported, as lines."""
        body, _ = await self.service.context.metrics("text/plain")
        return [line for line in body.decode().splitlines() if not line.startswith("#")]


def running(*kinds, now_us=MONDAY):
    """Make a test of a coroutine that is given a site; on each kind of store, by default the one in memory."""

    def decorate(scenario):
        @pytest.mark.parametrize("kind", kinds or ("memory",))
        def test(kind, tmp_path):
            run(scenario, tmp_path, kind=kind, now_us=now_us)

        test.__name__ = scenario.__name__
        test.__module__ = scenario.__module__
        return test

    return decorate


def run(scenario, folder, *, kind="memory", now_us=MONDAY):
    """Run a scenario on a site."""

    async def inside():
        async with Site(kind, folder, now_us) as site:
            return await scenario(site)

    return asyncio.run(inside())


def span_of(document):
    """Start and end of a window, and what was found."""
    window = document["window"]
    return window["start"], window["end"], document["verdict"], document["reason"]


WHEN_IT_WAS_DONE = {"at", "decided_at", "evaluated_at", "recorded_at", "resolved_at"}


def timeless(document):
    """A document without what says when it was made."""
    match document:
        case dict():
            return {name: timeless(value) for name, value in document.items() if name not in WHEN_IT_WAS_DONE}
        case list():
            return [timeless(value) for value in document]
        case _:
            return document
