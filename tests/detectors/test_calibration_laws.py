"""Laws of the calibration, and the windows and references that break careless arithmetic."""

from dataclasses import fields, replace

import numpy as np
import pytest
from calibrating import HOUR_S, drawn, hours_of, past_of, reference_of_blocks, starts_of

from detectors.calibration.alarm import Alarm, smallest_shift
from detectors.calibration.calibrated import Calibration
from detectors.calibration.past import Past
from detectors.calibration.pvalues import Findings
from detectors.calibration.replay import replay
from detectors.calibration.seasons import SEASONS, candidates

SHAPES = [("numeric", 10), ("categorical", 6), ("numeric", 3), ("categorical", 2)]
DAYS = 12
NAMES = [field.name for field in fields(Findings)]


def streams(seed=0, n_windows=24 * DAYS, rows=(100, 2000), shapes=SHAPES, **kept):
    rng = np.random.default_rng(seed)
    rows = rng.integers(*rows, n_windows)
    levels = 0.1 * rng.standard_normal((n_windows, len(shapes)))
    return drawn(rng, shapes, rows, levels=levels, **kept)


def judged(past, segments, scale, *, hours=None):
    hours = hours_of(starts_of(segments.shape[0])) if hours is None else hours
    groups = past.traits.groups(segments)
    return Calibration(past).window(groups, past.strata(hours), lambda fit: fit.variability[scale])


def same(one, other, **kept):
    kept = {"rtol": 1e-6, "atol": 1e-12, "equal_nan": True} | kept
    for name in NAMES:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), err_msg=name, **kept)


def alarm_of(past, *, with_replay=True):
    found = replay(past, effect_threshold=0.005) if with_replay else None
    return Alarm(past, found, len(SHAPES))


@pytest.mark.parametrize("season", ["none", "hour_of_day"])
@pytest.mark.parametrize("scale", [1, 6, 24])
def test_a_window_on_its_own_is_that_of_rolling(season, scale):
    past = past_of(SHAPES, streams(), season=season)
    segments = streams(1, 60, rows=(0, 900))
    segments[[5, 30, 31]] = 0
    groups, of_window = past.traits.groups(segments), past.strata(hours_of(starts_of(60)))
    ends = np.arange(scale - 1, 60)
    calibration = Calibration(past)

    rolling = calibration.rolling(groups, of_window, scale=scale, ends=ends)

    for place, end in enumerate(ends.tolist()):
        window = slice(end + 1 - scale, end + 1)
        alone = calibration.window(groups[window], of_window[window], lambda fit: fit.variability[scale])
        some = Findings(**{name: getattr(rolling, name)[place : place + 1] for name in NAMES})
        same(some, alone, rtol=1e-5, atol=1e-10)


def test_base_windows_without_rows_may_be_left_out():
    past = past_of(SHAPES, streams(), season="hour_of_day")
    segments, hours = streams(1, 24), hours_of(starts_of(24))
    segments[[3, 4, 20]] = 0
    filled = np.flatnonzero(segments.any(axis=1))

    same(judged(past, segments, 24, hours=hours), judged(past, segments[filled], 24, hours=hours[filled]))


def test_without_a_season_a_window_is_the_sum_of_its_base_windows():
    past = past_of(SHAPES, streams(), season="none")
    one, other = streams(1, 6), streams(2, 6)

    merged = judged(past, one + other, 6)

    same(merged, judged(past, (one + other).sum(axis=0, keepdims=True), 6, hours=np.zeros(1, dtype=np.int64)))
    np.testing.assert_array_equal(past.traits.groups(one) + past.traits.groups(other), past.traits.groups(one + other))


def test_the_order_of_base_windows_does_not_matter():
    past = past_of(SHAPES, streams(), season="hour_of_day")
    segments, hours = streams(1, 24), hours_of(starts_of(24))
    order = np.random.default_rng(0).permutation(24)

    same(judged(past, segments, 24, hours=hours), judged(past, segments[order], 24, hours=hours[order]))


