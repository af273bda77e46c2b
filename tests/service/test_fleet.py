"""Replicas on one Redis: real processes that share models, hand them over, are paused and killed."""

import asyncio
import contextlib
import os
import signal
import time

from redis_server import shared_server
from serving import Process, reference_file, wait_until
from test_redis_service import EVALUATED_UNTIL, all_of, batches_by_hour, sent

from service.scheduler.roles import LEASE_S
from service.storage.redis import RedisStore

MODELS = [f"m{i}" for i in range(12)]
SHARE_WITHIN_S = 20.0
TAKE_OVER_WITHIN_S = LEASE_S + 25.0


def sections(folder, models):
    reference = folder / "reference.json.gz"
    reference.write_bytes(reference_file())
    model = {"columns": {"at": {"role": "time"}}, "lateness": "1h", "versions": {"1": {"reference": str(reference)}}}
    return {"models": dict.fromkeys(models, model)}


@contextlib.contextmanager
def fleet(folder, n, models=MODELS):
    """So many replicas, each ready."""
    shared_server().empty()
    with contextlib.ExitStack() as stack:
        replicas = []
        for i in range(n):
            (folder / str(i)).mkdir()
            replica = Process(folder / str(i), on=shared_server().url, **sections(folder / str(i), models))
            replicas.append(stack.enter_context(replica))
        yield replicas


def shown(replica):
    """Models whose series a replica exports, and how many leases it says it holds."""
    lines = replica.client.get("/metrics").text.splitlines()
    models = [line.split('model="')[1].split('"')[0] for line in lines if line.startswith("driftline_reference_info{")]
    (held,) = [float(line.split()[-1]) for line in lines if line.startswith("driftline_leases_held ")]
    return models, int(held)


def shared_out(replicas, models=MODELS, within_s=SHARE_WITHIN_S):
    """Wait until each model is shown by one replica, and by which."""
    found = []

    def once_each():
        found[:] = [shown(replica) for replica in replicas]
        # What was taken just now is shown by the next tick.
        shown_once = sorted(model for some, _ in found for model in some) == sorted(models)
        return shown_once and all(len(some) == held for some, held in found)

    wait_until(once_each, within_s, lambda: str(found))
    return [set(some) for some, _ in found]


def test_replicas_share_models_and_one_that_leaves_gives_its_own_to_the_others_at_once(tmp_path):
    with fleet(tmp_path, 3) as replicas:
        wait_until(lambda: all(held for _, held in map(shown, replicas)), SHARE_WITHIN_S, lambda: replicas[0].log)
        shared_out(replicas)

        replicas[0].__exit__()
        started_s = time.monotonic()
        shared_out(replicas[1:])

        assert time.monotonic() - started_s < LEASE_S


def test_one_that_is_paused_for_longer_than_its_leases_and_one_that_is_killed_do_no_harm(tmp_path):
    models = ["m", *MODELS[:5]]
    hours = batches_by_hour()
    with fleet(tmp_path, 3, models) as replicas:
        held = shared_out(replicas, models)
        holder = next(i for i, some in enumerate(held) if "m" in some)
        paused, killed, last = replicas[holder:] + replicas[:holder]
        for batch in hours[0]:
            sent(last, batch)

        os.kill(paused.pid, signal.SIGSTOP)
        os.kill(killed.pid, signal.SIGKILL)
        for batch in (batch for hour in hours[1:] for batch in hour):
            sent(last, batch)
        assert shared_out([last], models, TAKE_OVER_WITHIN_S) == [set(models)]
        evaluated(last)
        os.kill(paused.pid, signal.SIGCONT)

        assert shown(paused) == ([], 0)
        assert shared_out([paused, last], models)
        evaluations = asyncio.run(all_of(RedisStore.open(shared_server().url)))[1]
        assert {document["revision"] for document in evaluations.values()} == {1}
        ends = asyncio.run(all_of(RedisStore.open(shared_server().url)))[2]
        assert len(ends) == len(set(ends)) == len(hours) - 1


def evaluated(replica):
    """Wait until the windows of all rows have been evaluated."""

    def reached():
        (version,) = replica.client.get("/v1/models/m").json()["versions"]
        return version["evaluated_until"] == EVALUATED_UNTIL

    wait_until(reached, TAKE_OVER_WITHIN_S, lambda: replica.log)
