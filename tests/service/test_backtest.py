"""A policy on the past: the same history as the live service, and rules of thumb beside it."""

import csv
import functools
import itertools

import httpx
import msgspec
import numpy as np
import pytest
from running import DAY, HOUR, at, run, timeless
from weeks import HOUR_S, US, replayed, starts_of, traffic

from service.alerts.documents import changed
from service.backtest.backtest import BACKTEST_FORMAT, Backtest
from service.backtest.proposal import Proposal, model_of_reference
from service.cli.backtesting import counted
from service.evaluation.document import evaluation_document
from service.formats import open_source

HOURS = 8 * 24
FIRST_US = at("2026-02-20")
TRIGGER = {"target": "retrain", "dry_run": False, "cool_down": "1d"}
DRIFTS = ((30, 50, 0.9), (120, 150, 0.4))
ASKED = {
    "all": {},
    "a part": {"since": "2026-02-24T00:30:00Z", "until": "2026-02-26T00:10:00Z"},
    "a budget": {"budget": 0.001, "policy": {"fire_after": 2, "rules": ["js_distance>0.3"]}},
    "backwards": {"since": "2026-02-26", "until": "2026-02-24"},
    "no version": {"version": "2"},
    "no budget": {"budget": 0},
}


@functools.cache
def log():
    """Eight days with two drifts in them, and an hour without rows every two days."""
    edges = sorted({0, HOURS, *(edge for first, last, _ in DRIFTS for edge in (first, last))})
    some = []
    for first, last in itertools.pairwise(edges):
        shift = next((shift for begin, end, shift in DRIFTS if begin <= first < end), 0.0)
        starts = starts_of(last - first, first_s=FIRST_US // US + first * HOUR_S)
        some.append(traffic(starts[starts // HOUR_S % 53 != 7], 60, seed=first, shift=shift))
    return {name: np.concatenate([part[name] for part in some]) for name in some[0]}


def written(path, rows):
    """A CSV file that reads as the same numbers."""
    times = (np.datetime64(0, "us") + rows["at"]).astype(str)
    columns = [times, [repr(x) for x in rows["x"].tolist()], rows["c"], [repr(y) for y in rows["y"].tolist()]]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["at", "x", "c", "y"])
        writer.writerows(zip(*columns, strict=True))
    return path


def verified():
    return replayed(3, 60)[0]


def as_read(document):
    """A document as it comes out of a store, without what says when it was made."""
    return timeless(msgspec.json.decode(msgspec.json.encode(document)))


def by_window(evaluations):
    return {(one["window"]["end"], one["window"]["size"]): as_read(one) for one in evaluations}


def panes_of(path, reference, **span):
    return list(counted(open_source([path]), reference, time_column="at", **span).panes())


# The same history


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """What a service makes of the log that lives through it, and its answers when it is asked for backtests then."""
    rows, reference = log(), verified()

    async def scenario(site):
        site.clock.us = FIRST_US
        await site.configure(notify=["notify"], triggers=[TRIGGER])
        await site.activate(reference)
        for hour in range(HOURS):
            end_us = FIRST_US + (hour + 1) * HOUR
            some = (rows["at"] >= FIRST_US + hour * HOUR) & (rows["at"] < end_us)
            site.clock.us = end_us
            await site.post({name: values[some] for name, values in rows.items()})
            await site.tick()
        await site.go_to(FIRST_US + HOURS * HOUR + DAY)
        transport = httpx.ASGITransport(app=site.service.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://driftline") as client:
            answers = {name: await client.post("/v1/models/m/backtests", json=body) for name, body in ASKED.items()}
        return await site.evaluations(), await site.decisions(), await site.episodes(), answers

    return run(scenario, tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """What a backtest makes of it: steps of the history, and the document."""
    reference = verified()
    model = model_of_reference(reference, Proposal.model_validate({"triggers": [TRIGGER]}))
    backtest = Backtest(model, "1", rows_exposed_min=10)
    path = written(tmp_path_factory.mktemp("log") / "log.csv", log())
    steps = [backtest.take(pane) for pane in panes_of(path, reference)]
    return steps, backtest.document()


def test_the_same_rows_give_the_same_evaluations_as_in_the_service_that_lived_through_them(live, lived):
    theirs = by_window(one for one in live[0] if one["reason"] != "silent")

    ours = by_window(evaluation_document(one) for step in lived[0] for one in step.evaluations)

    assert ours == theirs
    rated = [one for one in ours.values() if one["false_alarms_per_30d"] is not None]
    assert len(rated) > HOURS
    assert {one["verdict"] for one in ours.values()} == {"stable", "drifted", "undecided"}


def test_the_same_rows_give_the_same_decisions_and_episodes(live, lived):
    steps, document = lived
    episodes = {}
    for step in steps:
        for change in step.step.changes:
            episodes[change.id] = changed(episodes.get(change.id), change)

    assert [as_read(msgspec.json.decode(step.step.decision[1])) for step in steps] == [as_read(one) for one in live[1]]
    assert [as_read(one) for one in episodes.values()] == [as_read(one) for one in live[2]]
    assert [alarm["episode_id"] for alarm in document["alarms"]] == [one["id"] for one in live[2]]
    assert len(live[2]) == len(DRIFTS)


def test_the_document_tells_alarms_notices_and_retrainings_in_the_order_of_time(lived):
    _, document = lived

    assert document["format"] == BACKTEST_FORMAT
    assert (document["windows"], document["days"]) == (len(lived[0]), len(lived[0]) / 24)
    first = document["alarms"][0]
    assert first["opened_at"] == "2026-02-21T07:00:00Z"
    assert first["columns"][0].keys() == {"name", "role", "kind", "evidence", "direction", "pvalue", "effect"}
    assert {(column["name"], column["evidence"], column["direction"]) for column in first["columns"]} == {
        ("x", "location", "up"),
        ("y", "location", "up"),
    }
    assert first["false_alarms_per_30d"] <= document["policy"]["false_alarms_per_30d"]
    assert all(alarm["ended_at"] > alarm["opened_at"] for alarm in document["alarms"])
    told = [(one["at"], one["kind"]) for one in document["notices"]]
    assert told == sorted(told, key=lambda one: one[0])
    assert {kind for _, kind in told} >= {"drift.firing", "drift.resolved"}
    assert [(one["target"], one["dry_run"], one["reason"]) for one in document["retrainings"]] == [
        ("retrain", False, None)
    ] * len(document["retrainings"])
    assert document["retrainings"]
    totals = document["totals"]
    assert totals["alarms_per_30d"] == pytest.approx(len(document["alarms"]) * 30 / document["days"])
    assert totals["retrainings"] == len(document["retrainings"])
    assert (document["calibration"], document["triggers_assumed"]) == ("verified", False)


def test_the_api_gives_the_same_of_what_the_service_has_stored(live, lived):
    answer = live[3]["all"]

    assert answer.status_code == 200, answer.text
    of_log = {name: lived[1][name] for name in answer.json() if name in lived[1]}
    assert answer.json() == msgspec.json.decode(msgspec.json.encode(of_log)) | {
        "rejected_rows": None,
        "ignored": [],
        "errors": {},
        "left_out": {"windows": 0, "rows": 0},
    }


def test_a_part_of_what_is_stored_has_whole_base_windows(live):
    document = live[3]["a part"].json()

    assert (document["since"], document["until"]) == ("2026-02-24T01:00:00Z", "2026-02-26T00:00:00Z")
    assert document["windows"] == 46


def test_a_proposal_changes_what_it_names_and_nothing_else(live):
    before, document = live[3]["all"].json(), live[3]["a budget"].json()

    assert document["policy"] == before["policy"] | {
        "false_alarms_per_30d": 0.001,
        "fire_after": 2,
        "rules": ["js_distance > 0.3"],
    }
    assert [rule["rule"] for rule in document["rules_of_thumb"]] == ["js_distance > 0.3"]
    assert document["alarms"][0]["opened_at"] > before["alarms"][0]["opened_at"]


@pytest.mark.parametrize(("asked", "status"), [("backwards", 422), ("no version", 404), ("no budget", 422)])
def test_what_cannot_be_tried_is_refused(live, asked, status):
    assert live[3][asked].status_code == status
