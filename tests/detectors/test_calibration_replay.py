"""Replay: evidence placed among that of held-out days, the line of an alarm, and what is major."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from calibrating import drawn, hours_of, past_of, starts_of
from scipy import stats

from detectors.calibration.alarm import MAJOR_EFFECT, Alarm, smallest_shift
from detectors.calibration.replay import Table, hop_of, replay, spent, strength

SHAPES = [("numeric", 10)] * 3 + [("categorical", 5)]
EVERYWHERE = np.concatenate([[0.0], np.logspace(-300, 0, 4001)])


def table_of(evidence, independent=None):
    evidence = np.sort(np.asarray(evidence, dtype=np.float64))
    return Table(evidence=evidence, independent=float(evidence.size) if independent is None else independent)


def tables():
    rng = np.random.default_rng(0)
    yield "uniform", table_of(rng.random(700))
    yield "overlapping windows", table_of(rng.random(700), 120.0)
    yield "too small by far", table_of(rng.random(700) ** 6)
    yield "too large", table_of(rng.random(700) ** 0.2)
    yield "gated off but for a few", table_of(np.where(rng.random(700) < 0.03, rng.random(700), 1.0))
    yield "gated off", table_of(np.ones(700))
    yield "all equal", table_of(np.full(300, 0.3))
    yield "two values", table_of(np.repeat([0.01, 1.0], [50, 50]))
    yield "zeros", table_of(np.repeat([0.0, 0.5], [50, 50]))
    yield "one window", table_of([0.4])
    yield "one window, gated off", table_of([1.0], 0.0)
    yield "two windows", table_of([0.4, 1e-5], 1.0)
    yield "nine windows", table_of(rng.random(9), 3.0)


TABLES = dict(tables())


@pytest.mark.parametrize("name", TABLES)
def test_placed_rises_with_the_evidence_and_is_a_probability(name):
    table = TABLES[name]
    evidence = np.sort(np.concatenate([EVERYWHERE, table.evidence, np.nextafter(table.evidence, 0)]))

    placed = table.placed(evidence)

    assert (np.diff(placed) >= -1e-12).all()
    assert (placed > 0).all()
    assert (placed <= 1).all()
    assert placed[-1] == 1
    assert math.isnan(table.placed(np.array(np.nan)))


@pytest.mark.parametrize("name", ["uniform", "overlapping windows", "too small by far", "too large"])
def test_placed_hardly_jumps_where_the_tail_begins(name):
    table = TABLES[name]
    line = table.evidence[int(0.1 * table.evidence.size)]

    below, at = table.placed(np.array([np.nextafter(line, 0), line]))

    assert below == pytest.approx(0.1, rel=0.03)
    assert at / below < 1.03


def test_placed_never_knows_more_than_a_few_windows_can_tell():
    tiny = table_of([0.4], 1.0)

    assert tiny.placed(np.array(1e-3)) > 0.005
    assert tiny.placed(np.array(1e-12)) > 1e-6


@pytest.mark.parametrize(
    ("n_windows", "power"),
    [(20, 0.3), (20, 1.0), (100, 0.3), (100, 1.0), (100, 4.0), (600, 0.3), (600, 1.0), (600, 4.0)],
)
def test_placed_is_valid_for_exchangeable_evidence(n_windows, power):
    """P(placed <= x) is at most about x, in the body exactly and in the tail with what a guess of the slope costs."""
    rng = np.random.default_rng(n_windows)
    repeats, per_table = 1500, 50
    placed = np.concatenate(
        [table_of(rng.random(n_windows) ** power).placed(rng.random(per_table) ** power) for _ in range(repeats)]
    ).reshape(repeats, per_table)

    for line in (0.5, 0.2, 0.05, 0.01, 0.001):
        each = (placed <= line).mean(axis=1)
        error = each.std() / math.sqrt(repeats)
        slack = 1.15 if power <= 1 or n_windows > 100 else 4.0  # few windows, and a tail the prior does not expect
        assert each.mean() <= slack * line + 3 * error, line


@pytest.mark.parametrize("strongest", [0.05, 1e-8])
def test_placed_is_valid_for_evidence_that_the_gate_has_cut(strongest):
    """What passes a gate is far below 1, and a tail that began at 1 took the gap for its slope."""
    rng = np.random.default_rng(1)

    def gated(n):
        return np.where(rng.random(n) < 0.02, rng.random(n) * strongest, 1.0)

    placed = np.array([table_of(gated(300)).placed(gated(50)) for _ in range(1500)])

    for line in (0.5, 0.05, 0.01, 0.001):
        each = (placed <= line).mean(axis=1)
        assert each.mean() <= 1.3 * line + 3 * each.std() / math.sqrt(1500), line


def test_strength_is_the_smallest_pvalue_beyond_the_gate_times_the_tests():
    nan = math.nan
    pvalues = np.array([[0.01, 1e-4, 0.5], [0.01, nan, 0.5], [0.4, 0.5, 0.6], [nan, nan, nan], [1e-9, 1e-9, nan]])
    effects = np.array([[0.02, 0.001, 0.03], [0.02, nan, 0.03], [1.0, 1.0, 1.0], [nan, nan, nan], [0.005, 0.0, nan]])

    found = strength(pvalues, effects, 0.005)

    assert found == pytest.approx([0.03, 0.02, 1.0, nan, 1.0], nan_ok=True)
    assert math.isnan(strength(np.empty(0), np.empty(0), 0.005))


def streams(seed, n_windows, rows=800, level=None, noise=0.06):
    rng = np.random.default_rng(seed)
    levels = noise * rng.standard_normal((n_windows, len(SHAPES)))
    if level is not None:
        levels += level
    return drawn(rng, SHAPES, np.full(n_windows, rows), levels=levels, missing=0.05, invalid=0.0)


@pytest.fixture(scope="module")
def past():
    return past_of(SHAPES, streams(0, 24 * 20))


@pytest.fixture(scope="module")
def alarm(past):
    return Alarm(past, replay(past, effect_threshold=0.005), len(SHAPES))


def test_each_scale_spends_its_share_of_the_budget_at_its_hop(past):
    assert [hop_of(scale) for scale in (1, 2, 6, 24, 90)] == [1, 1, 1, 6, 22]
    assert [spent(scale, past) for scale in past.scales] == pytest.approx([1 / 2160, 1 / 2160, 6 / 2160])


@pytest.mark.parametrize("with_replay", [False, True])
@pytest.mark.parametrize("budget", [0.1, 1.0, 30.0, 1e6])
def test_the_line_inverts_the_rate(alarm, past, budget, with_replay):
    alarm = alarm if with_replay else Alarm(past, None, len(SHAPES))
    for scale in past.scales:
        line = alarm.line(budget, 5, scale)

        def rate(pvalue, scale=scale):
            return alarm.rate(np.array([pvalue, 1, 1, 1, 1]), np.ones(5), 0.005, scale)

        assert rate(line) <= budget * (1 + 1e-9)
        assert line == 0.2 or rate(min(line * 1.001, 1.0)) > budget
        assert alarm.line(budget, 5, scale) == line  # from memory
        assert alarm.line(budget, 0, scale) == pytest.approx(5 * line)


def test_the_rate_of_nothing_is_unknown(alarm):
    assert math.isnan(alarm.rate(np.array([np.nan]), np.array([np.nan]), 0.005, 1))


def test_replay_scores_each_day_once_and_keeps_to_its_own_rate(alarm, past):
    found = alarm.replay

    assert sorted(found.tables) == [1, 6, 24]
    assert found.tables[1].evidence.size == 480
    assert found.tables[6].evidence.size == 20 * 19
    assert found.tables[24].evidence.size == 20
    assert found.tables[24].independent == pytest.approx(20)
    assert found.rates.shape == (480,)
    assert np.isfinite(found.rates).all()
    for rate in (30, 100):  # in 20 days, of three scales that overlap
        assert np.count_nonzero(found.rates <= rate) < 2 * rate * 20 / 30


def test_replay_by_a_pool_is_the_same(past, alarm):
    with ThreadPoolExecutor(2) as pool:
        found = replay(past, effect_threshold=0.005, mapper=pool.map)

    np.testing.assert_array_equal(found.rates, alarm.replay.rates)


def test_replay_needs_three_folds():
    assert replay(past_of(SHAPES, streams(1, 48)), effect_threshold=0.005) is None
    assert replay(past_of(SHAPES, streams(1, 49)), effect_threshold=0.005) is not None
    assert replay(past_of(SHAPES, streams(1, 7)), effect_threshold=0.005) is None


def test_a_scale_at_which_nothing_could_be_tested_is_replayed_as_saying_nothing():
    """Windows without a test left an empty table, and looking into it crashed."""
    past = past_of(SHAPES[:1], np.tile([[100] + 11 * [0]], (24 * 10, 1)))

    found = replay(past, effect_threshold=0.005)

    assert past.traits.kind.size == 0
    assert found.tables[1].evidence.tolist() == [1.0]
    assert Alarm(past, found, 1).line(1.0, 1, 1) < 1e-3


def test_a_scale_at_which_most_windows_have_too_few_rows_spends_no_budget():
    past = past_of(SHAPES, streams(2, 24 * 10, rows=12))

    assert past.scales == (6, 24)
    assert sorted(replay(past, effect_threshold=0.005).tables) == [6, 24]


def test_replay_of_windows_that_are_mostly_missing():
    kept = np.concatenate([np.arange(0, 30), np.arange(100, 130), np.arange(300, 360)])
    segments, starts = streams(3, 360)[kept], starts_of(360)[kept]
    past = past_of(SHAPES, segments, starts_s=starts)

    found = replay(past, effect_threshold=0.005)

    tested = np.flatnonzero(np.isfinite(found.rates))
    assert found.rates.size == 360
    assert set(kept.tolist()) <= set(tested.tolist())
    assert found.tables[1].evidence.size == kept.size


def test_a_long_reference_is_held_out_in_at_most_sixty_folds():
    past = past_of(SHAPES[:1], streams(4, 24 * 130)[:, :12], scales=(1,))
    folds = []

    def mapper(score, numbers):
        folds.extend(numbers)
        return map(score, folds)

    replay(past, effect_threshold=0.005, mapper=mapper)

    assert len(folds) == 44  # three days each


def test_a_shift_fires_and_a_trivial_one_does_not():
    hours = 24 * 20
    for rows in (1000, 100_000):
        alarm = alarm_of(rows)
        budget_spent = []
        for level in (0.0, 0.03, 1.0):  # the tilt's levels have a standard deviation of .6: .03 is .02 of it
            now = streams(5, hours, rows=rows, level=level)
            rates = []
            for place in range(0, hours, 6):
                found = alarm.judge(now[place : place + 6], hours_of(starts_of(6, first=place)), 6)
                rates.append(alarm.rate(found.pvalues.ravel(), found.effects.ravel(), 0.005, 6))
            budget_spent.append(np.count_nonzero(np.array(rates) <= 1))

        assert budget_spent[0] <= 2
        assert budget_spent[1] <= 2
        assert budget_spent[2] == hours // 6


def alarm_of(rows):
    past = past_of(SHAPES, streams(6, 24 * 20, rows=rows, noise=0.02))
    return Alarm(past, replay(past, effect_threshold=0.005), len(SHAPES))


@pytest.mark.parametrize("rows", [300, 3000, 300_000])
def test_major_is_sure_of_the_least_effect(rows):
    """At the least effect a change is called major at most once in a thousand, at three times that with enough rows."""
    rng = np.random.default_rng(rows)
    past = past_of([("numeric", 10)], drawn(rng, [("numeric", 10)], np.full(24 * 20, rows), missing=0.0, invalid=0.0))
    alarm = Alarm(past, None, 1)
    shares = past.traits.shares
    middle = np.cumsum(shares) - shares / 2
    slope = (middle - 0.5) / math.sqrt(shares @ (middle - 0.5) ** 2)

    def major(effect, n=500):
        moved = shares * (1 + math.sqrt(effect) * slope)
        windows = np.pad(rng.multinomial(6 * rows, moved / moved.sum(), n), ((0, 0), (0, 2)))
        return np.mean([alarm.judge(window[None], np.zeros(1, dtype=np.int64), 6).major[0, 0] for window in windows])

    assert major(MAJOR_EFFECT) <= 0.001 + 3 * math.sqrt(0.001 / 500)
    assert not alarm.judge(past_row(past), np.zeros(1, dtype=np.int64), 1).major.any()  # not at so short a scale
    if rows >= 3000:
        assert major(3 * MAJOR_EFFECT, 20) == 1


def past_row(past):
    return np.concatenate([[10 * past.rows.max()], np.zeros(past.groups.shape[1] + 1, dtype=np.int64)])[None]


@pytest.mark.parametrize(("scale", "shift"), [(1, 0.155), (24, 0.045)])
def test_the_smallest_shift_is_seen_four_times_in_five(scale, shift):
    """Also by a whole day, of which the reference has 28 only: the Student step makes it a fifth larger there."""
    rng = np.random.default_rng(7)
    shape, rows, line, gate = [("numeric", 10)], 1000, 1e-4, 0.0001
    edges = stats.norm.ppf(np.arange(1, 10) / 10)

    def windows(n, shift=0.0):
        below = np.concatenate([[0], stats.norm.cdf(edges - shift), [1]])
        return np.pad(rng.multinomial(rows, np.diff(below), n), ((0, 0), (0, 2)))

    seen, expected = [], []
    for _ in range(12):
        alarm = Alarm(past_of(shape, windows(24 * 28)), None, 1)
        hours = np.zeros(scale, dtype=np.int64)
        known = smallest_shift(alarm.judge(windows(scale), hours, scale), np.array([True]), line, gate)[0]
        expected.append(known)
        judged = [alarm.judge(windows(scale, known), hours, scale) for _ in range(30)]
        seen += [(found.pvalues[0, 0] <= line) & (found.effects[0, 0] > gate) for found in judged]

    assert 0.7 < np.mean(seen) < 0.92
    assert np.mean(expected) == pytest.approx(shift, rel=0.15)


def test_a_column_without_an_order_or_a_test_has_no_smallest_shift(alarm):
    found = alarm.judge(streams(8, 1, rows=25), np.zeros(1, dtype=np.int64), 1)
    tested = alarm.judge(streams(8, 1), np.zeros(1, dtype=np.int64), 1)
    numeric = np.array([kind == "numeric" for kind, _ in SHAPES])

    assert np.isnan(smallest_shift(found, numeric, 1e-4, 0.005)).all()
    assert np.isnan(smallest_shift(tested, numeric, 1e-4, 0.005)).tolist() == [False, False, False, True]
    assert smallest_shift(tested, numeric, 0.0, 0.005)[0] > smallest_shift(tested, numeric, 1e-4, 0.005)[0]
    assert np.isnan(smallest_shift(replace(tested, effective_dof=np.ones(4)), numeric, 0.0, 0.005)).all()
