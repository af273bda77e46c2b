"""Episodes: when they open and close, what they tell, and what people do to them."""

import json
from dataclasses import replace

import pytest
from alerting import (
    HOUR,
    NOW,
    RULES,
    SUBJECT,
    T0,
    D,
    S,
    U,
    column,
    decided,
    episodes,
    evaluation,
    kinds,
    notices,
    phases,
    rated,
    run,
    trigger,
)
from hypothesis import given
from hypothesis import strategies as st

from service.alerts.decision import Subject
from service.alerts.documents import Outcome, changed, decode_episode, episode_row
from service.alerts.lifecycle import reference_changed, step
from service.alerts.manual import acknowledge, report_outcome, resolve, silence
from service.alerts.notice import COLUMNS_MAX, evidence_of, instant, make_test_notice
from service.alerts.rules import Rules, rules_of
from service.alerts.sources import source_resumed, source_silent
from service.alerts.state import AlertState, OpenEpisode, TriggerState, decode_state, encode_state
from service.domain.configuration import ModelConfiguration
from service.domain.targets import TargetConfiguration
from service.errors import DriftlineError

# Opening and closing


def test_an_episode_opens_after_so_many_drifted_decisions_in_a_row_and_closes_after_so_many_stable_ones():
    steps = run([D, S, D, D, D, S, D, S, S])

    assert phases(steps) == "...FFFFF."
    assert kinds(steps) == [("drift.firing", 1), ("drift.resolved", 2)]
    assert [document["reason"] for document in notices(steps)] == [None, "stable"]


def test_undecided_windows_neither_count_nor_break_a_row():
    steps = run([D, U, U, D, S, U, S, U])

    assert phases(steps) == "...FFF.."


def test_in_the_cool_down_no_episode_opens_and_drift_that_outlasts_it_opens_one_at_once():
    steps = run([D, D, S, S, D, D, D, D, D])

    # The closing window ends at hour 4; the cool-down lasts until the end of hour 7.
    assert phases(steps) == ".FF....FF"


def test_without_a_cool_down_only_later_windows_open_an_episode():
    rules = replace(RULES, fire_after=1, resolve_after=1, cool_down_us=0)

    steps = run([D, S, D], rules)
    late = step(steps[1].state, decided(0, D, correction=True), rules, NOW)

    assert phases(steps) == "F.F"
    assert late.state == steps[1].state


def test_the_id_of_an_episode_says_what_was_seen_not_when_it_was_computed():
    once = episodes(run([D, D, S]))[0]
    again = episodes(run([D, D, S], now_us=NOW + 12345))[0]
    other = episodes(run([S, D, D]))[0]

    assert once.id == again.id
    assert once.id != other.id
    assert once.id.startswith("ep_")
    assert len(once.id) == 35


def test_another_reference_closes_the_episode_and_counts_anew():
    steps = run([D, D, decided(2, D, reference="sha256:b"), decided(3, D, reference="sha256:b")])

    assert phases(steps) == ".F.."
    (resolved,) = [document for document in notices(steps) if document["kind"] == "drift.resolved"]
    assert (resolved["reason"], resolved["reference_id"]) == ("reference_changed", "sha256:a")
    assert steps[-1].state.drifted_in_a_row == 2
    assert episodes(steps)[0].resolution == "reference_changed"


def test_an_activation_closes_the_episode_at_once_and_once():
    state = run([D, D])[-1].state

    closed = reference_changed(state, SUBJECT, "sha256:b", RULES, NOW)
    again = reference_changed(closed.state, SUBJECT, "sha256:b", RULES, NOW)

    assert closed.state.phase == "ok"
    assert closed.state.reference_id == "sha256:b"
    assert len(closed.notices) == 2
    assert again.state == closed.state
    assert not again.changes


def test_one_step_may_end_an_episode_and_begin_another():
    rules = replace(RULES, fire_after=1, cool_down_us=0)

    steps = run([D, decided(1, D, reference="sha256:b")], rules)

    assert [change.reference_id for change in steps[1].changes] == ["sha256:a", "sha256:b"]
    assert kinds(steps) == [("drift.firing", 1), ("drift.resolved", 2), ("drift.firing", 1)]


