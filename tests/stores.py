"""Stores of every kind, and what is put into them, for tests."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from redis_cluster import shared_cluster
from redis_server import oldest, shared_server

from service.ports import (
    Commit,
    Delta,
    EpisodeRow,
    EvaluationRow,
    Mark,
    OutboxNotice,
    Record,
    ReferenceRow,
    Series,
    Turn,
)
from service.storage import codec
from service.storage.memory import MemoryStore
from service.storage.redis import RedisStore
from service.storage.sqlite import SqliteStore

KINDS = ("memory", "sqlite", "redis")
ALSO = ("redis 6", "cluster")
"""The contract holds on these too."""

REDIS = {"redis": shared_server, "redis 6": lambda: shared_server(oldest()), "cluster": shared_cluster}
PANE_US = 300_000_000
WINDOW_US = 3_600_000_000
BINS = 3
EVER_US = 2**63 - 1


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_us=1_000_000_000):
        self.us = now_us

    def now_us(self):
        return self.us


def merge_sketches(sketches):
    """Sketches of tests are decimal numbers, which add up."""
    return str(sum(int(sketch) for sketch in sketches)).encode()


class Place:
    """Somewhere that several stores can be opened on."""

    def __init__(self, kind, folder: Path):
        self.kind, self.folder, self.clock = kind, folder, FakeClock()
        self.opened = []

    async def __aenter__(self):
        self.store = await self.another()
        return self

    async def __aexit__(self, *_):
        for store in self.opened:
            await store.close()

    async def another(self):
        """Another store on the same place, as another process would have it."""
        if self.kind == "sqlite":
            store = await SqliteStore.open(self.folder / "store.db", self.clock, merge_sketches=merge_sketches)
        elif self.kind in REDIS:
            server = REDIS[self.kind]()
            if not self.opened:
                server.empty()
            store = await RedisStore.open(server.url, self.clock, merge_sketches=merge_sketches)
        else:
            state = self.opened[0].state if self.opened else None
            store = MemoryStore(self.clock, merge_sketches=merge_sketches, state=state)
        self.opened.append(store)
        return store

    async def restored(self, path):
        """A store opened on a backup."""
        if self.kind in REDIS:
            server = shared_server(oldest()) if self.kind == "redis 6" else shared_server()
            with server.client(1) as client:
                client.flushdb()
            other = server.url.removesuffix("0") + "1"
            store = await RedisStore.restore(path, other, self.clock, merge_sketches=merge_sketches)
        else:
            kind = SqliteStore if self.kind == "sqlite" else MemoryStore
            store = await kind.open(path, self.clock, merge_sketches=merge_sketches)
        self.opened.append(store)
        return self.opened[-1]


def on_every_store(scenario):
    """Make a test of a coroutine that is given a place with an open store."""

    @pytest.mark.parametrize("kind", KINDS + ALSO)
    def test(kind, tmp_path):
        async def run():
            async with Place(kind, tmp_path) as place:
                await scenario(place)

        asyncio.run(run())

    test.__name__ = scenario.__name__
    test.__module__ = scenario.__module__
    return test


def counted(*counts):
    return codec.encode_dense(np.array(counts))


def delta(pane=0, counts=(1, 0, 0), *, version="1", reference_id="r", segment="", window=None, rows=None, late=0):
    """A delta to a pane by number; twelve panes make a window."""
    return Delta(
        version=version,
        reference_id=reference_id,
        segment=segment,
        pane_start_us=pane * PANE_US,
        window_start_us=(pane // 12 if window is None else window) * WINDOW_US,
        rows=sum(counts) if rows is None else rows,
        late=late,
        payload=counted(*counts),
    )


def series(*, model="m", version="1", reference_id="r", segment=""):
    return Series(model=model, version=version, reference_id=reference_id, segment=segment)


def mark(key="k", digest=b"d", answer=b"a"):
    return Mark(key=key, digest=digest, answer=answer)


def turn(number, sender="s"):
    return Turn(sender=sender, number=number)


def commit(epoch, *deltas, model="m", marks=(), newest_us=None, turn=None):
    if newest_us is None:
        newest_us = {one.version: one.pane_start_us + 1 for one in sorted(deltas, key=lambda one: one.pane_start_us)}
    return Commit(model=model, epoch=epoch, deltas=deltas, marks=marks, newest_us=newest_us, turn=turn)


def step(epoch, *, was=None, until=None, **changes):
    """A record that moves from one window to another, by number."""
    return Record(
        model=changes.pop("model", "m"),
        version=changes.pop("version", "1"),
        epoch=epoch,
        was_evaluated_until_us=None if was is None else was * WINDOW_US,
        evaluated_until_us=None if until is None else until * WINDOW_US,
        **changes,
    )


def evaluation(window=0, *, document=b"{}", size="1h", segment="", reference_id="r", revision=1):
    return EvaluationRow(
        model="m",
        version="1",
        segment=segment,
        reference_id=reference_id,
        size=size,
        start_us=window * WINDOW_US,
        end_us=(window + 1) * WINDOW_US,
        verdict="stable",
        rows=1,
        revision=revision,
        document=document,
    )


def episode(episode_id="e", *, revision=0, is_open=True, opened_at_us=5, model="m", document=b"{}"):
    return EpisodeRow(
        id=episode_id,
        model=model,
        version="1",
        opened_at_us=opened_at_us,
        open=is_open,
        revision=revision,
        document=document,
    )


def notice(notice_id="n", *, target="ci", order_key="e", sequence=1, model="m", created_at_us=7, body=b"{}"):
    return OutboxNotice(
        id=notice_id,
        target=target,
        order_key=order_key,
        sequence=sequence,
        model=model,
        created_at_us=created_at_us,
        notice=body,
    )


def reference(reference_id="r", *, state="ready", model="m", created_at_us=1, summary=b"{}"):
    return ReferenceRow(
        id=reference_id,
        model=model,
        version="1",
        state=state,
        created_at_us=created_at_us,
        updated_at_us=2,
        summary=summary,
    )


async def made(store, model="m"):
    """Epoch of a new model."""
    return await store.put_model(model, b"{}", "api", None)


async def total_of(store, of=None, first_us=0, last_us=EVER_US, n_bins=BINS):
    """Sum of all counts of a series."""
    panes = await store.panes(of or series(), first_us, last_us)
    return codec.summed([payload for pane in panes for payload in pane.payloads], n_bins).tolist()


async def evaluated(store, model="m", version="1"):
    """All evaluations of a version, by end; of those with one end, the one recorded first comes first."""
    found = await store.evaluations(model, version, size=None, first_us=None, last_us=None, limit=1 << 30)
    return list(reversed(found))