@pytest.mark.parametrize("season", ["none", "hour_of_day"])
def test_a_held_out_day_is_as_if_it_had_never_been(season):
    segments, starts = streams(n_windows=24 * 14), starts_of(24 * 14)
    past = past_of(SHAPES, segments, starts_s=starts, season=season)
    held_out = np.arange(starts.size) // 24 == 5
    rest = Past(
        # The groups stay those of the whole reference, which chose them; the rest alone is calibrated on.
        replace(
            reference_of_blocks(SHAPES, segments, starts),
            blocks=replace(
                reference_of_blocks(SHAPES, segments, starts).blocks,
                starts_s=starts[~held_out],
                rows=segments[~held_out, :12].sum(axis=1),
                counts=segments[~held_out],
            ),
        ),
        hours_of(starts[~held_out]),
        base_s=HOUR_S,
        scales=(1, 6, 24),
        rows_min=30,
        season=season,
    )
    for basis in range(len(past.bases)):
        without, scratch = past.history(basis).expectation(held_out), rest.history(basis).expectation()
        np.testing.assert_allclose(without.means, scratch.means, rtol=0, atol=1e-13)
        one, other = past.fit(basis, held_out), rest.fit(basis)
        for scale in (1, 6, 24):
            a, b = one.variability[scale], other.variability[scale]
            repeats_differ = season != "none"  # of the whole past: a day less is not counted
            factor = 15 / 13 * 12 / 14 if repeats_differ else 1.0
            np.testing.assert_allclose(a.block_variance, b.block_variance * factor, rtol=1e-9, atol=1e-15)
            np.testing.assert_allclose(a.block_rows, b.block_rows)
            np.testing.assert_allclose(a.lag, b.lag, atol=1e-2 if repeats_differ else 1e-6)
            assert a.n_blocks == b.n_blocks
        turned = (
            np.abs(one.directions(np.eye(one.traits.sizes.sum()))),
            np.abs(other.directions(np.eye(one.traits.sizes.sum()))),
        )
        np.testing.assert_allclose(*turned, atol=1e-6)


def test_permuting_columns_permutes_the_results():
    segments, now = streams(), streams(1, 6)
    order = [2, 0, 3, 1]
    bounds = np.cumsum([0, *(size + 2 for _, size in SHAPES)])
    columns = np.concatenate([np.arange(bounds[k], bounds[k + 1]) for k in order])
    plain = alarm_of(past_of(SHAPES, segments))
    moved = alarm_of(past_of([SHAPES[k] for k in order], segments[:, columns]))

    one = plain.judge(now, np.arange(6), 6)
    other = moved.judge(now[:, columns], np.arange(6), 6)

    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_allclose(
            a[..., order].astype(float), b.astype(float), rtol=1e-6, atol=1e-9, err_msg=field.name
        )
    np.testing.assert_allclose(plain.replay.rates, moved.replay.rates, rtol=1e-4)


@pytest.mark.parametrize("broken", ["empty", "all missing", "all invalid", "one group", "billions"])
def test_a_broken_column_harms_no_other(broken):
    segments, now = streams(), streams(1, 6)
    first = slice(0, SHAPES[0][1] + 2)
    alarm = alarm_of(past_of(SHAPES, segments), with_replay=False)
    expected = alarm.judge(now, np.arange(6), 6)
    now[:, first] = 0
    if broken != "empty":
        place = {"all missing": -2, "all invalid": -1, "one group": 3, "billions": 0}[broken]
        now[:, first][:, place] = 10**12 if broken == "billions" else 500

    found = alarm.judge(now, np.arange(6), 6)

    for field in fields(found):
        a, b = getattr(expected, field.name), getattr(found, field.name)
        np.testing.assert_array_equal(a[..., 1:], b[..., 1:], err_msg=field.name)
    assert np.isnan(found.pvalues[:, 0]).all() if broken == "empty" else np.nanmin(found.pvalues[:, 0]) < 1e-6


