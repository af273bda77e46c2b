import json
import random
from functools import partial

from proof import prove
from traffic import START_US, US_PER_S, WINDOW_S
from trial import Trial, make_reference
from two_processes import trouble
from victim import wait_until


def test_two_processes_of_which_one_is_killed_or_stopped_give_the_verdicts_of_one(tmp_path):
    harm = partial(trouble, rounds=4, rng=random.Random(2), quick=True)

    outcome = prove(tmp_path, harm, seed=2, services=2, quick=True)

    assert not outcome.faults, str(outcome)


def test_rows_are_late_by_what_any_process_has_seen(tmp_path):
    def send(service, time_s):
        row = {"t": START_US // US_PER_S + time_s, "amount": 0.5, "items": 5, "kind": "a", "batch": "b1", "score": 0.5}
        headers = {"Content-Type": "application/json"}
        status, _, body = service.request("POST", "/v1/models/bare/inferences", json.dumps(row), headers)
        assert status == 200, body
        return json.loads(body)["late"]

    with Trial(tmp_path / "store", make_reference(tmp_path, 1), seed=1, services=2) as trial:
        one, other = (service.start() for service in trial.services)
        one.wait_ready()
        other.wait_ready()

        early = send(one, 0), send(other, 0)
        send(one, 10 * WINDOW_S)
        wait_until(lambda: send(other, 0), 10, "a row that is late by what the other process has seen")

        assert early == (0, 0)
