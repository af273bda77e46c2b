"""The time below which no more rows are waited for: pure, and as a running service lives it."""

from hypothesis import given
from hypothesis import strategies as st
from running import DAY, HOUR, MINUTE, MONDAY, S, at, running, small_rows, span_of, spread

from service.ports import Progress
from service.windows.watermark import Lateness, is_live, watermark_us

LATENESS = Lateness(lateness_us=2 * MINUTE, live_horizon_us=HOUR)


def progress(newest_us, advanced_at_us):
    return Progress(
        model="m",
        version="1",
        newest_us=newest_us,
        advanced_at_us=advanced_at_us,
        oldest_us=newest_us,
        evaluated_until_us=None,
        dirty={},
    )


def test_the_watermark_follows_the_newest_row_at_a_distance():
    assert watermark_us(progress(MONDAY, MONDAY), MONDAY, LATENESS) == MONDAY - 2 * MINUTE


def test_the_watermark_of_a_silent_live_source_goes_on_with_the_clock():
    delayed = progress(MONDAY - 10 * MINUTE, MONDAY)

    assert watermark_us(delayed, MONDAY + 5 * HOUR, LATENESS) == MONDAY + 5 * HOUR - 10 * MINUTE - 2 * MINUTE


def test_the_watermark_of_a_replay_stays_where_the_rows_are():
    replay = progress(at("2012-03-05"), MONDAY)

    assert not is_live(replay, LATENESS)
    assert watermark_us(replay, MONDAY + 5 * HOUR, LATENESS) == at("2012-03-05") - 2 * MINUTE


def test_a_source_is_live_up_to_the_horizon():
    assert is_live(progress(MONDAY - HOUR, MONDAY), LATENESS)
    assert not is_live(progress(MONDAY - HOUR - 1, MONDAY), LATENESS)


def test_a_clock_that_was_set_back_does_not_set_back_the_watermark():
    assert watermark_us(progress(MONDAY, MONDAY), MONDAY - HOUR, LATENESS) == MONDAY - 2 * MINUTE


@given(st.integers(-DAY, HOUR), st.integers(0, DAY), st.integers(0, DAY))
def test_the_watermark_never_goes_back_while_time_goes_on(behind_us, waited_us, more_us):
    some = progress(MONDAY + behind_us, MONDAY)

    before = watermark_us(some, MONDAY + waited_us, LATENESS)

    assert watermark_us(some, MONDAY + waited_us + more_us, LATENESS) >= before


# A running service


@running("memory", "sqlite")
async def test_a_window_closes_when_the_watermark_has_passed_its_end(site):
    await site.configure()
    await site.activate()
    site.clock.us = MONDAY + HOUR
    await site.post(small_rows(spread(MONDAY, MONDAY + HOUR, 100)))
    await site.tick()

    await site.go_to(MONDAY + HOUR + 2 * MINUTE - 30 * S)
    assert await site.evaluations("1h") == []
    await site.go_to(MONDAY + HOUR + 3 * MINUTE)

    assert [span_of(one)[:2] for one in await site.evaluations("1h")] == [
        ("2026-03-02T00:00:00Z", "2026-03-02T01:00:00Z")
    ]


@running()
async def test_a_live_source_that_falls_silent_has_its_last_window_closed_by_the_clock(site):
    await site.configure()
    await site.activate()
    site.clock.us = MONDAY + 30 * MINUTE
    await site.post(small_rows(spread(MONDAY, MONDAY + 30 * MINUTE, 100)))

    await site.go_to(MONDAY + 3 * HOUR + 5 * MINUTE)

    first, silent = await site.evaluations("1h")
    assert (first["rows"], first["verdict"]) == (100, "stable")
    assert span_of(silent) == ("2026-03-02T01:00:00Z", "2026-03-02T03:00:00Z", "undecided", "silent")


@running()
async def test_a_source_with_a_constant_delay_has_no_late_rows(site):
    await site.configure()
    await site.activate()
    answers = []
    for minute in range(0, 4 * 60, 2):
        now_us = site.clock.us = MONDAY + minute * MINUTE
        answers.append(await site.post(small_rows([now_us - 10 * MINUTE, now_us - 9 * MINUTE])))
        await site.tick()

    assert {answer.late for answer in answers} == {0}
    assert {one["revision"] for one in await site.evaluations()} == {1}
    assert len([one for one in await site.evaluations("1h") if one["rows"] == 60]) == 3


@running()
async def test_a_replay_of_2012_neither_jumps_to_today_nor_looks_silent(site):
    await site.configure(notify=["pager"])
    await site.activate()
    begin = at("2012-03-05")
    for day in range(3):
        await site.post_hours(begin + day * DAY, 24)
        # However long the next body takes to come.
        await site.go_to(site.clock.us + 2 * DAY, step_us=DAY)

    windows = await site.evaluations("1h")

    assert [one["window"]["start"][:13] for one in windows] == [
        f"2012-03-{5 + hour // 24:02}T{hour % 24:02}" for hour in range(71)
    ]
    assert {one["reason"] for one in windows} == {None}
    assert [notice for notice in await site.notices() if notice["kind"] in {"silence", "resumed"}] == []


@running()
async def test_silence_within_a_replay_is_recorded_up_to_the_next_rows_only(site):
    await site.configure()
    await site.activate()
    begin = at("2012-03-05")
    await site.post_hours(begin, 2)
    await site.go_to(MONDAY + 10 * DAY, step_us=5 * DAY)
    assert len(await site.evaluations("1h")) == 1

    await site.post_hours(begin + 9 * HOUR, 2)
    await site.tick()

    assert [span_of(one)[:2] for one in await site.evaluations("1h") if one["reason"] == "silent"] == [
        ("2012-03-05T02:00:00Z", "2012-03-05T09:00:00Z")
    ]


@running()
async def test_what_was_evaluated_stays_so_when_a_source_comes_back_with_old_rows(site):
    await site.configure()
    await site.activate()
    site.clock.us = MONDAY + HOUR
    await site.post(small_rows(spread(MONDAY, MONDAY + HOUR, 100)))
    await site.go_to(MONDAY + 6 * HOUR + 5 * MINUTE)
    until_us = (await site.progress()).evaluated_until_us

    answer = await site.post(small_rows(spread(MONDAY + HOUR, MONDAY + 2 * HOUR, 100)))
    await site.tick()

    assert until_us == MONDAY + 6 * HOUR == (await site.progress()).evaluated_until_us
    assert answer.late == 100
    assert [span_of(one)[:2] for one in await site.evaluations("1h")] == [
        ("2026-03-02T00:00:00Z", "2026-03-02T01:00:00Z"),
        ("2026-03-02T01:00:00Z", "2026-03-02T02:00:00Z"),
        ("2026-03-02T02:00:00Z", "2026-03-02T06:00:00Z"),
    ]
