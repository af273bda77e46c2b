"""Retrain triggers: what starts a retraining, how often, and under which id."""

import json
from dataclasses import replace

import pytest
from alerting import (
    HOUR,
    NOW,
    OFTEN,
    RULES,
    D,
    S,
    U,
    column,
    decided,
    episodes,
    evaluation,
    kinds,
    notices,
    run,
    trigger,
)

from service.alerts.lifecycle import step
from service.alerts.rules import rules_of
from service.domain.configuration import ModelConfiguration


def retrained(steps):
    """Hours at which a retraining was started."""
    return [hour for hour, made in enumerate(steps) for one in notices([made]) if one["kind"] == "retrain"]


def test_a_trigger_fires_once_an_episode_with_its_own_conditions():
    rules = replace(RULES, fire_after=1, triggers=(trigger(windows_min=3),))

    steps = run([D, D, U, D, D, D], rules)

    assert kinds(steps) == [("drift.firing", 1), ("retrain", 2)]
    assert [[notice.target for notice in made.notices if notice.sequence == 2] for made in steps][3] == ["ci"]


@pytest.mark.parametrize(
    ("conditions", "fires"),
    [
        ({"columns_min": 2}, True),
        ({"columns_min": 3}, False),
        ({"roles": frozenset({"output"})}, True),
        ({"roles": frozenset({"output"}), "columns_min": 2}, False),
        ({"columns": frozenset({"temp", "other"})}, True),
        ({"columns": frozenset({"calm"})}, False),
    ],
)
def test_a_trigger_counts_only_its_columns_over_all_scales(conditions, fires):
    columns = {"temp": column(), "score": column("stable", role="output"), "calm": column("stable")}
    other = columns | {"score": column(role="output")}
    rules = replace(RULES, fire_after=1, triggers=(trigger(**conditions),))

    steps = run([decided(0, evaluations=[evaluation(columns=columns), evaluation(columns=other)])], rules)

    assert ("retrain", 2) in kinds(steps) or not fires
    assert (("retrain", 2) in kinds(steps)) is fires


def test_a_trigger_cools_down_over_episodes_and_references():
    rules = replace(RULES, fire_after=1, resolve_after=1, cool_down_us=0, triggers=(trigger(cool_down_us=4 * HOUR),))

    steps = run([D, S, D, S, decided(4, D, reference="sha256:b"), D], rules)

    assert [kind for kind, _ in kinds(steps)].count("retrain") == 2
    assert any(json.loads(notice.notice)["kind"] == "retrain" for notice in steps[4].notices)


@pytest.mark.parametrize(
    ("dry_run", "calibration", "sent"),
    [(None, "iid", 0), (None, "verified", 1), (False, "iid", 1), (True, "verified", 0)],
)
def test_without_verified_calibration_a_retraining_is_only_recorded(dry_run, calibration, sent):
    rules = replace(RULES, fire_after=1, triggers=(trigger(dry_run=dry_run),))

    steps = run([decided(0, calibration=calibration), decided(1, calibration=calibration)], rules)

    assert len([kind for kind, _ in kinds(steps) if kind == "retrain"]) == sent
    (episode,) = episodes(steps)
    assert [dry_run.target for dry_run in episode.would_have_sent] == ["ci"] * (1 - sent)
    assert [dry["target"] for dry in json.loads(steps[0].decision[1])["would_have_sent"]] == ["ci"] * (1 - sent)


def test_a_dry_run_does_not_hold_back_a_real_one():
    rules = replace(RULES, fire_after=1, triggers=(trigger(dry_run=True),))
    real = replace(rules, triggers=(trigger(dry_run=False),))
    state = run([D], rules)[-1].state

    steps = run([decided(1), decided(2)], real, state)

    assert kinds(steps) == [("retrain", 2)]


def test_triggers_that_are_gone_are_forgotten_and_two_targets_are_two_retrainings():
    two = replace(RULES, fire_after=1, triggers=(trigger(), trigger(key="cd:1", target="cd")))
    steps = run([D], two)

    after = step(steps[-1].state, decided(1), RULES, NOW)

    assert kinds(steps) == [("drift.firing", 1), ("retrain", 2), ("retrain", 3)]
    assert after.state.triggers == {}


