from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.binning import ColumnValues, DictionaryValues, TextValues
from service.errors import DeclarationError
from service.windows.times import (
    event_times,
    format_duration,
    format_instant,
    parse_duration_s,
    parse_instant,
    window_end,
    window_starts,
)
from service.windows.written_times import of_cell, of_cells
from service.windows.zones import MAX_US, MIN_US, local_of_utc, utc_of_local

UTC_ZONE = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
ZONES = [
    UTC_ZONE,
    NEW_YORK,
    ZoneInfo("Africa/Monrovia"),  # an offset of -0:44:30 until 1972
    ZoneInfo("America/Havana"),  # gap at midnight
    ZoneInfo("America/Sao_Paulo"),  # gap at midnight, until 2019
    ZoneInfo("America/St_Johns"),  # goes back at 0:01, until 2011
    ZoneInfo("Asia/Kathmandu"),
    ZoneInfo("Australia/Lord_Howe"),  # half an hour of summer time
    ZoneInfo("Pacific/Apia"),  # without 2011-12-30
]
DAY_US = 86_400_000_000
US = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

zones = st.sampled_from(ZONES)
near_days = st.integers(-20_000, 40_000)
near_us = st.integers(-60 * 365 * DAY_US, 100 * 365 * DAY_US)
naive_datetimes = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))


def us_of(moment: datetime) -> int:
    return (moment - EPOCH) // US


def one(value: object, zone: ZoneInfo = UTC_ZONE) -> int | None:
    """Event time of one Python object."""
    column = np.empty(1, dtype=np.object_)
    column[0] = value
    times_us, readable = event_times(ColumnValues(values=column), zoned=False, time_zone=zone)
    return int(times_us[0]) if readable[0] else None


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3_600), ("1d", 86_400), ("7d", 604_800), ("90s", 90)]
)
def test_durations_are_a_number_and_a_unit(text, seconds):
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0s", "1", "h", "1 h", "1M", "1mo", "1w", "-1h", "1.5h", "1h30m", "\u0661h", "99999d"]
)
def test_other_durations_are_refused(text):
    with pytest.raises(DeclarationError, match="is not a duration"):
        parse_duration_s(text)


@given(st.integers(1, 36_525 * 86_400))
def test_durations_read_as_they_are_written(seconds):
    assert parse_duration_s(format_duration(seconds)) == seconds


def test_durations_are_written_in_the_largest_unit_that_divides_them():
    assert [format_duration(s) for s in (45, 90, 120, 5_400, 7_200, 86_400, 604_800)] == [
        "45s", "90s", "2m", "90m", "2h", "1d", "7d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2012-03-05T06:00:00Z", "2012-03-05T06:00:00Z"),
        ("2012-03-05t06:00:00z", "2012-03-05T06:00:00Z"),
        ("2012-03-05T06:00:00.25+02:00", "2012-03-05T04:00:00.250000Z"),
        ("2012-03-05 06:00:00 UTC", "2012-03-05T06:00:00Z"),
        ("2012-03-05T06:00-05", "2012-03-05T11:00:00Z"),
        ("2012-03-05T06:00:00,5-0530", "2012-03-05T11:30:00.500000Z"),
        ("2012-03-05T06:00", "2012-03-05T11:00:00Z"),
        ("2012-03-05", "2012-03-05T05:00:00Z"),
        (" 2012-07-05 ", "2012-07-05T04:00:00Z"),
        ("1330927200", "2012-03-05T06:00:00Z"),
        ("1330927200.5", "2012-03-05T06:00:00.500000Z"),
        ("1330927200000", "2012-03-05T06:00:00Z"),
        ("-1", "1969-12-31T23:59:59Z"),
    ],
)
def test_instants_are_read_in_the_zone_they_have_or_are_given(text, expected):
    assert format_instant(parse_instant(text, NEW_YORK)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "today", "NaT", "yesterday", "2012", "201203", "20120305", "2012-3-5", "2012-02-30", "2012-W10", "nan", "inf",
        "1e400", "1_000_000_000_000", "2012-03-05T24:00:00", "2012-03-05T06", "2012-03-05T06:00:00+25:00", "12/31/2012",
        "2012-03-05T06:00:00+02:60", "0000-01-01", "9999-12-31T23:00:00-05:00", "0001-01-01T00:00+01:00", "9" * 30, "1e", "1-2",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text):
    with pytest.raises(DeclarationError, match="is not a time"):
        parse_instant(text, NEW_YORK)


@given(near_us)
def test_instants_read_as_they_are_written(time_us):
    assert parse_instant(format_instant(time_us), NEW_YORK) == time_us