# The budget


def test_only_windows_far_from_an_alarm_close_an_episode():
    rules = replace(RULES, fire_after=1, resolve_after=3)
    rates = [0.5, 20.0, 20.0, 10.0, 20.0, 11.0, 10.1]

    steps = run([rated(hour, rate) for hour, rate in enumerate(rates)], rules)

    assert phases(steps) == "FFFFFF."
    assert [made.state.stable_in_a_row for made in steps] == [0, 1, 2, 0, 1, 2, 0]
    assert [json.loads(made.decision[1])["clear"] for made in steps] == [False, True, True, False, True, True, True]


def test_drift_and_what_is_not_clear_break_the_row_and_undecided_windows_leave_it():
    rules = replace(RULES, fire_after=1, resolve_after=2)
    decisions = [rated(0, 0.5), rated(1, 20.0), decided(2, U), rated(3, 1.5), rated(4, 20.0), rated(5, 0.5)]
    decisions += [rated(6, 20.0), decided(7, U), rated(8, 20.0)]

    steps = run(decisions, rules)

    assert phases(steps) == "FFFFFFFF."


def test_every_scale_that_was_tested_must_be_clear_and_those_without_a_rate_have_no_say():
    far, near, none = (evaluation(S, false_alarms=rate, scale=6) for rate in (50.0, 9.0, None))
    unbudgeted = evaluation(S, false_alarms=1.0, budget_per_30d=None)

    def clear(*evaluations, verdict=S):
        return decided(0, verdict, evaluations=list(evaluations)).is_clear

    assert clear(far, none, unbudgeted)
    assert clear(none)
    assert clear()
    assert not clear(far, near)
    assert not clear(far, verdict=U)
    assert not clear(far, verdict=D)


@pytest.mark.parametrize(
    ("length", "scale", "budget", "clear_above"),
    [
        (1, 1, 1.0, 10.0),
        (1, 24, 1.0, 10.0),
        (1, 1, 3.0, 30.0),
        (24, 1, 1.0, 7.5),
        (168, 1, 1.0, 30 / 7 / 4),
        (1, 24, 4.0, 30.0),
    ],
)
def test_clear_is_above_ten_budgets_or_a_quarter_of_what_no_evidence_has(length, scale, budget, clear_above):
    below, above = (
        rated(0, clear_above * factor, budget=budget, scale=scale, length=length) for factor in (0.99, 1.01)
    )

    assert above.is_clear
    assert not below.is_clear


# Corrections


def test_a_correction_may_open_an_episode_that_the_first_look_missed():
    rules = replace(RULES, fire_after=1)
    state = run([S, S], rules)[-1].state

    made = step(state, decided(1, D, correction=True), rules, NOW)

    assert made.state.phase == "firing"
    assert made.state.decided_until_us == T0 + 2 * HOUR
    assert made.state.episode.opened_at_us == T0 + 2 * HOUR


@pytest.mark.parametrize("verdict", [D, S, U])
def test_a_correction_never_changes_an_open_episode(verdict):
    state = run([D, D])[-1].state

    made = step(state, decided(0, verdict, correction=True), RULES, NOW)

    assert made.state == state
    assert not made.changes
    assert made.decision is not None


def test_a_correction_by_an_older_reference_or_to_stable_changes_nothing():
    state = run([S, S])[-1].state

    assert step(state, decided(0, D, correction=True, reference="sha256:old"), RULES, NOW).state == state
    assert step(state, decided(0, S, correction=True), RULES, NOW).state == state


def test_a_correction_counts_towards_a_row_that_is_not_long_enough():
    state = run([S, S])[-1].state

    made = step(state, decided(1, D, correction=True), RULES, NOW)

    assert (made.state.phase, made.state.drifted_in_a_row) == ("ok", 1)
    assert step(made.state, decided(2, D), RULES, NOW).state.phase == "firing"