def windows_of_trouble():
    empty = np.zeros((24, sum(size + 2 for _, size in SHAPES)), dtype=np.int64)
    firsts = np.cumsum([0, *(size + 2 for _, size in SHAPES[:-1])])
    one_group, all_missing, one_row = empty.copy(), empty.copy(), empty.copy()
    one_group[:, firsts] = 1000
    all_missing[:, firsts + [size for _, size in SHAPES]] = 1000
    one_row[0, firsts] = 1
    yield "no base windows", empty[:0]
    yield "empty", empty
    yield "one row", one_row
    yield "one group", one_group
    yield "one group of 1e12 rows an hour", one_group * 10**9
    yield "all missing", all_missing
    yield "29 rows", np.concatenate([one_row * 29, empty[1:]])
    yield "1e12 rows an hour", streams(1, 24) * 10**9


TROUBLE = dict(windows_of_trouble())


@pytest.mark.parametrize("scale", [1, 6, 24])
@pytest.mark.parametrize("name", TROUBLE)
def test_windows_of_trouble_give_numbers_or_nan_without_a_warning(name, scale):
    past = past_of(SHAPES, streams())
    alarm = alarm_of(past, with_replay=False)
    window = TROUBLE[name][:scale]

    found = alarm.judge(window, np.arange(window.shape[0]), scale)

    assert found.known.all()
    nothing = name in {"no base windows", "empty", "one row", "29 rows"}
    assert np.isnan(found.pvalues).all() == nothing
    for field in fields(found):
        values = getattr(found, field.name).astype(float)
        assert not np.isinf(values).any(), field.name
    assert not (found.pvalues < 0).any()
    assert not (found.pvalues > 1).any()
    assert not (found.effects < 0).any()
    rate = alarm.rate(found.pvalues.ravel(), found.effects.ravel(), 0.005, scale)
    assert np.isnan(rate) == nothing
    shift = smallest_shift(found, np.array([kind == "numeric" for kind, _ in SHAPES]), 1e-4, 0.005)
    assert not np.isinf(shift).any()


def two_groups(rng, n_windows, share, rows=1000):
    ones = rng.binomial(rows, share, n_windows)
    nothing = np.zeros(n_windows, dtype=np.int64)
    return np.stack([rows - ones, ones, nothing, nothing], axis=1)


def references_of_trouble():
    rng = np.random.default_rng(0)
    plain = streams(2)
    yield "plain", SHAPES, plain
    yield "no columns", [], np.empty((240, 0), dtype=np.int64)
    yield "a column of one group", [("numeric", 1)], streams(3, shapes=[("numeric", 1)])
    yield "a column of one group, never missing", [("numeric", 1)], np.tile([100, 0, 0], (240, 1))
    yield "a column that is all missing", [("numeric", 4)], np.tile([0, 0, 0, 0, 100, 0], (240, 1))
    yield "groups that nothing is in", [("numeric", 6)], np.tile([0, 50, 0, 60, 0, 0, 3, 0], (240, 1))
    yield "no variance at all", SHAPES, np.repeat(plain[:1], 240, axis=0)
    yield "1e12 rows a window", SHAPES, plain * 10**9
    yield "too few rows at any scale", SHAPES, streams(4, rows=(1, 2))
    yield "too few rows but for a day", SHAPES, streams(4, rows=(3, 6))
    yield "two levels", [("categorical", 2)], two_groups(rng, 240, 0.3)
    yield "two levels, one of them rare", [("categorical", 2)], two_groups(rng, 240, 0.001)
    yield "two levels, few rows", [("numeric", 2)], two_groups(rng, 240, 0.05, rows=30)
    yield "one window", SHAPES, plain[:1]
    yield "two windows", SHAPES, plain[:2]
    yield "eight windows", SHAPES, plain[:8]
    yield "twenty windows", SHAPES, plain[:20]


