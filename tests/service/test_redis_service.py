"""The service on Redis: two processes share one count, and evaluate as one process does that has all rows in order."""

import asyncio
import contextlib
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import numpy as np
from redis_server import RedisServer, shared_server
from running import HOUR, MONDAY
from serving import NDJSON, Process, encoded, reference_file, rows_of, wait_until
from stores import FakeClock, evaluated

from service.ports import Series
from service.storage.codec import bins_of, summed
from service.storage.redis import RedisStore
from service.storage.sqlite import SqliteStore

EVER = 1 << 62
HOURS = 3
ROWS_OF_HOUR = 360
BATCH = 30
EVALUATED_UNTIL = "2026-03-02T04:00:00Z"
"""The last row is two hours behind the others, and an hour is the lateness."""


def settings_of(folder):
    reference = folder / "reference.json.gz"
    reference.write_bytes(reference_file())
    model = {"columns": {"at": {"role": "time"}}, "lateness": "1h", "versions": {"1": {"reference": str(reference)}}}
    return {"models": {"m": model}}


def batches_by_hour():
    """Key and body of each batch. The last hour is one row, far enough ahead to close all others."""
    rows = rows_of(HOURS * ROWS_OF_HOUR)
    for i, row in enumerate(rows):
        row["at"] = (MONDAY + i * HOUR // ROWS_OF_HOUR) / 1e6
    starts = range(0, len(rows), BATCH)
    batches = [(f"k{i}", b"\n".join(encoded(row) for row in rows[i : i + BATCH])) for i in starts]
    size = ROWS_OF_HOUR // BATCH
    hours = [batches[hour * size : (hour + 1) * size] for hour in range(HOURS)]
    return [*hours, [("end", encoded(rows[-1] | {"at": (MONDAY + (HOURS + 2) * HOUR) / 1e6}))]]


def sent(process, batch):
    """Send a batch until it is acknowledged; what was said of it."""
    key, body = batch
    answers = []

    def acknowledged():
        with contextlib.suppress(httpx.TransportError):
            headers = {**NDJSON, "idempotency-key": key}
            answers.append(process.client.post("/v1/models/m/inferences", content=body, headers=headers))
            assert answers[-1].status_code in {200, 503}, answers[-1].text
            return answers[-1].status_code == 200
        return False

    wait_until(acknowledged, 30, lambda: process.log)
    return answers[-1].json()


def all_evaluated(process, within_s=30.0):
    """Wait until the windows of all rows have been evaluated, by whatever process."""

    def reached():
        (version,) = process.client.get("/v1/models/m").json()["versions"]
        return version["evaluated_until"] == EVALUATED_UNTIL

    wait_until(reached, within_s, lambda: process.log)


async def all_of(opening):
    """What a store holds of the model, but for when it was written and in how many parts."""
    store = await opening
    try:
        (reference,) = [row for row in await store.references("m") if row.state == "ready"]
        panes = await store.panes(Series(model="m", version="1", reference_id=reference.id), 0, EVER)
        counts = {pane.start_us: (pane.rows, summed(pane.payloads, bins_of(pane.payloads[0]))) for pane in panes}
        evaluations = {}
        for row in await evaluated(store):
            document = msgspec.json.decode(row.document)
            del document["evaluated_at"]
            evaluations[row.size, row.start_us] = document
        ends = [end_us for end_us, _ in await store.decisions("m", "1", 0, EVER)]
        return counts, evaluations, ends
    finally:
        await store.close()


def test_two_processes_on_one_redis_count_and_judge_as_one_process_does(tmp_path):
    folders = [tmp_path / name for name in ("one", "a", "b")]
    for folder in folders:
        folder.mkdir()
    hours = batches_by_hour()
    shared_server().empty()
    rng = random.Random(7)  # noqa: S311 - an order to send in

    with Process(folders[0], **settings_of(folders[0])) as one:
        for hour in hours:
            for batch in hour:
                sent(one, batch)
        all_evaluated(one)
    url = shared_server().url
    sections = settings_of(folders[1])
    with (
        Process(folders[1], on=url, **sections) as a,
        Process(folders[2], on=url, **sections) as b,
        ThreadPoolExecutor(4) as pool,
    ):
        answers = []
        for hour in hours:
            sprayed = [(rng.choice([a, b]), batch) for batch in hour * 2]  # everything twice, to whomever
            rng.shuffle(sprayed)
            answers += pool.map(lambda one: sent(*one), sprayed)
        for process in (a, b):
            all_evaluated(process)

    assert Counter(answer["duplicate"] for answer in answers) == {False: len(answers) // 2, True: len(answers) // 2}
    expected = asyncio.run(all_of(SqliteStore.open(folders[0] / "driftline.db", FakeClock())))
    found = asyncio.run(all_of(RedisStore.open(url)))
    assert found[0].keys() == expected[0].keys()
    for pane, (rows, counts) in expected[0].items():
        assert found[0][pane][0] == rows
        assert np.array_equal(found[0][pane][1], counts)
    assert sum(rows for rows, _ in found[0].values()) == HOURS * ROWS_OF_HOUR + 1
    assert found[1] == expected[1]
    assert {document["revision"] for document in found[1].values()} == {1}
    assert found[2] == expected[2]
    assert len(found[2]) == len(set(found[2])) == HOURS


def test_a_service_answers_503_while_its_redis_is_away_and_goes_on_when_it_is_back(tmp_path):
    server = RedisServer(appendonly="yes", appendfsync="always")
    try:
        with Process(tmp_path, on=server.url, **settings_of(tmp_path)) as process:
            first, second, *_ = batches_by_hour()[0]
            sent(process, first)
            server.kill()

            answer = process.client.post("/v1/models/m/inferences", content=second[1], headers=NDJSON)
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
            assert process.client.get("/readyz").status_code == 503
            assert process.client.get("/livez").status_code == 200
            assert process.client.get("/metrics").status_code == 200

            server.start()
            wait_until(lambda: process.client.get("/readyz").status_code == 200, 30, lambda: process.log)
            assert [sent(process, batch)["duplicate"] for batch in (first, second)] == [True, False]
    finally:
        server.close()