# Notices


def test_each_target_is_told_once_with_the_same_notice():
    made = run([D, D], replace(RULES, notify=("pager", "chat", "pager")))[-1]

    assert [notice.target for notice in made.notices] == ["pager", "chat"]
    assert len({notice.notice for notice in made.notices}) == 1
    assert {notice.order_key for notice in made.notices} == {made.state.episode.id}
    assert made.notices[0].id == json.loads(made.notices[0].notice)["id"] + ":pager"
    assert {(notice.model, notice.created_at_us, notice.sequence) for notice in made.notices} == {("bikes", NOW, 1)}


def test_a_target_that_wants_only_some_kinds_gets_only_those():
    rules = replace(RULES, kinds={"chat": frozenset({"drift.resolved"})})

    steps = run([D, D, S, S], rules)

    assert [[notice.target for notice in made.notices] for made in steps] == [[], ["pager"], [], ["pager", "chat"]]


def test_a_notice_that_nobody_gets_has_no_number():
    rules = replace(RULES, notify=("chat",), kinds={"chat": frozenset({"drift.resolved"})})

    assert kinds(run([D, D, S, S], rules)) == [("drift.resolved", 1)]


def test_a_notice_quotes_the_strongest_evaluation():
    weak = evaluation(false_alarms=0.5, size="1h")
    strong = evaluation(false_alarms=0.004, size="6h", tier="alarm", calibration="verified")
    stable = evaluation("stable", size="24h")

    (document,) = notices(run([D, decided(1, D, evaluations=[stable, weak, strong])]))

    assert document["window"]["size"] == "6h"
    assert (document["tier"], document["calibration"]) == ("alarm", "verified")
    assert [found["name"] for found in document["columns"]] == ["temp"]
    assert document["links"]["evaluation"].startswith(
        "https://d/v1/models/bikes/evaluations?version=2011&since=2012-03"
    )


def test_without_false_alarm_rates_the_smallest_pvalue_is_the_strongest():
    weak = evaluation(columns={"a": column(pvalue=1e-6), "b": column(pvalue=None)})
    strong = evaluation(columns={"a": column(pvalue=1e-8)}, size="6h")

    assert decided(0, evaluations=[weak, strong]).strongest() is strong
    assert decided(0, S, evaluations=[weak | {"verdict": "stable"}]).strongest()["verdict"] == "stable"
    assert decided(0, U, evaluations=[]).strongest() is None


def test_columns_come_strongest_first_and_as_far_as_they_fit():
    many = {f"c{number:03}": column(pvalue=10.0 ** (number - 300)) for number in range(300)}
    many["none"] = column(pvalue=None) | {"effect": None}

    evidence = evidence_of(evaluation(columns=dict(reversed(many.items()))))

    names = [found["name"] for found in evidence["columns"]]
    assert names == sorted(many)[: len(names)]
    assert 15 <= len(names) <= COLUMNS_MAX
    assert evidence["columns_drifted"] == 301


def test_a_notice_of_the_longest_names_is_small_enough_for_every_receiver():
    long = {("\u00e4" * 120) + f"{number:03}": column(moved=50, label="\u00e4" * 1000) for number in range(300)}
    subject = Subject(model="m" * 128, version="v" * 128, segment="\u00e4" * 128)
    decision = replace(decided(0, columns=long), subject=subject)

    made = step(AlertState(), decision, replace(RULES, fire_after=1, public_url="https://" + "h" * 200), NOW)

    assert len(made.notices[0].notice) < 19_500
    assert json.loads(made.notices[0].notice)["segment"] == subject.segment


def test_numbers_in_a_notice_are_short():
    found = evidence_of(evaluation())["columns"][0]

    assert found["statistics"]["statistic_0"] == 0.123457
    assert found["pvalues"]["test_0"] == 1.23457e-09


