"""Sidecars bin beside the model and send counts; what is counted at the centre is what one process would have counted."""

import asyncio
import random

import pytest
from fleet import beside, fleet_of, sprayed
from serving import problem_in, rows_of, serving

STORES = ("memory", "sqlite")


def run(scenario, *arguments):
    asyncio.run(scenario(*arguments))


@pytest.mark.parametrize("store", STORES)
def test_ten_sidecars_count_what_one_process_counts(tmp_path, store):
    async def scenario():
        rng = random.Random(1)  # noqa: S311 - chance is no secret
        rows = rows_of(1_000)
        batches = [rows[start : start + 10] for start in range(0, len(rows), 10)]
        async with serving(tmp_path) as alone:
            await alone.model()
            for batch in batches:
                assert (await alone.send(batch)).status_code == 200
            expected = await alone.counts()

        async with serving(tmp_path, store=store) as centre:
            await centre.model()
            async with fleet_of(centre, tmp_path, 10) as sidecars:
                for sidecar in sidecars:
                    sidecar.wire.lost = 0.2
                    sidecar.wire.again = 0.2
                await sprayed(rng, sidecars, batches)
                for sidecar in sidecars:
                    assert set(await sidecar.wire.stragglers()) <= {200, 409}

                assert await centre.counts() == expected

    run(scenario)


def test_rows_are_acknowledged_when_the_centre_has_their_counts(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()

            answer = await sidecar.send(rows_of(3))

            assert answer.json()["accepted"] == 3
            assert await centre.rows() == 3

    run(scenario)


def test_a_model_that_the_centre_does_not_know_is_not_known(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            problem_in(await sidecar.send(rows_of(1)), 404)

    run(scenario)
