"""Replicas on two hosts and one Redis, between which the wire is cut, and healed again."""

import asyncio
import time

from hosts import Host
from redis_server import RedisServer
from serving import NDJSON, Process, wait_until
from test_redis_service import HOURS, ROWS_OF_HOUR, all_evaluated, all_of, batches_by_hour, sent, settings_of

from service.scheduler.roles import LEASE_S
from service.storage.redis import RedisStore

ANSWERED_WITHIN_S = 15.0
HEALED_WITHIN_S = 60.0
TAKEN_OVER_WITHIN_S = LEASE_S + 30.0


def replicas(tmp_path, far, server):
    """One on this host, and one on the other, which is reached by another wire than the one to Redis."""
    folders = tmp_path / "near", tmp_path / "far"
    for folder in folders:
        folder.mkdir()
    url = f"redis://{far.wired_to}:{server.port}/0"
    return (
        Process(folders[0], on=server.url, **settings_of(folders[0])),
        Process(folders[1], on=url, host=far.address, within=far.within, auth="none", **settings_of(folders[1])),
    )


def test_a_host_that_is_cut_off_refuses_rows_in_time_and_goes_on_when_the_wire_is_healed(tmp_path):
    hours = batches_by_hour()
    with Host(1) as other:
        server = RedisServer(bind=f"127.0.0.1 {other.wired_to}", **{"protected-mode": "no"})
        here, there = replicas(tmp_path, other, server)
        try:
            with here, there:
                for i, batch in enumerate(hours[0]):
                    sent((here, there)[i % 2], batch)

                other.cut()
                for key, body in hours[1][
                    :2
                ]:  # which may get through when the wire is healed, for all that its sender knows
                    started_s = time.monotonic()
                    headers = {**NDJSON, "idempotency-key": key}
                    refused = there.client.post("/v1/models/m/inferences", content=body, headers=headers)
                    assert time.monotonic() - started_s < ANSWERED_WITHIN_S
                    assert refused.status_code == 503
                    assert "retry-after" in refused.headers
                assert [there.client.get(path).status_code for path in ("/readyz", "/livez", "/metrics")] == [
                    503,
                    200,
                    200,
                ]
                for batch in (batch for hour in hours[1:] for batch in hour):
                    sent(here, batch)
                all_evaluated(here, TAKEN_OVER_WITHIN_S)

                other.heal()
                wait_until(lambda: there.client.get("/readyz").status_code == 200, HEALED_WITHIN_S, lambda: there.log)
                assert all(sent(there, batch)["duplicate"] for hour in hours for batch in hour)
                all_evaluated(there)
            counts, evaluations, ends = asyncio.run(all_of(RedisStore.open(server.url)))
        finally:
            server.close()

    assert sum(rows for rows, _ in counts.values()) == HOURS * ROWS_OF_HOUR + 1
    assert {document["revision"] for document in evaluations.values()} == {1}
    assert len(ends) == len(set(ends)) == HOURS