def test_a_rise_of_the_tier_is_told_once_and_never_a_fall():
    steps = run(
        [D, decided(1, tier="alarm"), decided(2, tier="major"), decided(3, tier="alarm"), decided(4, tier="odd")]
    )

    assert kinds(steps) == [("drift.firing", 1), ("drift.escalated", 2)]
    assert steps[-1].state.episode.tier == "major"
    assert episodes(steps)[0].tier == "major"


def test_a_test_notice_says_that_it_is_one_and_is_new_each_time():
    first, second = make_test_notice("ci", NOW, "a", "https://d/"), make_test_notice("ci", NOW, "b")

    assert (first["kind"], first["episode_id"], first["columns"]) == ("test", None, [])
    assert first["id"] != second["id"]
    assert first["links"]["page"].startswith("https://d/?model=")


def test_instants_are_in_utc_with_a_fraction_only_where_there_is_one():
    assert instant(T0) == "2012-03-05T05:00:00Z"
    assert instant(T0 + 250_000) == "2012-03-05T05:00:00.250000Z"


def test_rules_come_from_the_configuration():
    configuration = ModelConfiguration.model_validate(
        {
            "notify": ["pager", "gone"],
            "policy": {"fire_after": 3, "cool_down": None, "silence_after": "2h"},
            "triggers": [
                {"target": "ci", "columns": ["b", "a"], "cool_down": "1d"},
                {"target": "ci", "columns": ["a", "b"], "dry_run": False},
                {"target": "ci"},
            ],
        }
    )
    targets = {"pager": TargetConfiguration(url="https://p.example", kinds=("drift.firing",))}

    rules = rules_of(configuration, targets, "https://d.example/")

    assert (rules.fire_after, rules.cool_down_us, rules.silence_after_us) == (3, 0, 2 * HOUR)
    assert rules.told("drift.firing") == ("pager", "gone")
    assert rules.told("silence") == ("gone",)
    assert rules.public_url == "https://d.example"
    assert [(rule.columns, rule.dry_run) for rule in rules.triggers] == [(frozenset("ab"), False), (None, None)]
    default = rules_of(ModelConfiguration.model_validate({"policy": {"silence_after": None}}), {})
    assert (default.cool_down_us, default.silence_after_us) == (24 * HOUR, None)


# Silence of a source


def test_silence_is_told_once_and_so_is_its_end():
    rules = replace(RULES, silence_after_us=HOUR)
    state = AlertState(reference_id="sha256:a")

    early = source_silent(state, SUBJECT, rules, NOW - HOUR + 1, NOW)
    told = source_silent(state, SUBJECT, rules, NOW - HOUR, NOW)
    again = source_silent(told.state, SUBJECT, rules, NOW - HOUR, NOW + HOUR)
    resumed = source_resumed(told.state, SUBJECT, rules, NOW + 2 * HOUR)
    over = source_resumed(resumed.state, SUBJECT, rules, NOW + 3 * HOUR)

    assert [len(made.notices) for made in (early, told, again, resumed, over)] == [0, 2, 0, 2, 0]
    assert kinds([told, resumed]) == [("silence", 1), ("resumed", 2)]
    assert told.notices[0].order_key == resumed.notices[0].order_key
    assert resumed.state == state
    assert source_silent(state, SUBJECT, replace(rules, silence_after_us=None), 0, NOW).state == state


# People


def opened():
    steps = run([D, D])
    return steps[-1].state, episodes(steps)[0]


def test_a_silenced_episode_sends_nothing_until_its_time():
    rules = replace(RULES, triggers=(trigger(windows_min=3),))
    steps = run([D, D], rules)
    state, episode = silence(steps[-1].state, episodes(steps)[0], NOW + 10)

    quiet = step(state, decided(2, tier="major"), rules, NOW + 9)
    after = step(quiet.state, decided(3, tier="major"), rules, NOW + 10)

    assert episode.silenced_until == instant(NOW + 10)
    assert quiet.notices == ()
    assert kinds([after]) == [("drift.escalated", 2), ("retrain", 3)]