@pytest.mark.parametrize(
    ("wanted", "tier", "false_alarms", "fires"),
    [
        ("major", "major", 0.01, True),
        ("major", "alarm", 0.01, False),
        ("major", None, 0.01, False),
        ("major", "of a newer release", 0.01, False),
        ("major", None, None, True),
        ("alarm", "major", 0.01, True),
        ("alarm", "alarm", 0.01, True),
        ("alarm", None, 0.01, False),
    ],
)
def test_a_trigger_asks_for_its_tier_where_drift_has_a_rate(wanted, tier, false_alarms, fires):
    rules = replace(RULES, fire_after=1, triggers=(trigger(tier=wanted),))

    steps = run([decided(0, tier=tier, false_alarms=false_alarms)], rules)

    assert retrained(steps) == [0] * fires


def test_only_columns_of_evaluations_of_the_tier_count_and_the_notice_quotes_one_of_them():
    rules = replace(RULES, fire_after=1, triggers=(trigger(columns_min=2),))
    strong = evaluation(tier="alarm", false_alarms=1e-9, columns={"a": column(), "b": column()})
    major = evaluation(tier="major", false_alarms=0.5, scale=6, columns={"a": column()})
    both = evaluation(tier="major", false_alarms=0.5, scale=6, columns={"a": column(), "b": column()})

    steps = run([decided(0, evaluations=[strong, major]), decided(1, evaluations=[strong, both])], rules)

    assert retrained(steps) == [1]
    assert [(one["kind"], one["tier"], one["scale"]) for one in notices(steps)] == [
        ("drift.firing", "major", 6),
        ("retrain", "major", 6),
    ]


def test_a_trigger_fires_when_drift_that_went_on_becomes_major():
    rules = replace(RULES, fire_after=1, triggers=(trigger(windows_min=2),))

    steps = run(
        [decided(hour, tier=tier, false_alarms=0.1) for hour, tier in enumerate(["alarm", "major", "major"])], rules
    )

    assert retrained(steps) == [2]


@pytest.mark.parametrize(
    ("conditions", "fires"),
    [
        ({"weight_min": 2.0}, True),
        ({"weight_min": 2.1}, False),
        ({"weight_min": 2.1, "weights": {"temp": 1.1}}, True),
        ({"weight_min": 0.8, "weights": {"temp": 0.7, "wind": 0.1}}, True),
        ({"weight_min": 0.81, "weights": {"temp": 0.7, "wind": 0.1}}, False),
        ({"weight_min": 1.0, "weights": {"temp": 0.0}}, True),
        ({"weight_min": 1.0, "weights": {"temp": 0.0}, "columns_min": 2}, False),
        ({"weight_min": 1.0, "weights": {"calm": 9.0, "wind": 0.0, "temp": 0.5}}, False),
        ({"weight_min": 2.0, "columns": frozenset({"temp"})}, False),
        ({"weight_min": 1.0, "columns_min": 3}, False),
    ],
)
def test_columns_that_drifted_must_weigh_enough_and_be_enough(conditions, fires):
    columns = {"temp": column(), "wind": column(), "calm": column("stable")}
    rules = replace(RULES, fire_after=1, triggers=(trigger(**conditions),))

    assert retrained(run([decided(0, columns=columns)], rules)) == [0] * fires


def test_a_trigger_starts_at_most_so_many_retrainings_in_a_time():
    rules = replace(OFTEN, triggers=(trigger(cool_down_us=0, limit=(2, 10 * HOUR)),))

    steps = run([D, S] * 8, rules)

    assert retrained(steps) == [0, 2, 10, 12]
    assert len(steps[-1].state.triggers["ci:1"].lately) == 2


def test_the_limit_holds_beside_the_cool_down_and_over_references():
    rules = replace(OFTEN, triggers=(trigger(cool_down_us=4 * HOUR, limit=(2, 20 * HOUR)),))

    steps = run([decided(hour, (D, S)[hour % 2], reference=f"sha256:{hour // 6}") for hour in range(26)], rules)

    assert retrained(steps) == [0, 4, 20, 24]


def test_dry_runs_are_limited_like_retrainings_and_hold_back_none():
    rules = replace(OFTEN, triggers=(trigger(cool_down_us=0, limit=(1, 100 * HOUR), dry_run=True),))
    real = replace(OFTEN, triggers=(trigger(cool_down_us=0, limit=(1, 100 * HOUR)),))

    dry = run([D, S, D, S], rules)
    first = run([decided(4), decided(5, S), decided(6), decided(7, S)], real, dry[-1].state)
    after = run([decided(8)], rules, first[-1].state)

    assert [len(episode.would_have_sent) for episode in episodes(dry)] == [1, 0]
    assert retrained(first) == [0]
    assert not any(episode.would_have_sent for episode in episodes(after))