@given(st.lists(naive_datetimes | st.datetimes(datetime(2011, 1, 1), datetime(2012, 12, 31)), max_size=30), zones)
def test_wall_clock_times_are_what_zoneinfo_says_row_by_row(locals_, zone):
    expected = [us_of(local.replace(tzinfo=zone, fold=0)) for local in locals_]
    array = np.array(locals_, dtype="datetime64[us]")

    times_us, readable = event_times(ColumnValues(values=array), zoned=False, time_zone=zone)

    assert readable.all()
    assert times_us.tolist() == expected
    assert utc_of_local(array.view(np.int64), zone).tolist() == expected


@given(st.lists(near_us, max_size=30), zones)
def test_instants_have_the_wall_clock_that_zoneinfo_says_row_by_row(instants, zone):
    naive = [(EPOCH + us * US).astimezone(zone).replace(tzinfo=UTC) for us in instants]

    assert local_of_utc(np.array(instants, dtype=np.int64), zone).tolist() == [us_of(local) for local in naive]


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_every_quarter_around_a_change_of_clocks_is_what_zoneinfo_says(zone):
    starts = [
        datetime(1972, 1, 5),
        datetime(2010, 11, 5),
        datetime(2011, 12, 28),
        datetime(2012, 3, 9),
        datetime(2018, 11, 2),
    ]
    locals_ = [start + timedelta(minutes=7.5 * i) for start in starts for i in range(600)]

    times_us, _ = event_times(
        ColumnValues(values=np.array(locals_, dtype="datetime64[us]")), zoned=False, time_zone=zone
    )

    assert times_us.tolist() == [us_of(local.replace(tzinfo=zone, fold=0)) for local in locals_]


def test_instants_in_utc_are_not_shifted():
    array = np.array(["2012-03-05T06:00:00"], dtype="datetime64[us]")

    assert event_times(ColumnValues(values=array), zoned=True, time_zone=NEW_YORK)[0].tolist() == [1330927200_000_000]
    assert event_times(ColumnValues(values=array), zoned=False, time_zone=NEW_YORK)[0].tolist() == [1330945200_000_000]


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "25s", "ms", "us", "ns", "ps"])
def test_all_units_of_datetime64_are_read(unit):
    array = np.array([0, np.iinfo(np.int64).min]).view(f"datetime64[{unit}]")

    times_us, readable = event_times(ColumnValues(values=array), zoned=True, time_zone=UTC_ZONE)

    assert readable.tolist() == [True, False]
    assert times_us.tolist() == [0, 0]


@pytest.mark.parametrize("unit", ["Y", "M", "D", "s", "ms", "us"])
def test_times_outside_the_years_1_to_9999_are_unreadable(unit):
    years = np.array([-(2**62), 2**62, 8031 if unit == "Y" else 0], dtype=np.int64).view(f"datetime64[{unit}]")

    assert event_times(ColumnValues(values=years), zoned=False, time_zone=NEW_YORK)[1].tolist() == [
        False,
        False,
        unit != "Y",
    ]


def test_datetime64_without_a_unit_holds_only_nat():
    assert not event_times(ColumnValues(values=np.array(["NaT"], dtype="datetime64")), zoned=False, time_zone=UTC_ZONE)[
        1
    ].any()


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("as_", [np.int64, np.uint64, np.float64, list, str])
def test_numbers_are_seconds_unless_they_are_too_large_for_that(factor, as_):
    seconds = [1_330_927_200, 1_500_000_000, 4_000_000_000]
    numbers = [s * factor for s in seconds]
    if as_ is str:
        values = TextValues(cells=[str(n) for n in numbers])
    elif as_ is list:
        values = ColumnValues(values=np.array(numbers, dtype=np.object_))
    else:
        values = ColumnValues(values=np.array(numbers, dtype=as_))

    times_us, readable = event_times(values, zoned=False, time_zone=NEW_YORK)

    assert readable.all()
    assert times_us.tolist() == [s * 10**6 for s in seconds]


def test_small_integers_and_float32_are_seconds():
    assert event_times(ColumnValues(values=np.array([-5, 5], dtype=np.int16)), zoned=False, time_zone=NEW_YORK)[
        0
    ].tolist() == [
        -5_000_000,
        5_000_000,
    ]
    assert event_times(ColumnValues(values=np.array([0.5], dtype=np.float32)), zoned=False, time_zone=NEW_YORK)[
        0
    ].tolist() == [500_000]


@given(st.floats(-6e10, 1e11))
def test_fractions_of_seconds_are_rounded_to_the_microsecond(seconds):
    assert one(seconds) == round(seconds * 1e6)


