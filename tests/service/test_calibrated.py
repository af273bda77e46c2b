"""The calibrated alarm of a reference: when its replay is made again, and how far it is trusted."""

import gzip
from dataclasses import replace
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weeks import (
    DAY_S,
    HOUR_S,
    MONDAY_S,
    US,
    UTC,
    alarm_of,
    reference_of_traffic,
    replayed,
    starts_of,
    traffic,
    weeks_reference,
)

from detectors.calibration.replay import Replay
from detectors.errors import ReferenceFormatError
from detectors.reference import Blocks, from_form, reference_id, to_form
from detectors.reference.promotion import promoted_reference
from service.calibration.alarms import alarms_of
from service.calibration.calibrated import calibrated, hours_of_week, with_replay
from service.calibration.settings import CalibrationSettings, settings_of
from service.domain.configuration import ModelConfiguration
from service.registry.reference_file import reference_bytes, reference_of_bytes

PLAIN = CalibrationSettings()
WINDOWS = 2 * 168  # of the smaller reference


def kept_replay():
    reference, _ = replayed(2, 40)
    return dict(reference.replay)


def folds_made(reference, settings=PLAIN, zone=UTC, base_s=HOUR_S):
    """How many folds were scored to have the alarm: none where the replay was there already."""
    scored = []

    def mapper(score, folds):
        for fold in folds:
            scored.append(fold)
            yield score(fold)

    made = calibrated(reference, settings, zone, base_s, mapper)
    assert made is not None
    return len(scored)


def assert_same_replay(one, other):
    assert one.tables.keys() == other.tables.keys()
    for scale, table in one.tables.items():
        assert table.evidence.tolist() == other.tables[scale].evidence.tolist()
        assert table.independent == other.tables[scale].independent
    np.testing.assert_array_equal(one.rates, other.rates)


# The replay that is kept


def test_a_kept_replay_is_used_and_gives_the_same_alarm_bit_for_bit():
    reference, made = replayed()

    assert folds_made(reference) == 0
    assert_same_replay(made.alarm.replay, alarm_of(reference).alarm.replay)


def test_a_kept_replay_survives_its_file():
    reference, made = replayed()

    read = reference_of_bytes(reference_bytes(reference, compressed=True), "r")

    assert folds_made(read) == 0
    assert_same_replay(made.alarm.replay, alarm_of(read).alarm.replay)


def test_the_replay_is_no_part_of_what_a_reference_is():
    reference, _ = replayed()

    assert reference.replay is not None
    assert reference_id(reference) == reference_id(weeks_reference()) == reference_id(replace(reference, replay={}))


def test_files_from_before_there_were_replays_are_read():
    form = to_form(weeks_reference())
    del form["replay"]

    read = from_form(form)

    assert read.replay is None
    assert folds_made(read) > 0


def test_a_replay_that_is_no_object_is_refused():
    with pytest.raises(ReferenceFormatError, match="replay"):
        from_form(to_form(weeks_reference()) | {"replay": [1]})


@pytest.mark.parametrize(
    "other",
    [
        {"scales": (1, 6)},
        {"scales": (1, 6, 24, 48)},
        {"effect_threshold": 0.01},
        {"rows_min": 31},
        {"season": "hour_of_day"},
        {"weekend": (4, 5)},
        {"time_zone": "Europe/Berlin"},
    ],
)
def test_a_replay_with_other_settings_is_made_again(other):
    reference, _ = replayed(2, 40)

    assert folds_made(reference, replace(PLAIN, **other)) > 0


def with_other(**changes):
    return kept_replay() | changes


def with_table(scale, **changes):
    document = kept_replay()
    tables = {name: dict(table) for name, table in document["tables"].items()}
    tables[scale] |= changes
    return document | {"tables": tables}