def test_a_limit_that_is_gone_is_forgotten():
    rules = replace(OFTEN, triggers=(trigger(cool_down_us=0, limit=(1, 100 * HOUR)),))
    state = run([D, S], rules)[-1].state

    steps = run([decided(2)], replace(OFTEN, triggers=(trigger(cool_down_us=0),)), state)

    assert retrained(steps) == [0]
    assert steps[0].state.triggers["ci:1"].lately == ()


def test_a_retraining_has_one_id_however_its_episode_came_to_it():
    rules = replace(RULES, fire_after=1, triggers=(trigger(),))
    alarm = {"tier": "alarm", "false_alarms": 0.1}
    major = {"tier": "major", "false_alarms": 0.01}
    lives = [
        run([decided(0, **alarm), decided(1, **major), decided(2, **major)], rules),
        run([decided(0, **alarm), decided(1, **major)], rules, now_us=NOW + 5),
        run([decided(0, **major)], rules),
        run([decided(0, **alarm), decided(1, **alarm), decided(2, **major)], replace(rules, notify=())),
    ]

    ids = [[one["id"] for one in notices(life) if one["kind"] == "retrain"] for life in lives]

    assert [len(some) for some in ids] == [1, 1, 1, 1]
    assert len({one for some in ids for one in some}) == 1
    assert [len({one["sequence"] for one in notices(life)}) for life in lives] == [3, 3, 2, 1]


def test_retrainings_of_other_episodes_references_and_targets_have_other_ids():
    rules = replace(OFTEN, triggers=(trigger(cool_down_us=0), trigger(key="cd:1", target="cd", cool_down_us=0)))

    steps = run([D, S, D, decided(3, D, reference="sha256:b")], rules)

    ids = [one["id"] for one in notices(steps) if one["kind"] == "retrain"]
    assert len(ids) == len(set(ids)) == 6


def test_an_episode_tells_a_target_once_whatever_triggers_it_has_or_gets():
    two = replace(OFTEN, triggers=(trigger(), trigger(key="ci:2", cool_down_us=0)))
    other = replace(OFTEN, triggers=(trigger(key="ci:3", cool_down_us=0),))

    steps = run([D, D], two)
    after = run([decided(2), decided(3, S), decided(4)], other, steps[-1].state)

    assert retrained(steps) == [0]
    assert retrained(after) == [2]


def test_a_retraining_has_its_evidence_with_it():
    rules = replace(RULES, fire_after=1, triggers=(trigger(),))
    decision = decided(0, tier="major", false_alarms=0.0123456789, calibration="verified", scale=6)
    replayed = {**decision.evaluations[0], "replayed_false_alarms_per_30d": 0.8}

    with_replay = notices(run([replace(decision, evaluations=[replayed])], rules))[-1]
    without = notices(run([decision], rules))[-1]

    assert (with_replay["kind"], with_replay["tier"], with_replay["scale"]) == ("retrain", "major", 6)
    assert (with_replay["false_alarms_per_30d"], with_replay["budget_per_30d"]) == (0.0123457, 1.0)
    assert with_replay["calibration"] == "verified"
    assert with_replay["replayed_false_alarms_per_30d"] == 0.8
    assert without["replayed_false_alarms_per_30d"] is None
    (found,) = with_replay["columns"]
    assert {name: found[name] for name in ("name", "effect", "pvalue", "effective_rows", "direction")} == {
        "name": "temp",
        "effect": 0.28,
        "pvalue": 1e-9,
        "effective_rows": 40.0,
        "direction": "up",
    }


def test_what_a_trigger_looks_at_makes_it_another_and_how_often_it_may_fire_does_not():
    base = {"target": "ci", "columns": ["a", "b"], "weight_min": 1.0}
    alike = [base, base | {"cool_down": "1d", "max_count": 2, "max_per": "30d", "dry_run": True}]
    others = [{"weights": {"a": 2}}, {"weight_min": 2}, {"tier": "alarm"}, {"columns": ["a"]}, {"weight_min": None}]

    def keys(triggers):
        rules = [rules_of(ModelConfiguration.model_validate({"triggers": [one]}), {}) for one in triggers]
        return {rule.triggers[0].key for rule in rules}

    assert len(keys(alike)) == 1
    assert len(keys([base] + [base | other for other in others])) == 6
    # Of a release before there were weights, limits and tiers: its cool-down is in states that are kept.
    assert keys([{"target": "ci"}]) == {"ci:442082b571f4cf5b"}
    limited = rules_of(ModelConfiguration.model_validate({"triggers": alike}), {}).triggers
    assert [rule.limit for rule in limited] == [(2, 30 * 24 * HOUR)]