def test_a_silenced_episode_closes_quietly():
    state, episode = opened()
    state, _ = silence(state, episode, NOW + 10)

    closed = run([decided(2, S), decided(3, S)], state=state)[-1]

    assert (closed.state.phase, closed.notices) == ("ok", ())


def test_an_episode_is_resolved_by_hand_once_and_cools_down():
    state, episode = opened()

    made = resolve(state, episode, "eva", RULES, NOW + 5)
    resolved = changed(episode, made.changes[0])
    again = resolve(made.state, resolved, "bob", RULES, NOW + 6)

    assert (resolved.state, resolved.resolution, resolved.resolved_by) == ("resolved", "by_hand", "eva")
    assert resolved.resolved_at == instant(NOW + 5)
    assert kinds([made]) == [("drift.resolved", 2)]
    assert again.changes == ()
    assert phases(run([decided(hour) for hour in range(2, 7)], state=made.state)) == "...FF"
    assert silence(made.state, resolved, NOW) == (made.state, resolved)


def test_a_state_that_never_decided_cools_down_from_the_opening():
    episode = OpenEpisode(id="ep_1", reference_id="sha256:a", opened_at_us=T0)

    made = reference_changed(AlertState(episode=episode), SUBJECT, "sha256:b", RULES, NOW)

    assert made.state.cool_until_us == T0 + RULES.cool_down_us
    assert changed(None, made.changes[0]).windows.first.end == instant(T0)


def test_the_first_acknowledgement_stands():
    state, episode = opened()

    state, seen = acknowledge(state, episode, "eva", NOW)
    again = acknowledge(state, seen, "bob", NOW + 1)

    assert (seen.acknowledged.by, seen.acknowledged.at) == ("eva", instant(NOW))
    assert again == (state, seen)


def test_what_a_pipeline_reports_is_kept_in_its_order_and_the_last_word_stands():
    state, episode = opened()

    for at, (outcome, link) in enumerate(
        [("started", "https://ci/7"), ("failed", None), ("started", "https://ci/8"), ("succeeded", None)]
    ):
        state, episode = report_outcome(state, episode, outcome, link, NOW + at)

    assert [(one.state, one.link, one.at) for one in episode.outcomes] == [
        ("started", "https://ci/7", instant(NOW)),
        ("failed", "https://ci/7", instant(NOW + 1)),
        ("started", "https://ci/8", instant(NOW + 2)),
        ("succeeded", "https://ci/8", instant(NOW + 3)),
    ]
    assert episode.outcome == episode.outcomes[-1]


@pytest.mark.parametrize("link", ["https://ci/7", None])
def test_a_report_that_is_repeated_changes_nothing(link):
    told = report_outcome(*opened(), "started", "https://ci/7", NOW)

    assert report_outcome(*told, "started", link, NOW + 1) == told
    assert len(report_outcome(*told, "started", "https://ci/8", NOW + 1)[1].outcomes) == 2


def test_reports_are_kept_up_to_a_number_and_those_of_an_older_release_come_first():
    state, episode = opened()
    old = replace(episode, outcome=Outcome(state="started", link=None, at=instant(NOW)))
    state, told = report_outcome(state, old, "failed", None, NOW + 1)

    for number in range(30):
        state, many = report_outcome(state, told, "started", f"https://ci/{number}", NOW)
        told = many

    assert [one.state for one in report_outcome(state, old, "failed", None, NOW + 1)[1].outcomes] == [
        "started",
        "failed",
    ]
    assert len(many.outcomes) == 20
    assert many.outcomes[-1].link == "https://ci/29"


# Documents


