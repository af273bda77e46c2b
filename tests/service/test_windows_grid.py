"""Panes and base windows of a model, and the spans that end where a base window does."""

from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from running import DAY, HOUR, MINUTE, at

from service.errors import DeclarationError
from service.windows.grid import Grid
from service.windows.times import window_starts

UTC = ZoneInfo("UTC")
HOUR_S, DAY_S = 3600, 86_400
ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kathmandu",  # a quarter past
    "Australia/Lord_Howe",  # changes by half an hour
    "America/Sao_Paulo",  # had days without a midnight
    "America/St_Johns",  # had days with two
    "Pacific/Apia",  # had no 30th of December 2011
)


def grid(base_s=HOUR_S, *, pane_s=300, zone="UTC"):
    return Grid(pane_s=pane_s, base_s=base_s, time_zone=ZoneInfo(zone))


def hours_of(some, start_us):
    return (some.base_end(start_us) - start_us) / HOUR


def test_a_day_has_23_hours_where_clocks_go_forward_and_25_where_they_go_back():
    for zone, spring, autumn in (
        ("America/New_York", "2026-03-08T05:00", "2026-11-01T04:00"),
        ("Europe/Berlin", "2026-03-28T23:00", "2026-10-24T22:00"),
    ):
        days = grid(DAY_S, zone=zone)

        assert [days.base_start(at(day) + 7 * HOUR) for day in (spring, autumn)] == [at(spring), at(autumn)]
        assert [hours_of(days, at(day)) for day in (spring, autumn)] == [23, 25]


def test_weeks_begin_on_monday_at_local_midnight():
    weeks = grid(7 * DAY_S, zone="America/New_York")

    start = weeks.base_start(at("2026-03-11T12:00"))

    assert start == at("2026-03-09T04:00")
    assert weeks.base_start(start - 1) == at("2026-03-02T05:00")
    assert hours_of(weeks, at("2026-03-02T05:00")) == 167


def test_hours_are_the_same_hours_everywhere():
    some = at("2026-03-08T07:30")

    assert grid(zone="Asia/Kathmandu").base_start(some) == at("2026-03-08T07:00")


def test_a_span_of_days_ends_and_begins_at_midnights_whatever_their_hours():
    days = grid(DAY_S, zone="America/New_York")
    end = at("2026-03-10T04:00")

    assert days.back(end, 3) == at("2026-03-07T05:00")
    assert days.back(at("2026-03-07T05:00"), -3) == end


def test_a_span_of_days_ends_rightly_where_a_day_begins_at_one():
    days = grid(DAY_S, zone="America/Sao_Paulo")
    begins_at_one = at("2018-11-04T03:00")

    assert days.base_start(begins_at_one) == begins_at_one
    assert days.back(begins_at_one, 1) == at("2018-11-03T03:00")
    assert days.back(at("2018-11-05T02:00"), 1) == begins_at_one


def test_spans_of_hours_are_so_many_hours():
    assert grid().back(at("2026-03-08T12:00"), 6) == at("2026-03-08T06:00")
    assert grid().back(at("2026-03-08T06:00"), -6) == at("2026-03-08T12:00")


def test_ends_are_those_of_each_window_in_turn():
    days = grid(DAY_S, zone="Europe/Berlin")
    first, last = at("2026-03-27T23:00"), at("2026-03-30T22:00")

    assert list(days.ends(first, last)) == [at("2026-03-28T23:00"), at("2026-03-29T22:00"), last]
    assert list(days.ends(first, first)) == []


def test_the_window_that_the_watermark_stands_in_is_open():
    assert grid().closed_until(at("2026-03-08T12:00")) == at("2026-03-08T12:00")
    assert grid().closed_until(at("2026-03-08T12:00") - 1) == at("2026-03-08T11:00")


@pytest.mark.parametrize("size_s", [0, 7000, DAY_S + 1])
def test_windows_that_neither_divide_a_day_nor_are_whole_days_are_refused(size_s):
    with pytest.raises(DeclarationError):
        window_starts(np.array([0]), size_s, UTC)


TIMES = st.integers(at("1972-01-01") // MINUTE, at("2037-12-31") // MINUTE).map(lambda minute: minute * MINUTE)
SIZES = st.sampled_from([900, HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S])


@given(TIMES, SIZES, st.sampled_from(ZONES), st.integers(0, 59_999_999))
def test_every_time_lies_in_exactly_one_window(minute_us, size_s, zone, more_us):
    some, time_us = grid(size_s, zone=zone), minute_us + more_us

    start = some.base_start(time_us)
    end = some.base_end(start)

    assert start <= time_us < end
    assert some.base_start(start) == some.base_start(end - 1) == start
    assert some.base_start(start - 1) < start
    assert some.base_end(some.base_start(start - 1)) == start
    assert some.base_start(end) == end


@given(TIMES, SIZES, st.sampled_from(ZONES))
def test_a_pane_lies_in_the_window_of_its_rows(time_us, size_s, zone):
    some = grid(size_s, zone=zone, pane_s=300)

    pane = int(some.pane_starts(np.array([time_us]))[0])

    assert pane <= time_us < pane + 5 * MINUTE
    assert some.base_start(pane) == some.base_start(time_us)
    assert some.base_start(pane + 5 * MINUTE - 1) == some.base_start(time_us)


@given(TIMES, SIZES, st.sampled_from(ZONES), st.integers(1, 40))
@example(at("2011-12-30T10:00"), DAY_S, "Pacific/Apia", 1)
@example(at("2012-01-02T10:00"), DAY_S, "Pacific/Apia", 5)
def test_going_back_takes_as_many_windows_as_were_asked_for(time_us, size_s, zone, windows):
    some = grid(size_s, zone=zone)
    end = some.base_start(time_us)

    start = some.back(end, windows)
    ends = list(some.ends(start, end))

    assert len(ends) == windows
    assert ends[-1] == end
    assert some.back(start, -windows) == end


@given(TIMES, SIZES, st.sampled_from(ZONES))
@example(at("2011-12-28T12:00"), DAY_S, "Pacific/Apia")
def test_windows_are_numbered_without_gaps_but_for_days_that_were_left_out(time_us, size_s, zone):
    some = grid(size_s, zone=zone)
    end = some.base_end(some.base_start(time_us))
    following = some.base_end(end)

    left_out = zone == "Pacific/Apia" and size_s == DAY_S and following == at("2011-12-30T10:00")

    assert some.number(following) == some.number(end) + (2 if left_out else 1)


@given(st.integers(-DAY, DAY), SIZES)
def test_windows_before_the_epoch_are_windows_too(time_us, size_s):
    some = grid(size_s)

    start = some.base_start(time_us)

    assert start <= time_us < some.base_end(start)