@pytest.mark.parametrize(
    "value",
    [
        None, float("nan"), float("inf"), -float("inf"), -1e11, 1e300, 10**30, True, np.True_, b"2012-03-05", [1], {}, "x", "",
        Decimal("nan"), Decimal("sNaN"), np.datetime64("NaT"), timedelta(1),
    ],
)  # fmt: skip
def test_objects_that_are_no_time_are_unreadable(value):
    assert one(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "2012-03-05T06:00:00Z", "2012-03-05 01:00", "1330927200", "1330927200.0", 1330927200, 1330927200.0, Decimal(1330927200),
        np.int32(1330927200), np.float64(1330927200), np.datetime64("2012-03-05T01:00"), datetime(2012, 3, 5, 1),
        datetime(2012, 3, 5, 6, tzinfo=UTC), datetime(2012, 3, 5, 8, tzinfo=timezone(timedelta(hours=2))), np.str_("1330927200"),
    ],
)  # fmt: skip
def test_objects_of_every_type_are_read(value):
    assert one(value, NEW_YORK) == 1330927200_000_000


def test_dates_are_local_midnight():
    assert one(date(2012, 3, 5), NEW_YORK) == 1330923600_000_000


def test_the_nat_of_pandas_is_unreadable():
    class NaTType(datetime):
        def __ne__(self, other):
            return True

        __hash__ = None

    assert one(NaTType(2012, 1, 1)) is None


def test_types_may_be_mixed_within_a_column():
    values = np.array(["2012-03-05T06:00:00Z", 1330927200, None, 1330927200.5], dtype=np.object_)

    times_us, readable = event_times(ColumnValues(values=values), zoned=False, time_zone=UTC_ZONE)

    assert readable.tolist() == [True, True, False, True]
    assert times_us.tolist() == [1330927200_000_000, 1330927200_000_000, 0, 1330927200_500_000]


def test_columns_of_floats_as_objects_are_read_as_floats():
    values = np.array([1.5, float("nan")], dtype=np.object_)

    assert event_times(ColumnValues(values=values), zoned=False, time_zone=UTC_ZONE)[0].tolist() == [1_500_000, 0]


def test_missing_and_absent_rows_are_unreadable():
    values = ColumnValues(
        values=np.array([1, 2, 3]), missing=np.array([False, True, False]), absent=np.array([False, False, True])
    )

    times_us, readable = event_times(values, zoned=False, time_zone=UTC_ZONE)

    assert readable.tolist() == [True, False, False]
    assert times_us.tolist() == [1_000_000, 0, 0]


def test_absent_rows_of_text_and_of_codes_are_unreadable():
    absent = np.array([False, True])
    codes = np.array([0, 0])

    for values in (
        TextValues(cells=["5", "5"], absent=absent),
        DictionaryValues(codes=codes, dictionary=["5"], absent=absent),
    ):
        assert event_times(values, zoned=False, time_zone=UTC_ZONE)[1].tolist() == [True, False]


def test_booleans_bytes_and_durations_are_unreadable():
    for array in (np.array([True]), np.array([b"2012-01-01"]), np.array([1], dtype="timedelta64[s]")):
        assert not event_times(ColumnValues(values=array), zoned=False, time_zone=UTC_ZONE)[1].any()


def test_entries_of_a_dictionary_are_read_once_each():
    values = DictionaryValues(codes=np.array([1, 0, -1, 1], dtype=np.int8), dictionary=["x", "2012-03-05T06:00:00Z"])

    times_us, readable = event_times(values, zoned=False, time_zone=UTC_ZONE)

    assert readable.tolist() == [True, False, False, True]
    assert times_us.tolist() == [1330927200_000_000, 0, 0, 1330927200_000_000]


def test_no_rows_have_no_times():
    for values in (
        TextValues(cells=[]),
        ColumnValues(values=np.array([], dtype=np.object_)),
        ColumnValues(values=np.array([], dtype="M8[s]")),
    ):
        assert event_times(values, zoned=False, time_zone=NEW_YORK)[0].shape == (0,)


FORMS: list[Callable[[datetime], str]] = [
    lambda t: t.date().isoformat(),
    lambda t: t.isoformat(timespec="minutes"),
    lambda t: t.isoformat(timespec="seconds"),
    lambda t: t.isoformat(sep=" ", timespec="milliseconds"),
    lambda t: t.isoformat(timespec="microseconds"),
    lambda t: t.isoformat(timespec="microseconds") + "999",
    lambda t: t.isoformat(timespec="seconds") + "Z",
    lambda t: t.isoformat(sep=" ", timespec="microseconds") + "+05:30",
    lambda t: t.isoformat(sep=" ", timespec="minutes") + " -0800",
]


@given(st.lists(naive_datetimes, min_size=1, max_size=20), st.sampled_from(FORMS), zones)
def test_text_of_one_form_is_read_as_the_standard_library_reads_it(moments, form, zone):
    cells = [form(moment) for moment in moments]
    parsed = [datetime.fromisoformat(cell.replace(" -", "-")) for cell in cells]
    expected = [us_of(moment if moment.tzinfo else moment.replace(tzinfo=zone, fold=0)) for moment in parsed]

    times_us, readable = event_times(TextValues(cells=cells), zoned=False, time_zone=zone)

    assert readable.all()
    assert times_us.tolist() == expected


