"""How windows are judged: by the budget of false alarms where the reference is calibrated, else as independent rows."""

from dataclasses import replace
from unittest.mock import ANY

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from weeks import (
    COLORS,
    HOUR_S,
    MONDAY_S,
    US,
    alarm_of,
    columns_of,
    reference_of_traffic,
    replayed,
    starts_of,
    traffic,
    weeks_reference,
)

from detectors.arrays import Counts
from detectors.binning import Binner, ColumnValues
from service.domain import Window
from service.evaluation.alarming import SPAN_PVALUE_MAX, SpanBar
from service.evaluation.evaluate import Evaluator
from service.evaluation.judging import parts_of
from service.evaluation.policy import Policy

LATER_S = MONDAY_S + 6 * 168 * HOUR_S
_30_DAYS_S = 30 * 86_400


def window_of(rows, reference, *, scale, base_s=HOUR_S):
    """Counts, parts and bounds of rows, by base windows."""
    starts_s = np.unique(rows["at"] // US // base_s * base_s)
    columns, binner = columns_of(rows), Binner(reference.columns)
    counted = []
    for start_s in starts_s.tolist():
        inside = (rows["at"] // US // base_s * base_s) == start_s
        own = {
            name: ColumnValues(values=c.values[inside], missing=c.missing[inside])
            if isinstance(c, ColumnValues) and c.missing is not None
            else ColumnValues(values=c.values[inside] if isinstance(c, ColumnValues) else c[inside])
            for name, c in columns.items()
        }
        counted.append((start_s * US, binner.count(own)))
    whole = Counts(np.sum([counts for _, counts in counted], axis=0, dtype=np.int64))
    window = Window(start_us=int(starts_s[0]) * US, end_us=int(starts_s[-1] + base_s) * US, size="w")
    return whole, parts_of(reference, counted, scale), window


def judged(rows, made, *, scale=1, policy=None, errors=None, timeless=False):
    """Evaluation of rows by a reference and its alarm."""
    reference, alarm = made
    whole, parts, window = window_of(rows, reference, scale=scale)
    if timeless:
        window = Window(start_us=None, end_us=None, size="all")
    return Evaluator(reference, policy, alarm).evaluate(
        whole, len(rows["at"]), window, "2026-03-01T00:00:00Z", errors=errors, parts=parts
    )


def hours(n_hours, n=60, **how):
    return traffic(starts_of(n_hours, first_s=LATER_S), n, **how)


def test_traffic_like_the_reference_is_stable_and_verified():
    found = judged(hours(24), replayed(), scale=24)

    assert (found.verdict, found.calibration, found.season, found.tier) == ("stable", "verified", "none", None)
    assert found.false_alarms_per_30d > found.budget_per_30d == 1.0
    assert found.replayed_false_alarms_per_30d == replayed()[1].trust(1.0).replayed_per_30d
    for column in found.columns.values():
        assert column.verdict == "stable"
        assert column.pvalue > column.pvalue_threshold
        assert 0 < column.effective_rows < 24 * 60 * 1.01
    assert 0.05 < found.columns["x"].smallest_detectable_shift < 0.4
    assert found.columns["c"].smallest_detectable_shift is None


@settings(max_examples=12, deadline=None)
@example(shift=2.0, scale=24, budget=1.0, seed=0)
@given(
    shift=st.sampled_from([0.0, 0.2, 0.5, 0.6, 0.7, 1.0, 3.0]),
    scale=st.sampled_from([1, 6, 24]),
    budget=st.sampled_from([0.05, 1.0, 20.0, 100.0]),  # a day without any evidence has 360
    seed=st.integers(0, 100),
)
def test_a_window_is_drifted_iff_its_rate_is_within_the_budget(shift, scale, budget, seed):
    found = judged(hours(scale, shift=shift, seed=seed), replayed(), scale=scale, policy=Policy(budget_per_30d=budget))

    assert found.budget_per_30d == budget
    assert (found.verdict == "drifted") == (found.false_alarms_per_30d <= budget * (1 + 1e-9))
    assert (found.verdict == "drifted") == any(c.verdict == "drifted" for c in found.columns.values())
    assert (found.tier is not None) == (found.verdict == "drifted")
    for column in found.columns.values():
        assert (column.evidence is not None) == (column.verdict == "drifted")
        if column.verdict == "drifted":
            assert column.pvalue <= column.pvalue_threshold
            assert column.effect > column.effect_threshold


# What it is called


def changed(rows, **columns):
    return rows | columns


def rng():
    return np.random.default_rng(9)


def lumps(n):
    """Four values, with the same mean and spread of ranks as the reference, but of another shape."""
    size = np.where(rng().random(n) < 2 / 3, 0.6, 0.95)
    return size * np.where(np.random.default_rng(8).random(n) < 0.5, -1.0, 1.0)


@pytest.mark.parametrize(
    ("column", "values", "evidence", "direction"),
    [
        ("x", lambda n: rng().standard_normal(n) + 0.8, "location", "up"),
        ("x", lambda n: rng().standard_normal(n) - 0.8, "location", "down"),
        ("x", lambda n: rng().standard_normal(n) * 2.5, "scale", "up"),
        ("x", lambda n: rng().standard_normal(n) * 0.4, "scale", "down"),
        ("x", lumps, "shape", ANY),
        ("c", lambda n: COLORS[np.minimum(rng().integers(0, 4, n), 2)], "categories", None),
        ("c", lambda n: np.where(rng().random(n) < 0.1, "violet", COLORS[rng().integers(0, 3, n)]), "unseen", "up"),
        ("y", lambda n: np.where(rng().random(n) < 0.2, np.nan, rng().standard_normal(n)), "missing", "up"),
    ],
)
def test_each_way_to_drift_has_its_name_and_direction(column, values, evidence, direction):
    rows = hours(6)
    rows[column] = values(len(rows["at"]))

    found = judged(rows, replayed(), scale=6)

    assert found.verdict == "drifted"
    drifted = {name: (c.evidence, c.direction) for name, c in found.columns.items() if c.verdict == "drifted"}
    assert drifted[column] == (evidence, direction)
    assert found.columns[column].pvalues[_NAMES.get(evidence, evidence)] < 1e-3


_NAMES = {"shape": "omnibus", "categories": "omnibus"}


def test_invalid_values_are_evidence_of_their_own():
    rows = hours(6)
    values = np.array(rows["x"], dtype=object)
    values[::5] = "n/a"
    rows["x"] = values

    found = judged(rows, replayed(), scale=6)

    assert (found.columns["x"].evidence, found.columns["x"].direction) == ("invalid", "up")


def test_a_missing_share_that_falls_is_drift_too_and_says_down():
    starts_s = starts_of(4 * 168)
    reference = reference_of_traffic(traffic(starts_s, 60, missing=0.3))

    found = judged(hours(24), (reference, alarm_of(reference)), scale=24)

    assert (found.columns["y"].evidence, found.columns["y"].direction) == ("missing", "down")


# Exact tests stand under the budget as well


@pytest.mark.parametrize("budget", [0.01, 1.0])
def test_what_never_happened_in_the_reference_alarms_under_the_budget(budget):
    rows = hours(1, 200)
    rows["y"] = np.where(np.arange(200) < 40, np.nan, rows["y"])

    found = judged(rows, replayed(), policy=Policy(budget_per_30d=budget))

    assert found.verdict == "drifted"
    assert found.false_alarms_per_30d <= budget
    assert found.columns["y"].evidence == "missing"


def test_one_missing_value_of_a_column_that_never_missed_any_is_no_alarm():
    rows = hours(1, 200)
    rows["y"] = np.where(np.arange(200) < 1, np.nan, rows["y"])

    found = judged(rows, replayed())

    assert found.columns["y"].verdict == "stable"


def test_categories_never_seen_alarm_at_scale_one():
    rows = hours(1, 200)
    rows["c"] = np.where(np.arange(200) < 30, "violet", rows["c"])

    found = judged(rows, replayed())

    assert found.verdict == "drifted"
    assert found.columns["c"].evidence == "unseen"
    assert found.columns["c"].unseen_ratio == 0.15


# What does not matter does not count


@pytest.mark.parametrize(("n", "windows"), [(1_000, 40), (100_000, 8)])
def test_a_trivial_shift_does_not_alarm_however_many_rows_there_are(n, windows):
    made = replayed(4, 200)
    evaluator = Evaluator(*_with_policy(made))
    alarms = 0
    for number in range(windows):
        rows = traffic(starts_of(1, first_s=LATER_S + number * HOUR_S), n, shift=0.02)
        whole, parts, window = window_of(rows, made[0], scale=1)
        alarms += evaluator.evaluate(whole, n, window, "", parts=parts).verdict == "drifted"

    assert alarms == 0


def test_without_the_gate_the_same_shift_does_alarm():
    reference = weeks_reference(4, 200)
    made = reference, alarm_of(reference, settings=_settings(effect_threshold=0.0, trivial_shift=0.0))

    rows = traffic(starts_of(24, first_s=LATER_S), 20_000, shift=0.02)
    found = judged(rows, made, scale=24, policy=Policy(effect_threshold=0.0))

    assert found.verdict == "drifted"
    assert {c.evidence for c in found.columns.values()} - {None} == {"location"}


def _settings(**changes):
    from service.calibration.settings import CalibrationSettings  # noqa: PLC0415 - two lines use it

    return CalibrationSettings(**changes)


def _with_policy(made):
    return made[0], Policy(), made[1]


# Columns without a say


def test_a_broken_column_has_no_say_and_the_others_are_unharmed():
    rows = hours(6)
    rows["x"] = rows["x"] + 3
    plain, broken = (judged(rows, replayed(), scale=6, errors=errors) for errors in ({}, {"x": "cannot be read"}))

    assert plain.verdict == "drifted"
    assert broken.verdict == "stable"
    assert broken.false_alarms_per_30d > 1
    column = broken.columns["x"]
    assert (column.verdict, column.reason, column.error) == ("undecided", "error", "cannot be read")
    assert (column.pvalue, column.pvalue_threshold, column.rows, column.moved) == (None, None, 0, ())
    # Fewer tests share the line.
    assert broken.columns["y"].pvalue_threshold > plain.columns["c"].pvalue_threshold


def test_with_every_column_broken_nothing_is_decided():
    errors = dict.fromkeys("xcy", "cannot be read")

    found = judged(hours(6), replayed(), scale=6, errors=errors)

    assert (found.verdict, found.reason, found.false_alarms_per_30d) == ("undecided", "error", None)


def test_a_window_of_few_rows_is_undecided_and_has_no_rate():
    found = judged(hours(1, 10), replayed())

    assert (found.verdict, found.reason) == ("undecided", "too_few_rows")
    assert (found.false_alarms_per_30d, found.tier) == (None, None)
    assert found.calibration == "verified"


def test_a_window_without_rows_is_undecided_and_stays_as_verified_as_its_reference():
    # It said `iid`.
    reference, alarm = replayed()
    none = Counts(np.zeros(reference.layout.n_bins_total, dtype=np.int64))
    window = Window(start_us=LATER_S * US, end_us=(LATER_S + HOUR_S) * US, size="1h")

    found = Evaluator(reference, None, alarm).evaluate(none, 0, window, "", parts=parts_of(reference, [], 1))

    assert (found.verdict, found.reason, found.calibration) == ("undecided", "no_rows", "verified")
    assert found.false_alarms_per_30d is None


# Tiers


@pytest.mark.parametrize(("scale", "tier"), [(1, "alarm"), (6, "major"), (24, "major")])
def test_what_is_surely_large_is_major_from_six_base_windows_on(scale, tier):
    found = judged(hours(scale, shift=2.0), replayed(), scale=scale)

    assert (found.verdict, found.tier) == ("drifted", tier)


def test_a_small_drift_that_is_surely_there_is_not_major():
    found = judged(hours(24, 400, shift=0.12), replayed(4, 200), scale=24)

    assert (found.verdict, found.tier) == ("drifted", "alarm")


# Spans that are no scale


def test_a_span_that_is_no_scale_is_calibrated_at_best_and_has_the_rate_of_its_length():
    found = judged(hours(24, shift=0.5), replayed(), scale=None)

    assert (found.verdict, found.calibration) == ("drifted", "calibrated")
    assert found.false_alarms_per_30d < 1e-3
    assert found.tier == "alarm"


def test_a_span_needs_a_pvalue_of_one_in_a_hundred_however_long_it_is():
    long, short = SpanBar(of_30_days=12.0), SpanBar(of_30_days=1 / 720)
    none = SpanBar(of_30_days=None)

    assert long.line(Policy(), 4) == none.line(Policy(), 4) == SPAN_PVALUE_MAX / 4
    assert short.line(Policy(), 4) == pytest.approx(1 / 720 / 4)
    assert short.line(Policy(budget_per_30d=0.5), 0) == pytest.approx(0.5 / 720)


def test_the_rate_of_a_span_is_its_strength_over_its_length():
    bar = SpanBar(of_30_days=0.1)
    pvalues, effects = np.array([[0.001, 0.5]]), np.array([[0.1, 0.1]])

    assert bar.rate(pvalues, effects, Policy()) == pytest.approx(0.02)
    assert bar.rate(np.full((1, 2), np.nan), effects, Policy()) is None
    assert SpanBar(of_30_days=None).rate(pvalues, effects, Policy()) is None


def test_rows_without_times_have_a_verdict_and_no_rate():
    found = judged(hours(24, shift=1.0), replayed(), scale=None, timeless=True)

    assert (found.verdict, found.false_alarms_per_30d, found.budget_per_30d) == ("drifted", None, None)
    assert found.calibration == "calibrated"


def test_a_window_that_ends_where_it_begins_has_no_rate():
    reference, alarm = replayed()
    whole, parts, window = window_of(hours(1), reference, scale=None)
    empty = replace(window, end_us=window.start_us)

    assert Evaluator(reference, None, alarm).evaluate(whole, 60, empty, "", parts=parts).false_alarms_per_30d is None


def test_where_half_a_deviation_would_not_show_nothing_is_called_stable():
    reference = weeks_reference(4, 60, noise=1.0)

    found = judged(hours(1), (reference, alarm_of(reference)), scale=None)

    assert found.columns["x"].verdict == "undecided"
    assert found.columns["x"].smallest_detectable_shift > 0.5


# Scales that the reference is too short for


def test_a_scale_that_the_reference_is_too_short_for_is_undecided_and_says_so():
    reference = reference_of_traffic(traffic(starts_of(5 * 24), 60))
    made = reference, alarm_of(reference)

    assert made[1].alarm.scales == (1, 6)
    for shift in (0.0, 3.0):
        found = judged(hours(24, shift=shift), made, scale=24)

        assert (found.verdict, found.reason) == ("undecided", "short_reference")
        assert (found.false_alarms_per_30d, found.tier) == (None, None)
        assert found.calibration == "calibrated"
    assert judged(hours(6, shift=3.0), made, scale=6).verdict == "drifted"


# Without a calibration


def test_without_time_order_rows_are_taken_for_independent():
    reference = replace(weeks_reference(), blocks=None)

    found = judged(hours(1, shift=3.0), (reference, None))

    assert (found.verdict, found.calibration) == ("drifted", "iid")
    assert (found.false_alarms_per_30d, found.budget_per_30d, found.tier) == (None, None, None)
    assert (found.season, found.replayed_false_alarms_per_30d) == (None, None)
    assert found.columns["x"].evidence == "omnibus"


def test_a_calibration_without_the_parts_of_a_window_is_of_no_use():
    reference, alarm = replayed()
    whole, _, window = window_of(hours(1), reference, scale=1)

    found = Evaluator(reference, None, alarm).evaluate(whole, 60, window, "")

    assert (found.calibration, found.false_alarms_per_30d) == ("iid", None)


@pytest.mark.parametrize(("provenance", "status"), [({}, "iid"), ({"learned": {"rows": 10_000}}, "collecting")])
def test_what_is_not_calibrated_says_what_to_do(provenance, status):
    reference = replace(weeks_reference(), blocks=None, provenance=provenance)
    evaluator = Evaluator(reference)

    assert evaluator.trust.status == status
    assert "reference" in evaluator.trust.advice
    assert judged(hours(1), (reference, None)).calibration == status


def test_what_is_calibrated_says_so_too():
    reference, alarm = replayed()

    assert Evaluator(reference, None, alarm).trust == alarm.trust(1.0)
