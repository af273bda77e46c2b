"""Whatever a wire does, and whoever waits or not: every row that a sidecar has taken is counted once."""

import asyncio
import random

import pytest
from fleet import fleet_of
from serving import ROW, rows_of, serving, until

from service.storage.upstream import Patience

ROUNDS = 60
HASTY = Patience(connect_s=0.5, answer_s=0.5, call_s=0.02, backoff_s=0.001, backoff_max_s=0.01)
"""So that a wire that loses much is given up in the middle, again and again."""

MODELS = {"waited": "committed", "received": "received"}


async def counted(centre, model):
    """Rows of a model under all of its references."""
    live = centre.service.registry.get(model)
    found = 0
    for reference in {since.reference.id for since in live.version("1").since}:
        windows = await centre.store.rows_by_window(live.version("1").series(reference), -(1 << 62), 1 << 62)
        found += sum(rows for _, rows in windows)
    return found


async def sent(rng, sidecars, number, rows):
    """Send rows to both models; those that are waited for, until they are taken."""
    sidecar = rng.choice(sidecars)
    assert (await sidecar.send(rows_of(rows), model="received")).status_code == 200
    while True:
        answer = await rng.choice(sidecars).send(rows_of(rows), model="waited", key=str(number))
        if answer.status_code == 200:
            return
        assert answer.status_code == 503, answer.text


async def trouble(rng, centre, sidecars, number):
    """Let other answers be lost, cut other wires, deliver again what arrived before, change a reference."""
    for sidecar in sidecars:
        sidecar.wire.lost, sidecar.wire.again = rng.choice([0.0, 0.3, 1.0]), rng.choice([0.0, 0.5])
        sidecar.wire.cut = rng.random() < 0.2
    if rng.random() < 0.1:
        centre.clock.us += 1_000
        await centre.model(rng.choice(list(MODELS)), seed=number)
    if rng.random() < 0.3:
        assert set(await rng.choice(sidecars).wire.stragglers()) <= {200, 409}


async def healed(sidecars, under_way):
    """Let everything arrive, and arrive again."""
    for sidecar in sidecars:
        sidecar.wire.lost, sidecar.wire.cut = 0.0, False
    await asyncio.gather(*under_way)

    async def arrived():
        return not any([await one.metric("driftline_upstream_pending_rows") for one in sidecars])

    await until(arrived, 60)
    for sidecar in sidecars:
        assert await sidecar.metric("driftline_upstream_dropped_rows_total") == 0
        assert set(await sidecar.wire.stragglers()) <= {200, 409}


@pytest.mark.parametrize(("store", "seed"), [("memory", 0), ("memory", 1), ("memory", 2), ("redis", 1)])
def test_every_row_is_counted_once_whatever_the_wire_does(tmp_path, store, seed):
    """Wires lose answers, are cut, and deliver requests once more, long after; references change meanwhile, unseen at first."""
    rng = random.Random(seed)  # noqa: S311 - chance is no secret

    async def scenario():
        async with serving(tmp_path, store=store) as centre, fleet_of(centre, tmp_path, 3, patience=HASTY) as sidecars:
            for model, ack in MODELS.items():
                await centre.model(model, configuration={"ack": ack})
                for sidecar in sidecars:
                    while (await sidecar.send(ROW, model=model, key="first")).status_code != 200:
                        pass
            expected, under_way = 0, set()
            for number in range(ROUNDS):
                await trouble(rng, centre, sidecars, number)
                rows = rng.randrange(1, 5)
                expected += rows
                under_way.add(asyncio.create_task(sent(rng, sidecars, number, rows)))
                if len(under_way) > 5:
                    _, under_way = await asyncio.wait(under_way, timeout=rng.uniform(0, 0.1))
            await healed(sidecars, under_way)

            assert {model: await counted(centre, model) for model in MODELS} == dict.fromkeys(MODELS, 1 + expected)

    asyncio.run(scenario())