near_times = st.text(alphabet="0123456789-:T .Z+", min_size=10, max_size=20) | st.from_regex(
    r"\A[0-9]{4}-[0-9]{2}-[0-3][0-9]T[0-2][0-9]:[0-6][0-9](Z|\+[0-9]{2}:[0-9]{2})?\Z"
)
numbers = st.integers(-(10**20), 10**20).map(str) | st.floats().map(str)


@given(
    st.lists(near_times, max_size=5) | st.lists(numbers, max_size=5) | st.lists(near_times | numbers | st.text()), zones
)
def test_a_column_of_text_means_what_its_cells_mean(cells, zone):
    assert of_cells(cells, zone).tolist() == [of_cell(cell, zone) for cell in cells]


@pytest.mark.parametrize(
    "odd",
    ["NaT", "now", "2012-02-30", "2012-13-01", "2012-01-0x", "2012-01-1", "2012/01/01", "2012-01-01Z", "a" * 1000],
)
def test_one_unreadable_cell_spoils_only_itself(odd):
    cells = ["2012-01-01", odd, "2012-01-02"]

    _, readable = event_times(TextValues(cells=cells), zoned=False, time_zone=UTC_ZONE)

    assert readable.tolist() == [True, odd == "2012-01-01Z", True]


def test_a_column_in_an_impossible_zone_is_unreadable():
    cells = ["2012-03-05T06:00:00+25:00"] * 2

    assert not event_times(TextValues(cells=cells), zoned=False, time_zone=UTC_ZONE)[1].any()


@given(st.lists(st.integers(MIN_US, MAX_US), max_size=20), st.sampled_from([1, 30, 300, 3_600, 21_600, 43_200]), zones)
def test_windows_within_a_day_are_aligned_to_utc(times, size_s, zone):
    starts = window_starts(np.array(times, dtype=np.int64), size_s, zone)

    assert starts.tolist() == [t // (size_s * 10**6) * size_s * 10**6 for t in times]
    for start in starts.tolist():
        assert window_end(start, size_s, zone) == start + size_s * 10**6


@given(st.lists(near_us, min_size=1, max_size=20), st.sampled_from([1, 2, 7, 28]), zones)
def test_every_time_falls_in_exactly_one_window_of_days(times, days, zone):
    size_s = days * 86_400

    starts = window_starts(np.array(times, dtype=np.int64), size_s, zone).tolist()

    for time, start in zip(times, starts, strict=True):
        end = window_end(start, size_s, zone)
        assert start <= time < end
        assert window_starts(np.array([start, end - 1, end]), size_s, zone).tolist() == [start, start, end]


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("days", [1, 3, 7])
def test_windows_hold_around_every_change_of_clocks(zone, days):
    first = us_of(datetime(2010, 10, 25, tzinfo=UTC))
    times = first + 450_000_000 * np.arange(80_000, dtype=np.int64)  # 14 months in steps of 7.5 minutes

    starts = window_starts(times, days * 86_400, zone)

    assert (np.diff(starts) >= 0).all()
    assert (starts <= times).all()
    distinct = np.unique(starts)
    assert [window_end(start, days * 86_400, zone) for start in distinct[:-1].tolist()] == distinct[1:].tolist()


def test_day_windows_start_at_local_midnight_and_weeks_on_monday():
    moment = datetime(2012, 3, 7, 23, 30, tzinfo=NEW_YORK)
    time = np.array([us_of(moment)])

    assert window_starts(time, 86_400, NEW_YORK).tolist() == [us_of(datetime(2012, 3, 7, tzinfo=NEW_YORK))]
    assert window_starts(time, 604_800, NEW_YORK).tolist() == [us_of(datetime(2012, 3, 5, tzinfo=NEW_YORK))]


@pytest.mark.parametrize(("monday", "hours"), [((2012, 3, 5), 167), ((2012, 10, 29), 169), ((2012, 6, 4), 168)])
def test_a_week_in_which_clocks_change_has_another_length(monday, hours):
    start = us_of(datetime(*monday, tzinfo=NEW_YORK))

    assert window_end(start, 604_800, NEW_YORK) - start == hours * 3_600_000_000


@pytest.mark.parametrize("size_s", [0, -1, 7, 50_000, 86_401, 129_600])
def test_other_window_sizes_are_refused(size_s):
    with pytest.raises(DeclarationError, match="divides a day"):
        window_starts(np.array([0]), size_s, UTC_ZONE)
    with pytest.raises(DeclarationError, match="divides a day"):
        window_end(0, size_s, UTC_ZONE)