def test_an_episode_tells_its_windows_notices_and_evidence():
    steps = run([D, D, U, D, S, S])

    (episode,) = episodes(steps)
    row = episode_row(episode, steps[1].changes[0].opened_at_us, 3)

    assert decode_episode(row.document) == episode
    assert (row.id, row.model, row.version, row.open, row.revision) == (episode.id, "bikes", "2011", False, 3)
    document = json.loads(row.document)
    assert document["opened_at"] == "2012-03-05T07:00:00Z"
    assert document["windows"] == {
        "first": {"start": "2012-03-05T06:00:00Z", "end": "2012-03-05T07:00:00Z"},
        "last": {"start": "2012-03-05T10:00:00Z", "end": "2012-03-05T11:00:00Z"},
        "drifted": 2,
        "stable": 2,
        "undecided": 1,
    }
    assert [notice["kind"] for notice in document["notices"]] == ["drift.firing", "drift.resolved"]
    assert document["notices"][0]["targets"] == ["pager", "chat"]
    assert document["evidence"]["columns"][0]["name"] == "temp"


def test_the_decision_log_says_what_was_decided_and_sent():
    steps = run([D, D, S, S])

    log = [(end_us, json.loads(document)) for end_us, document in (made.decision for made in steps)]

    assert [end_us for end_us, _ in log] == [T0 + hour * HOUR for hour in (1, 2, 3, 4)]
    assert [document["state"] for _, document in log] == ["ok", "firing", "firing", "ok"]
    assert [len(document["notices"]) for _, document in log] == [0, 1, 0, 1]
    assert log[3][1]["resolved"] == [{"episode_id": log[2][1]["episode_id"], "resolution": "stable"}]


def test_a_state_survives_being_written():
    state = run([D, D, D], replace(RULES, triggers=(trigger(),)))[-1].state

    assert decode_state(encode_state(state)) == state
    assert decode_state(None) == AlertState()


@pytest.mark.parametrize(
    "document",
    [b"", b"{", b"[]", b"{}", b'{"format": "driftline.alert/1"}', b'{"format":"driftline.alert/1","state":3}'],
)
def test_what_is_no_state_is_refused(document):
    with pytest.raises(DriftlineError, match="alert state"):
        decode_state(document)


def test_states_from_before_there_were_weights_limits_and_a_watchdog_are_read():
    kept = (
        b'{"format":"driftline.alert/1","state":{"reference_id":"sha256:a","began_us":5,"decided_until_us":9,'
        b'"drifted_in_a_row":2,"stable_in_a_row":1,"episode":{"id":"ep_1","reference_id":"sha256:a","opened_at_us":7,'
        b'"sequence":3,"tier":null,"silenced_until_us":null},"cool_until_us":8,"triggers":{"ci:1":{"in_a_row":2,'
        b'"fired_at_us":7,"fired_episode":"ep_1","dry":true}},"silent_since_us":null}}'
    )

    assert decode_state(kept) == AlertState(
        reference_id="sha256:a",
        began_us=5,
        decided_until_us=9,
        drifted_in_a_row=2,
        stable_in_a_row=1,
        episode=OpenEpisode(id="ep_1", reference_id="sha256:a", opened_at_us=7, sequence=3),
        cool_until_us=8,
        triggers={"ci:1": TriggerState(in_a_row=2, fired_at_us=7, fired_episode="ep_1", dry=True)},
    )


def test_formats_of_a_newer_release_are_refused():
    with pytest.raises(DriftlineError, match="driftline.alert/2"):
        decode_state(b'{"format": "driftline.alert/2", "state": {}}')
    row = episode_row(opened()[1], T0, 0)
    with pytest.raises(DriftlineError, match="driftline.episode/2"):
        decode_episode(row.document.replace(b"driftline.episode/1", b"driftline.episode/2"))
    with pytest.raises(DriftlineError, match="wanted"):
        decode_episode(row.document[:-5])


# Laws


