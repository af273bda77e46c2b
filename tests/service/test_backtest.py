"""A policy on the past: the same history as the live service, and rules of thumb beside it."""

import csv
import functools
import itertools
from dataclasses import replace

import httpx
import msgspec
import numpy as np
import pytest
from making import counts_of
from running import DAY, HOUR, at, run, small_reference, timeless
from weeks import HOUR_S, US, replayed, starts_of, traffic

from service.alerts.documents import changed
from service.alerts.rules import rules_of
from service.backtest.backtest import BACKTEST_FORMAT, Backtest
from service.backtest.comparison import Comparison, ThumbAlarms
from service.backtest.proposal import Proposal, model_of_reference
from service.cli.backtesting import counted
from service.domain.configuration import ModelConfiguration, PolicyConfiguration
from service.domain.thumb import parse_rule
from service.evaluation.document import evaluation_document
from service.evaluation.spans import sum_of
from service.evaluation.thumbs import Thumbs, fires
from service.formats import open_source
from service.ports import Pane
from service.registry.models import LiveReference, Since
from service.storage.codec import encode_dense

HOURS = 6 * 24
FIRST_US = at("2026-02-20")
TRIGGER = {"target": "retrain", "dry_run": False, "cool_down": "1d"}
DRIFTS = ((30, 40, 0.9), (90, 115, 0.5))
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
    """Six days with two drifts in them, and an hour without rows every two days."""
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
        await site.configure(notify=["notify"], triggers=[TRIGGER], lateness="2h")  # an hour comes at once
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

    return run(scenario, tmp_path_factory.mktemp("live"), now_us=FIRST_US)


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
    assert {(column["name"], column["evidence"], column["direction"]) for column in first["columns"]} >= {
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


# What is tried, and what is not there


def small_panes(reference, hours, n=60, shift=0.0, seed=0):
    """Base windows of the small reference's columns."""
    for hour in hours:
        rng = np.random.default_rng([seed, hour])
        rows = {
            "x": rng.standard_normal(n) + shift,
            "c": np.array(["red", "green", "blue"], dtype=object)[rng.integers(0, 3, n)],
            "y": rng.standard_normal(n),
        }
        yield pane_of(reference, FIRST_US + hour * HOUR, rows, n)


def pane_of(reference, start_us, rows, n):
    payload = encode_dense(counts_of(reference, rows))
    return Pane(start_us=start_us, window_start_us=start_us, rows=n, late=0, payloads=(payload,))


def backtest_of(reference, panes, **proposal):
    backtest = Backtest(model_of_reference(reference, Proposal.model_validate(proposal)), "1")
    taken = [backtest.take(pane) for pane in panes]
    return taken, backtest.document()


def test_nothing_at_all_gives_an_empty_document():
    _, document = backtest_of(small_reference(), [])

    assert (document["windows"], document["days"], document["since"], document["until"]) == (0, 0.0, None, None)
    assert document["totals"]["alarms_per_30d"] is None
    assert document["alarms"] == []


def test_a_reference_without_times_has_alarms_without_rates_and_says_so():
    reference = small_reference()

    _, document = backtest_of(reference, small_panes(reference, range(3), shift=2.0))

    (alarm,) = document["alarms"]
    assert (alarm["tier"], alarm["false_alarms_per_30d"], alarm["ended_at"]) == (None, None, None)
    assert (document["calibration"], document["replayed_false_alarms_per_30d"]) == ("iid", None)
    assert {rule["on_the_reference"] for rule in document["rules_of_thumb"]} == {None}


def test_without_a_trigger_one_as_it_is_by_default_is_assumed_and_its_dry_run_has_a_reason():
    reference = small_reference()
    panes = list(small_panes(reference, range(3), shift=2.0))

    _, document = backtest_of(reference, panes)
    _, silent = backtest_of(reference, panes, triggers=[{"target": "ci", "dry_run": True}])

    (told,), (dry,) = document["retrainings"], silent["retrainings"]
    assert (document["triggers_assumed"], silent["triggers_assumed"]) == (True, False)
    assert (told["target"], told["dry_run"], told["reason"]) == (
        "retrain",
        True,
        "the calibration is iid, not verified",
    )
    assert (dry["target"], dry["reason"]) == ("ci", "the trigger says dry_run: true")


def test_a_window_at_which_no_scale_is_due_is_no_decision():
    reference = small_reference()

    taken, document = backtest_of(reference, small_panes(reference, range(7)), scales=[24])

    assert [lived is not None for lived in taken].count(True) == 1
    assert sum(document["decisions"].values()) == 1
    assert document["windows"] == 7


def test_what_was_before_fills_the_larger_windows():
    reference = small_reference()
    panes = list(small_panes(reference, range(8)))
    model = model_of_reference(reference, Proposal(scales=(6,)))
    knowing, forgetful = (Backtest(model, "1") for _ in range(2))
    for pane in panes[:5]:
        knowing.know(pane)

    (known,), (unknown,) = ([made.take(pane).evaluations[0] for pane in panes[5:6]] for made in (knowing, forgetful))

    assert (known.verdict, known.rows) == ("stable", 360)
    assert (unknown.verdict, unknown.reason) == ("undecided", "refilling")


def test_a_reference_that_was_active_twice_counts_from_each_time():
    reference, other = small_reference(), small_reference(seed=5)
    model = model_of_reference(reference, Proposal(scales=(1, 6)))
    (first,) = model.versions["1"].since
    between = Since(from_us=FIRST_US + 8 * HOUR, reference=LiveReference(id="sha256:b", reference=other))
    again = replace(first, from_us=FIRST_US + 16 * HOUR)
    version = replace(model.versions["1"], since=(first, between, again))
    backtest = Backtest(replace(model, versions={"1": version}), "1")
    panes = [*small_panes(reference, range(8)), *small_panes(reference, range(16, 23))]

    six_hours = [backtest.take(pane).evaluations[1] for pane in panes]

    assert [one.reason for one in six_hours] == ["refilling"] * 5 + [None] * 3 + ["refilling"] * 5 + [None] * 2


@pytest.mark.parametrize(("window", "pane"), [("1h", "1h"), ("7d", "15m")])
def test_a_model_of_a_reference_has_its_base_windows(window, pane):
    model = model_of_reference(small_reference(window=window), Proposal(scales=(1, 52)))

    assert (model.configuration.base_window, model.configuration.pane) == (window, pane)


def test_a_budget_replaces_that_of_the_policy():
    proposal = Proposal(policy=PolicyConfiguration(fire_after=3, false_alarms_per_30d=5))

    assert proposal.with_budget(None) is proposal
    assert proposal.with_budget(0.5).policy == PolicyConfiguration(fire_after=3, false_alarms_per_30d=0.5)


# Beside rules of thumb


def test_alarms_of_a_rule_open_and_close_as_those_of_the_policy_do():
    rules = rules_of(ModelConfiguration(policy=PolicyConfiguration(resolve_after=2, cool_down="3h")), {})
    alarms = ThumbAlarms(rules=rules)

    for hour, fired in enumerate([0, 1, 1, float("nan"), 0, 1, 0, 0, 1, 1, 0, 1]):
        alarms.take(FIRST_US + hour * HOUR, FIRST_US + (hour + 1) * HOUR, fired, np.array([fired, 0.0]))

    assert (alarms.looked_at, alarms.windows) == (11, 6)
    assert alarms.opened == ["2026-02-20T02:00:00Z", "2026-02-20T12:00:00Z"]
    assert alarms.columns == {0: 6}


@pytest.mark.parametrize("counts_max", [1 << 22, 1])
def test_rules_see_the_references_own_windows_as_its_groups(counts_max):
    reference, _ = replayed(3, 60)
    rules = [parse_rule("psi > 0.2"), parse_rule("wasserstein > 0.2")]
    model = model_of_reference(reference, Proposal())
    comparison = Comparison(
        reference, rules, rules_of(model.configuration, {}), model.grid, rows_min=30, counts_max=counts_max
    )
    thumbs = Thumbs(reference, 30)

    found = comparison.on_the_reference(rules[0])

    fired = fires(thumbs.passed_by_groups(reference.blocks.counts, rules[0]), rules[0])
    assert (found.looked_at, found.windows) == (504, int(fired.sum()))
    assert comparison.on_the_reference(rules[1]) is None
    assert comparison.reference_days() == 21.0


def test_windows_are_looked_at_together_or_one_by_one_alike():
    reference = small_reference()
    rules = [parse_rule("psi > 0.1")]
    model = model_of_reference(reference, Proposal())
    panes = list(small_panes(reference, range(9), shift=0.2))
    found = []
    for counts_max in (1 << 22, 4 * reference.layout.n_bins_total, 1):
        alerts = rules_of(model.configuration, {})
        comparison = Comparison(reference, rules, alerts, model.grid, rows_min=30, counts_max=counts_max)
        for pane in panes:
            comparison.take(pane.start_us, sum_of([pane], reference.layout.n_bins_total))
        comparison.finish()
        alarms = comparison.found[rules[0]]
        found.append((alarms.looked_at, alarms.windows, alarms.opened, alarms.columns))

    assert found[0] == found[1] == found[2]
    assert found[0][0] == 9
    assert found[0][1] > 0


def test_rules_of_thumb_stand_beside_the_alarms(lived):
    _, document = lived

    by_name = {rule["rule"]: rule for rule in document["rules_of_thumb"]}
    assert list(by_name) == ["psi > 0.1", "psi > 0.2", "ks p < 0.05"]
    often = by_name["psi > 0.2"]
    assert often["kind"] == "rule of thumb"
    assert often["windows_looked_at"] == document["windows"]
    assert often["windows"] > 20 + 30 - 2
    assert often["windows_per_30d"] == pytest.approx(often["windows"] * 30 / document["days"])
    assert often["alarms"] == len(often["opened"]) > len(document["alarms"])
    assert next(iter(often["columns"])) in {"x", "y"}
    assert often["on_the_reference"]["days"] == 21.0
    assert often["on_the_reference"]["windows_per_30d"] > 10


def test_rules_that_had_nothing_to_look_at_are_not_called_silent():
    reference = small_reference()

    _, document = backtest_of(reference, small_panes(reference, range(3), n=5))

    assert {(rule["windows_looked_at"], rule["windows_per_30d"]) for rule in document["rules_of_thumb"]} == {(0, None)}