GARBAGE = {
    "nothing": {},
    "another format": with_other(format=2),
    "no format": {name: value for name, value in kept_replay().items() if name != "format"},
    "another season": with_other(season="hour_of_day"),
    "another reference": with_other(reference_id="sha256:" + "0" * 64),
    "no settings": with_other(settings=None),
    "settings of a wrong type": with_other(settings=[1, 2]),
    "no tables": with_other(tables={}),
    "tables of a wrong type": with_other(tables=[[0.1]]),
    "tables of text": with_other(tables="1"),
    "a table missing": with_other(tables={"1": kept_replay()["tables"]["1"]}),
    "evidence missing": with_table("1", evidence=[]),
    "evidence of text": with_table("1", evidence=["0.5"]),
    "evidence with null": with_table("1", evidence=[None, 0.5]),
    "evidence with a truth": with_table("1", evidence=[True, 0.5]),
    "evidence of lists": with_table("6", evidence=[[0.5], [0.5]]),
    "evidence that is ragged": with_table("6", evidence=[[0.5], [0.5, 0.1]]),
    "evidence that is an object": with_table("6", evidence={"a": 1}),
    "evidence that is a number": with_table("6", evidence=0.5),
    "evidence that is NaN": with_table("24", evidence=[float("nan"), 0.5]),
    "evidence that is negative": with_table("24", evidence=[-0.1, 0.5]),
    "evidence beyond one": with_table("24", evidence=[0.5, 1.5]),
    "evidence that is infinite": with_table("24", evidence=[0.5, float("inf")]),
    "evidence beyond a double": with_table("1", evidence=[10**400]),
    "more evidence than windows": with_table("1", evidence=[1.0] * 100_000),
    "no independent windows": with_table("1", independent=None),
    "independent windows of text": with_table("1", independent="672"),
    "independent windows that are NaN": with_table("1", independent=float("nan")),
    "independent windows that are negative": with_table("1", independent=-1.0),
    "independent windows that are infinite": with_table("1", independent=float("inf")),
    "independent windows beyond a double": with_table("1", independent=10**400),
    "more independent windows than windows": with_table("24", independent=1e6),
    "no rates": with_other(rates=None),
    "rates of too few windows": with_other(rates=[100.0] * (WINDOWS - 1)),
    "rates of too many windows": with_other(rates=[100.0] * 100_000),
    "rates in lists": with_other(rates=[[100.0] * WINDOWS]),
    "rates of text": with_other(rates="x" * WINDOWS),
    "rates that are negative": with_other(rates=[-1.0] * WINDOWS),
    "rates that are zero": with_other(rates=[0.0] * WINDOWS),
    "rates that are infinite": with_other(rates=[float("inf")] * WINDOWS),
    "rates beyond a double": with_other(rates=[10**400] * WINDOWS),
    "rates by name": with_other(rates={str(number): 1.0 for number in range(WINDOWS)}),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_a_replay_that_is_garbage_is_made_again(name):
    reference, made = replayed(2, 40)

    found = alarm_of(replace(reference, replay=GARBAGE[name]))

    assert_same_replay(made.alarm.replay, found.alarm.replay)
    assert found.trust(1.0) == made.trust(1.0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None)
@given(place=st.sampled_from(["format", "settings", "season", "reference_id", "tables", "1", "6", "rates"]), what=JSON)
def test_whatever_stands_in_a_replay_nothing_breaks(place, what):
    reference, made = replayed(1, 40)
    document = dict(reference.replay)
    if place in {"1", "6"}:
        document["tables"] = document["tables"] | {place: what}
    else:
        document[place] = what
    if document == reference.replay:
        return

    assert_same_replay(made.alarm.replay, alarm_of(replace(reference, replay=document)).alarm.replay)


def test_a_promoted_reference_does_not_keep_the_replay_of_the_one_before():
    # It did: a span of as many base windows was judged by what another one had shown.
    reference, _ = replayed(2, 40)
    bins = reference.layout.n_bins_total
    windows = [(start_s, 10, np.ones(bins, dtype=np.int64)) for start_s in starts_of(WINDOWS).tolist()]

    promoted = promoted_reference(reference, windows, version="2", created_at=reference.created_at, provenance={})

    assert promoted.replay is None
    assert folds_made(replace(promoted, replay=reference.replay)) > 0


def test_with_a_replay_progress_is_told_up_to_the_end():
    told = []

    reference, made = with_replay(weeks_reference(2, 40), PLAIN, UTC, told.append)

    assert isinstance(made.alarm.replay, Replay)
    assert reference.replay is not None
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("windows", [7, 12, 40])
def test_a_reference_too_short_to_be_replayed_keeps_no_replay(windows):
    reference = reference_of_traffic(traffic(starts_of(windows), 40))

    kept, made = with_replay(reference, PLAIN, UTC)

    assert kept.replay is None
    assert (made is None) == (windows < 8)


# References that cannot be calibrated


def test_without_time_order_there_is_no_alarm():
    assert alarm_of(replace(weeks_reference(), blocks=None)) is None


def test_with_other_base_windows_there_is_no_alarm():
    assert alarm_of(weeks_reference(), base_s=600) is None


def test_without_windows_there_is_no_alarm():
    none = np.empty(0, dtype=np.int64)
    blocks = Blocks(starts_s=none, rows=none, counts=none.reshape(0, weeks_reference().segment_starts.size))

    assert alarm_of(replace(weeks_reference(), blocks=blocks)) is None


def test_a_clock_that_was_wrong_by_centuries_costs_the_alarm_and_not_the_memory():
    blocks = weeks_reference().blocks
    starts_s = blocks.starts_s.copy()
    starts_s[-1] = 1 << 61

    assert alarm_of(replace(weeks_reference(), blocks=replace(blocks, starts_s=starts_s))) is None


def test_windows_that_do_not_lie_on_the_grid_break_nothing():
    blocks = weeks_reference(2, 40).blocks
    for starts_s in (blocks.starts_s + 17, MONDAY_S + np.arange(blocks.starts_s.size) * 1000):
        crooked = replace(weeks_reference(2, 40), blocks=replace(blocks, starts_s=starts_s))

        made = alarm_of(crooked)

        assert made.trust(1.0).status in {"verified", "calibrated"}


@pytest.mark.parametrize("which", ["rows", "counts"])
def test_a_file_whose_windows_have_negative_counts_is_refused(which):
    reference = weeks_reference(2, 40)
    blocks = replace(reference.blocks, **{which: -getattr(reference.blocks, which)})
    form = to_form(replace(reference, blocks=blocks))

    with pytest.raises(ReferenceFormatError, match="none negative"):
        from_form(form)


# Trust


def test_enough_windows_and_a_quiet_replay_are_verified():
    _, made = replayed(5, noise=0.1)

    trust = made.trust(1.0)

    assert (trust.status, trust.advice) == ("verified", None)
    assert (trust.windows, trust.replayed_days) == (840, 35.0)
    assert trust.replayed_per_30d == trust.replayed_alarms * 30 / 35


def test_the_replay_is_judged_by_the_budget_that_is_asked_for():
    _, made = replayed()
    rates = made.alarm.replay.rates

    for budget in (0.1, 1.0, 30.0, 500.0):
        assert made.trust(budget).replayed_alarms == len(alarms_of(rates, budget, HOUR_S))


def with_rates(made, rates):
    found = replace(made.alarm.replay, rates=np.asarray(rates, dtype=np.float64))
    return replace_alarm(made, found)


def replace_alarm(made, found):
    import copy  # noqa: PLC0415 - an alarm has no other way to be given another replay

    alarm = copy.copy(made.alarm)
    alarm.replay = found
    return replace(made, alarm=alarm)


def spikes(windows, *places):
    rates = np.full(windows, 500.0)
    rates[list(places)] = 0.5
    return rates


@pytest.mark.parametrize(
    ("alarms", "budget", "status"),
    [(0, 1.0, "verified"), (2, 1.0, "verified"), (3, 1.0, "calibrated"), (3, 2.0, "verified"), (1, 0.5, "verified")],
)
def test_a_replay_above_twice_the_budget_is_not_verified(alarms, budget, status):
    _, made = replayed(5, noise=0.1)

    trust = with_rates(made, spikes(840, *range(0, alarms * 100, 100))).trust(budget)

    assert (trust.status, trust.replayed_alarms) == (status, alarms)
    assert (trust.advice is None) == (status == "verified")


@pytest.mark.parametrize(("alarms", "status"), [(1, "verified"), (2, "calibrated")])
def test_one_alarm_in_a_replay_of_a_week_is_chance(alarms, status):
    # It is 4.3 in 30 days, and cannot be less.
    made = alarm_of(weeks_reference(1))

    trust = with_rates(made, spikes(168, *range(0, 100 * alarms, 100))).trust(1.0)

    assert trust.replayed_per_30d > 4
    assert trust.status == status
    assert status == "verified" or "raised 2 alarms" in trust.advice


def test_with_fewer_than_sixty_windows_nothing_is_verified():
    trust = alarm_of(reference_of_traffic(traffic(starts_of(59), 60))).trust(1.0)

    assert (trust.status, trust.windows, trust.replayed_per_30d) == ("calibrated", 59, 0.0)
    assert "60 base windows; it has 59" in trust.advice


def test_many_windows_of_two_days_cannot_be_replayed_and_the_advice_says_days():
    # It said "at least 60 base windows; it has 576".
    starts_s = starts_of(576, base_s=300)
    reference = reference_of_traffic(traffic(starts_s, 10), base_s=300, window="5m")

    made = alarm_of(reference, base_s=300)

    assert made.alarm.replay is None
    assert made.trust(1.0).status == "calibrated"
    assert made.trust(1.0).replayed_per_30d is None
    assert "more days" in made.trust(1.0).advice


def test_days_without_rows_were_not_replayed():
    # They counted, and made the replayed rate of a reference with a gap too small.
    starts_s = np.concatenate([starts_of(14 * 24), starts_of(14 * 24, first_s=MONDAY_S + 60 * DAY_S)])
    made = alarm_of(reference_of_traffic(traffic(starts_s, 30)))

    assert made.trust(1.0).replayed_days == 28.0


def test_hours_without_rows_are_part_of_their_day():
    starts_s = starts_of(28 * 24)
    by_day = starts_s[(starts_s - MONDAY_S) // HOUR_S % 24 < 12]

    assert (
        alarm_of(reference_of_traffic(traffic(by_day, 30))).trust(1.0).replayed_days == 27.5
    )  # the last one ends at noon


def test_trust_without_days_has_no_rate():
    trust = replayed()[1].trust(1.0)

    assert replace(trust, replayed_days=0.0).replayed_per_30d is None


# Alarms of a history


@pytest.mark.parametrize(
    ("rates", "budget", "opened"),
    [
        ([500.0] * 10, 1.0, []),
        ([1.0], 1.0, [0]),
        ([0.5, 0.5, 500.0, 0.5], 1.0, [0]),
        # Six clear windows in a row end it; a day later another one may open.
        ([0.5] + [500.0] * 6 + [0.5] * 24 + [500.0, 0.5], 1.0, [0, 32]),
        ([0.5] + [500.0] * 6 + [0.5] * 24 + [0.5], 1.0, [0, 31]),
        # What is not ten times the budget is not clear.
        ([0.5] + [9.0] * 60 + [0.5], 1.0, [0]),
        # What could not be tested neither ends an alarm nor keeps it up.
        ([0.5] + [500.0] * 3 + [float("nan")] * 30 + [500.0] * 3 + [0.5] * 25, 1.0, [0, 61]),
        ([float("nan")] * 5, 1.0, []),
        # A quarter of what no evidence gives is clear, however large the budget is.
        ([90.0] + [181.0] * 6 + [90.0] * 25, 100.0, [0, 31]),
        ([90.0] + [179.0] * 6 + [90.0] * 25, 100.0, [0]),
    ],
)
def test_alarms_open_once_an_episode(rates, budget, opened):
    assert alarms_of(np.array(rates), budget, HOUR_S) == opened


# Settings and hours


def test_the_settings_are_those_of_the_model():
    configuration = ModelConfiguration.model_validate(
        {
            "time_zone": "Asia/Dubai",
            "scales": [1, 6, 6, 1],
            "policy": {
                "weekend": ["sat", "fri", "fri"],
                "season": "hour_of_week",
                "effect_threshold": 0.02,
                "rows_min": 50,
            },
        }
    )

    assert settings_of(configuration) == CalibrationSettings(
        scales=(1, 6),
        weekend=(4, 5),
        season="hour_of_week",
        effect_threshold=0.02,
        rows_min=50,
        time_zone="Asia/Dubai",
    )


def test_those_of_a_plain_model_are_those_that_references_are_built_with():
    assert settings_of(ModelConfiguration()) == CalibrationSettings()


def test_hours_of_the_week_begin_on_monday():
    starts_us = np.array([MONDAY_S, MONDAY_S + HOUR_S, MONDAY_S - HOUR_S], dtype=np.int64) * US

    assert hours_of_week(starts_us, UTC).tolist() == [0, 1, 167]


def test_hours_of_the_week_follow_the_wall_clock_through_the_change():
    berlin = ZoneInfo("Europe/Berlin")
    winter, summer = 1_774_339_200, 1_774_944_000  # 2026-03-24 and 2026-03-31, 08:00 UTC, both Tuesdays

    assert hours_of_week(np.array([winter, summer], dtype=np.int64) * US, berlin).tolist() == [24 + 9, 24 + 10]


def night_and_day(starts_s, zone):
    hour = hours_of_week(starts_s * US, zone) % 24
    return np.where((hour >= 8) & (hour < 20), 2.0, 0.0)


def test_a_season_by_the_wall_clock_is_found_through_the_change():
    berlin = ZoneInfo("Europe/Berlin")
    starts_s = starts_of(6 * 168, first_s=1_772_409_600)  # from 2026-03-02 on; the clock goes forward on the 29th
    rows = traffic(starts_s, 60, level=night_and_day(starts_s, berlin))
    reference = reference_of_traffic(rows, time_zone="Europe/Berlin")

    local, universal = alarm_of(reference, zone=berlin), alarm_of(reference)

    assert local.trust(1.0).season == "hour_of_day"
    assert local.trust(1.0).status == "verified"
    # An hour in summer that is day by the wall clock, and was night by UTC for a half of the reference.
    eight = local.alarm.past.strata(hours_of_week(np.array([1_782_540_000 * US]), berlin))
    assert eight.tolist() == [8]
    variance = {
        name: np.nanmin(made.alarm.judge(*one_window(reference, starts_s, 29 * 24 + 6), 1).effective_rows)
        for name, made in (("local", local), ("universal", universal))
    }
    assert variance["local"] >= variance["universal"]


def one_window(reference, starts_s, number):
    segments = reference.blocks.counts[number : number + 1]
    return segments, hours_of_week(starts_s[number : number + 1] * US, UTC)


def test_days_of_the_weekend_are_those_that_are_configured():
    starts_s = starts_of(6 * 168)
    weekday = (starts_s - MONDAY_S) // DAY_S % 7
    hour = (starts_s - MONDAY_S) // HOUR_S % 24
    level = np.where(np.isin(weekday, (4, 5)), 1.5, 0.0) * np.where(hour < 12, 1.0, -1.0)
    reference = reference_of_traffic(traffic(starts_s, 60, level=level))

    theirs = alarm_of(reference, settings=CalibrationSettings(weekend=(4, 5)))
    ours = alarm_of(reference, settings=CalibrationSettings())

    assert theirs.trust(1.0).season == "hour_of_day_type"
    friday = np.array([4 * 24 + 3])
    assert theirs.alarm.past.strata(friday).tolist() == [24 + 3]
    assert ours.trust(1.0).season == "hour_of_week"


@pytest.mark.parametrize("season", ["none", "hour_of_day", "hour_of_day_type"])
def test_a_season_that_is_configured_is_used(season):
    assert alarm_of(weeks_reference(), settings=CalibrationSettings(season=season)).trust(1.0).season == season


def test_daily_windows_have_a_season_of_days():
    starts_s = starts_of(26 * 7, base_s=DAY_S)
    level = (starts_s - MONDAY_S) // DAY_S % 7 * 0.5
    rows = traffic(starts_s, 200, level=level)
    reference = reference_of_traffic(rows, base_s=DAY_S, window="1d")

    made = alarm_of(reference, base_s=DAY_S)

    assert made.trust(1.0).season == "day_of_week"
    assert made.trust(1.0).status == "verified"
    assert made.trust(1.0).replayed_days == 182.0


def test_a_kept_replay_makes_the_file_little_larger():
    reference, _ = replayed()
    plain = reference_bytes(weeks_reference(), compressed=False)
    whole = reference_bytes(reference, compressed=False)

    assert msgspec.json.decode(whole)["replay"]["format"] == 1
    assert len(gzip.compress(whole)) < 2 * len(gzip.compress(plain))
