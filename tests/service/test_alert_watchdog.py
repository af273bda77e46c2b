"""The watchdog: alarms that come more often than the budget allows."""

import math
from dataclasses import replace

import pytest
from alerting import HOUR, NOW, OFTEN, T0, D, S, U, decided, episodes, evaluation, notices, rated, run
from hypothesis import given
from hypothesis import strategies as st

from service.alerts.manual import acknowledge, report_outcome
from service.alerts.notice import instant
from service.alerts.state import Watch
from service.alerts.watchdog import surplus_pvalue


def poisson_tail(episodes, expected):
    """P(X >= episodes), term by term."""
    term, below = math.exp(-expected), 0.0
    for number in range(episodes):
        below += term
        term *= expected / (number + 1)
    return 1 - below


@given(st.integers(0, 30), st.floats(0, 20))
def test_the_probability_of_so_many_episodes_is_that_of_poisson(episodes, expected):
    assert surplus_pvalue(episodes, expected) == pytest.approx(poisson_tail(episodes, expected), abs=1e-12)


WATCHED = replace(OFTEN, notify=("pager",))


def alarms(hours, *, of=720, budget=1.0, first=0, **kept):
    """Decisions of a stretch of hours, with alarms at some of them."""
    found = [0.1 * budget if hour in hours else 500.0 for hour in range(first, first + of)]
    return [rated(first + hour, rate, budget=budget, **kept) for hour, rate in enumerate(found)]


def exceeded(steps):
    return [one for one in notices(steps) if one["kind"] == "budget.exceeded"]


def test_alarms_far_more_often_than_the_budget_are_told_of_once():
    steps = run(alarms({100, 300, 500, 650, 700, 710}), WATCHED)

    # 1, 2 and 3 episodes of .14, .42 and .70 expected ones have .131, .067 and .034; 4 of .90 .013; 5 of .97 .003.
    (told,) = exceeded(steps)
    watch = steps[-1].state.watch
    assert told["episode_id"] == notices(steps[700:701])[0]["episode_id"]
    assert (told["sequence"], told["links"]["page"]) == (2, "https://d/?model=bikes&version=2011")
    assert told["watch"]["since"] == instant(T0)
    assert (told["watch"]["windows"], told["watch"]["episodes"]) == (701, 5)
    assert told["watch"]["expected"] == pytest.approx(701 / 720)
    assert told["watch"]["pvalue"] == pytest.approx(poisson_tail(5, 701 / 720))
    assert (watch.exceeded_us, watch.episodes, watch.windows) == (T0 + 701 * HOUR, 6, 720)
    assert {one["watch"] for one in notices(steps) if one["kind"] != "budget.exceeded"} == {None}


def test_alarms_about_as_often_as_the_budget_are_not_told_of():
    assert not exceeded(run(alarms({100, 400, 700}), WATCHED))
    assert not exceeded(run(alarms({100, 300, 500, 650, 700, 710}, budget=4.0), WATCHED))


def test_one_alarm_on_the_first_day_says_nothing_of_how_often_they_come():
    assert not exceeded(run(alarms({0}, of=10), WATCHED))
    assert len(exceeded(run(alarms({0, 2}, of=10), WATCHED))) == 1


def test_windows_and_episodes_without_a_budget_are_not_watched():
    decisions = [decided(hour, (D, S, U)[hour % 3]) for hour in range(30)]

    steps = run([*decisions, decided(30, U, evaluations=[evaluation(U, false_alarms=None)])], WATCHED)

    assert steps[-1].state.watch == Watch()
    assert not exceeded(steps)


def test_undecided_windows_spend_nothing_and_all_scales_of_a_window_spend_once():
    one = rated(0, 500.0)
    several = replace(one, evaluations=[*one.evaluations, evaluation(S, false_alarms=30.0, scale=6)])

    state = run([several, decided(1, U, evaluations=[evaluation(U, false_alarms=3.0)])], WATCHED)[-1].state

    assert state.watch == Watch(since_us=T0, windows=1, expected=1 / 720)


def test_another_reference_is_watched_anew():
    steps = run(alarms({0, 2}, of=5), WATCHED)
    state = run([replace(rated(5, 500.0), reference_id="sha256:b")], WATCHED, steps[-1].state)[-1].state

    assert steps[-1].state.watch.exceeded_us is not None
    assert state.watch == Watch(since_us=T0 + 5 * HOUR, windows=1, expected=1 / 720)


def accept_by_acknowledging(state, episode):
    return acknowledge(state, episode, "eva", NOW)


def accept_by_retraining(state, episode):
    return report_outcome(state, episode, "succeeded", None, NOW)


@pytest.mark.parametrize("accept", [accept_by_acknowledging, accept_by_retraining])
def test_once_somebody_took_an_episode_for_drift_the_watchdog_is_quiet(accept):
    early = run(alarms({0}, of=2), WATCHED)
    late = run(alarms({0, 2}, of=5), WATCHED)

    accepted_early, _ = accept(early[-1].state, episodes(early)[0])
    accepted_late, _ = accept(late[-1].state, episodes(late)[0])
    again, _ = accept(accepted_late, episodes(late)[1])

    assert accepted_early.watch.accepted
    assert not exceeded(run(alarms({2, 4, 6}, of=8, first=2), WATCHED, accepted_early))
    assert accepted_late.watch.exceeded_us is None
    assert again == accepted_late
    assert not exceeded(run(alarms({6}, of=3, first=5), WATCHED, accepted_late))


def test_to_accept_an_episode_of_another_reference_says_nothing_of_this_one():
    old = run(alarms({0, 2}, of=5), WATCHED)
    new = run([replace(rated(5, 500.0), reference_id="sha256:b")], WATCHED, old[-1].state)[-1].state

    assert acknowledge(new, episodes(old)[0], "eva", NOW)[0] == new


@pytest.mark.parametrize("outcome", ["started", "failed"])
def test_a_retraining_that_did_not_succeed_accepts_nothing(outcome):
    steps = run(alarms({0, 2}, of=5), WATCHED)

    assert report_outcome(steps[-1].state, episodes(steps)[0], outcome, None, NOW)[0] == steps[-1].state


def test_that_alarms_come_too_often_is_kept_though_nobody_is_told():
    steps = run(alarms({0, 2}, of=5), replace(WATCHED, notify=()))

    assert steps[-1].state.watch.exceeded_us == T0 + 3 * HOUR
    assert not notices(steps)