@pytest.mark.parametrize(
    ("shapes", "segments"), [pytest.param(*case[1:], id=case[0]) for case in references_of_trouble()]
)
def test_references_of_trouble_are_calibrated_and_replayed_without_a_warning(shapes, segments):
    past = past_of(shapes, segments)
    found = replay(past, effect_threshold=0.005)
    alarm = Alarm(past, found, len(shapes))
    numeric = np.array([kind == "numeric" for kind, _ in shapes], dtype=np.bool_)

    long_enough = tuple(scale for scale in (1, 6, 24) if segments.shape[0] // scale >= 8)
    few_rows = segments.sum() < 20 * segments.shape[0] * len(shapes)
    assert set(alarm.scales) <= set(long_enough) if few_rows else alarm.scales == long_enough
    for scale in alarm.scales:
        judgement = alarm.judge(segments[:scale], np.arange(scale), scale)
        pvalues, effects = judgement.pvalues.ravel(), judgement.effects.ravel()
        rate = alarm.rate(pvalues, effects, 0.005, scale)
        line = alarm.line(1.0, max(1, np.count_nonzero(~np.isnan(pvalues))), scale)

        assert not (pvalues < 1e-4).any()
        assert not rate < 1
        assert 0 <= line <= 1
        assert not np.isinf(smallest_shift(judgement, numeric, line, 0.005)).any()
        assert (judgement.test_groups >= 0).all()
    if found is not None:
        assert not np.isinf(found.rates).any()


def test_a_trait_that_merges_to_a_single_group_is_left_alone():
    """30 rows of a rare level merge to nothing to compare; that crashed."""
    rng = np.random.default_rng(0)
    shapes = [("categorical", 2), ("numeric", 4)]
    segments = np.concatenate([two_groups(rng, 240, 0.02, rows=200), streams(1, 240, shapes=shapes[1:])], axis=1)
    now = segments[:1].copy()
    now[0, :4] = [40, 2, 0, 0]

    found = judged(past_of(shapes, segments), now, 1)

    assert np.isnan(found.pvalue[0, 0])
    assert np.isfinite(found.pvalue[0, 1])


@pytest.mark.parametrize("season", SEASONS)
@pytest.mark.parametrize("base_s", [300, 3600, 21_600, 86_400, 604_800])
def test_any_season_goes_with_any_base_window(season, base_s):
    n_windows = {300: 576, 3600: 680, 21_600: 130, 86_400: 84, 604_800: 60}[base_s]
    shapes = SHAPES[:2]
    segments = streams(5, n_windows, rows=(300, 400), shapes=shapes)

    past = past_of(shapes, segments, base_s=base_s, scales=(1, 6), season=season)
    found = replay(past, effect_threshold=0.005)
    judgement = Alarm(past, found, 2).judge(segments[-6:], hours_of(starts_of(6, base_s, n_windows)), 6)

    assert np.isfinite(judgement.pvalues).all()
    assert judgement.pvalues.min() > 1e-4
    assert found is None or np.isfinite(found.rates[5:]).all()


def test_seasons_are_found_where_they_are():
    rng = np.random.default_rng(6)
    for base_s, season, n_windows in (
        (3600, "hour_of_day", 24 * 28),
        (3600, "hour_of_day_type", 24 * 42),
        (3600, "hour_of_week", 24 * 42),
        (86_400, "day_type", 70),
        (86_400, "day_of_week", 70),
        (3600, "none", 24 * 28),
        (604_800, "none", 60),
    ):
        starts = starts_of(n_windows, base_s)
        hour = hours_of(starts)
        day = hour // 24
        level = {
            "none": np.zeros(n_windows),
            "hour_of_day": np.sin(hour % 24 / 24 * 2 * np.pi),
            "hour_of_day_type": np.where(day >= 5, -1, 1) * np.sin(hour % 24 / 24 * 2 * np.pi),
            "hour_of_week": rng.choice([-1, 1], 168)[hour],
            "day_type": np.where(day >= 5, 1, -1),
            "day_of_week": rng.choice([-1, 1], 7)[day] * np.arange(1, 8)[day] / 4,
        }[season]
        segments = drawn(rng, SHAPES[:2], np.full(n_windows, 500), levels=0.5 * np.stack([level, level], axis=1))

        assert past_of(SHAPES[:2], segments, base_s=base_s, starts_s=starts).season == season
        assert season in candidates(base_s)


@pytest.mark.parametrize("season", ["hour_of_week", "day_of_week"])
def test_a_season_without_repeats_is_not_used_even_when_asked_for(season):
    """Windows that are alone in their stratum differ from nothing: what they naturally differ by came out as zero."""
    three_weeks = streams(7, 24 * 21)

    past = past_of(SHAPES, three_weeks, season=season)

    assert past.season == "none"
    assert past.repeats == 0


def test_a_shift_at_night_is_seen_by_the_hour_of_day():
    rng = np.random.default_rng(8)
    shapes, hour = [("numeric", 10)], np.arange(24 * 28) % 24
    level = np.where(hour < 6, -1.0, 1.0)[:, None]
    segments = drawn(rng, shapes, np.full(hour.size, 1000), levels=level)
    night_like_noon = drawn(rng, shapes, np.array([1000]), levels=np.ones((1, 1)))
    seasonal, blind = (past_of(shapes, segments, season=season) for season in (None, "none"))

    assert seasonal.season == "hour_of_day"
    assert judged(seasonal, night_like_noon, 1, hours=np.array([3])).pvalue[0, 0] < 1e-12
    assert judged(seasonal, night_like_noon, 1, hours=np.array([12])).pvalue[0, 0] > 1e-3
    assert judged(blind, night_like_noon, 1, hours=np.array([3])).pvalue[0, 0] > 1e-3


@pytest.mark.parametrize("rows_min", [1, 30, 31, 200])
def test_windows_with_fewer_rows_than_wanted_say_nothing(rows_min):
    past = past_of(SHAPES, streams(), rows_min=rows_min)
    for rows in (rows_min - 1, rows_min):
        now = drawn(np.random.default_rng(9), SHAPES, np.array([rows]), missing=0.0, invalid=0.0)

        found = judged(past, now, 1)

        assert np.isnan(found.pvalue[0, :4]).all() == (rows < rows_min)


def test_a_reference_without_blocks_cannot_be_calibrated():
    segments = streams()
    reference = replace(reference_of_blocks(SHAPES, segments, starts_of(segments.shape[0])), blocks=None)

    with pytest.raises(ValueError, match="wanted a reference with blocks"):
        Past(reference, np.zeros(0, dtype=np.int64), base_s=3600, scales=(1,), rows_min=30)


def test_inputs_are_not_touched():
    segments, now = streams(), streams(1, 6)
    kept = segments.copy(), now.copy()

    alarm_of(past_of(SHAPES, segments)).judge(now, np.arange(6), 6)

    np.testing.assert_array_equal(kept[0], segments)
    np.testing.assert_array_equal(kept[1], now)


def test_a_trait_that_hardly_any_block_has_rows_of_is_not_tested():
    """No block had enough rows of it, so its windows had no natural variability at all."""
    segments = streams(n_windows=240)
    segments[3:, :10] = 0  # the first column has values in three windows only
    segments[:3, :10] += 200
    past = past_of(SHAPES, segments)
    now = streams(1, 24)

    for scale in past.scales:
        found = judged(past, now[:scale], scale)
        assert np.isnan(found.pvalue[0, 0]), scale
        assert np.isnan(found.effect[0, 0]), scale
        assert np.isfinite(found.pvalue[0, 1:]).all(), scale


def test_a_calibration_that_all_is_held_out_of_says_nothing():
    past = past_of(SHAPES, streams())
    groups = past.traits.groups(streams(1, 1))

    found = Calibration(past, np.ones(24 * DAYS, dtype=np.bool_)).window(
        groups, past.strata(np.zeros(1, dtype=np.int64)), lambda fit: fit.variability[1]
    )

    assert np.isnan(found.pvalue).all()


def test_the_rare_one_of_two_values_is_tested_in_long_windows():
    rng = np.random.default_rng(10)
    shapes = [("categorical", 2)]
    past = past_of(shapes, two_groups(rng, 24 * 28, 0.001))

    for share, drifts in ((0.001, False), (0.003, True)):
        found = judged(past, two_groups(rng, 24, share), 24)
        assert (found.pvalue[0, 0] < 1e-6) == drifts