MOVES = st.lists(
    st.tuples(
        st.sampled_from([D, S, U]),
        st.sampled_from(["sha256:a", "sha256:a", "sha256:a", "sha256:b"]),
        st.sampled_from([None, "alarm", "major"]),
        st.sampled_from(["decide", "decide", "decide", "correct", "silence", "resolve"]),
        st.sampled_from([None, 0.5, 5.0, 50.0]),
    ),
    max_size=40,
)
ALL_RULES = st.builds(
    Rules,
    fire_after=st.integers(1, 3),
    resolve_after=st.integers(1, 3),
    cool_down_us=st.sampled_from([0, 2 * HOUR, 5 * HOUR]),
    notify=st.sampled_from([(), ("pager",), ("pager", "chat")]),
    triggers=st.sampled_from(
        [
            (),
            (trigger(windows_min=2),),
            (trigger(dry_run=True), trigger(key="k", cool_down_us=0)),
            (trigger(cool_down_us=0), trigger(key="k", cool_down_us=0, limit=(2, 9 * HOUR), tier="alarm")),
        ]
    ),
)


def lived(moves, rules, now_us=NOW):
    """Steps of a life with corrections and people in it, and whether each was silenced."""
    state, documents, steps = AlertState(), {}, []
    for hour, (verdict, reference, tier, move, rate) in enumerate(moves):
        at_us = now_us + hour
        before = state
        silenced = before.episode is not None and (before.episode.silenced_until_us or 0) > at_us
        episode = None if before.episode is None else documents[before.episode.id]
        if move == "silence" and episode is not None:
            state, documents[episode.id] = silence(state, episode, at_us + 3)
            continue
        if move == "resolve" and episode is not None:
            made = resolve(state, episode, "eva", rules, at_us)
        else:
            older = hour - 2 if move == "correct" else hour
            kept = {"tier": tier, "false_alarms": rate}
            decision = decided(older, verdict, reference=reference, correction=move == "correct", **kept)
            made = step(state, decision, rules, at_us)
        for change in made.changes:
            documents[change.id] = changed(documents.get(change.id), change)
        state = decode_state(encode_state(made.state))
        steps.append((move, verdict, silenced, before, made))
    return steps, documents


@given(MOVES, ALL_RULES)
def test_at_most_one_episode_is_open_and_its_notices_are_numbered_without_gaps(moves, rules):
    steps, documents = lived(moves, rules)

    for _, _, _, _, made in steps:
        open_ids = {found.id for found in documents.values() if found.state == "open"}
        assert len(open_ids) <= 1
        assert made.state.phase == ("firing" if made.state.episode else "ok")
    last = steps[-1][4].state if steps else AlertState()
    assert {found.id for found in documents.values() if found.state == "open"} == (
        {last.episode.id} if last.episode else set()
    )
    for found in documents.values():
        assert [notice.sequence for notice in found.notices] == list(range(1, len(found.notices) + 1))
        assert [notice.kind for notice in found.notices].count("drift.firing") <= 1
        assert [notice.kind for notice in found.notices].count("budget.exceeded") <= 1
        retrained = [notice.targets for notice in found.notices if notice.kind == "retrain"]
        assert retrained in ([], [("ci",)])


@given(MOVES, ALL_RULES)
def test_a_recomputation_gives_the_same_ids(moves, rules):
    first, again = lived(moves, rules), lived(moves, rules, NOW + 10**9)

    def ids(steps):
        return [[notice.id for notice in made.notices] for *_, made in steps]

    assert ids(first[0]) == ids(again[0])
    assert list(first[1]) == list(again[1])


@given(MOVES, ALL_RULES)
def test_every_notice_has_its_own_id_and_a_silenced_episode_has_none(moves, rules):
    steps, _ = lived(moves, rules)

    ids = [notice.id for *_, made in steps for notice in made.notices]
    assert len(ids) == len(set(ids))
    for _, _, silenced, before, made in steps:
        if silenced:
            assert not [notice for notice in made.notices if notice.order_key == before.episode.id]


@given(MOVES, ALL_RULES)
def test_undecided_windows_never_open_an_episode_and_close_one_only_for_another_reference(moves, rules):
    steps, _ = lived(moves, rules)

    for move, verdict, _, before, made in steps:
        if move != "resolve" and verdict == U:
            assert made.state.episode is None or before.episode is not None
            assert {change.resolution for change in made.changes} <= {None, "reference_changed"}
