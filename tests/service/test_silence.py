"""Silence: recorded as one stretch, never taken for stability, told of once."""

from running import DAY, HOUR, MINUTE, MONDAY, TARGET, at, running, small_reference, small_rows, span_of, spread

BEGIN = at("2012-03-05")


async def live_until(site, until_us, **configuration):
    """A live source whose last row is a minute before a time."""
    site.targets = TARGET
    await site.restart()
    await site.configure(notify=["pager"], **configuration)
    await site.activate()
    site.clock.us = until_us
    await site.post(small_rows(spread(until_us - HOUR, until_us, 60)))
    await site.tick()


def told(notices):
    return [(notice["kind"], notice["at"][8:16], notice["sequence"]) for notice in notices]


@running("memory", "sqlite")
async def test_an_empty_stretch_is_one_record_that_grows(site):
    await live_until(site, MONDAY)
    seen = []
    for hour in range(1, 30):
        await site.go_to(MONDAY + hour * HOUR + 3 * MINUTE, step_us=20 * MINUTE)
        seen.append([span_of(one) for one in await site.evaluations("1h")][1:])

    assert seen == [[("2026-03-02T00:00:00Z", seen[k][0][1], "undecided", "silent")] for k in range(29)]
    assert [spans[0][1] for spans in seen[:2]] == ["2026-03-02T01:00:00Z", "2026-03-02T02:00:00Z"]
    assert seen[-1][0][1] == "2026-03-03T05:00:00Z"


@running()
async def test_silence_is_undecided_on_every_scale_and_no_decision(site):
    await live_until(site, MONDAY)
    await site.go_to(MONDAY + 40 * HOUR, step_us=HOUR)

    after = [one for one in await site.evaluations() if one["window"]["end"] > "2026-03-02T00:00:00Z"]

    assert {(one["verdict"], one["reason"], one["window"]["size"]) for one in after} == {("undecided", "silent", "1h")}
    assert [one["window"]["end"] for one in await site.decisions()] == ["2026-03-02T00:00:00Z"]


@running("memory", "sqlite")
async def test_a_gap_in_a_replay_is_one_record_however_long(site):
    await site.configure(scales=[1])
    await site.activate()
    await site.post(
        small_rows([*spread(BEGIN, BEGIN + HOUR, 60), *spread(BEGIN + 300 * DAY, BEGIN + 300 * DAY + HOUR, 60)])
    )
    await site.post_hours(BEGIN + 300 * DAY + HOUR, 2)

    await site.tick(sweep=True)

    assert [span_of(one)[:2] for one in await site.evaluations("1h")][:2] == [
        ("2012-03-05T00:00:00Z", "2012-03-05T01:00:00Z"),
        ("2012-03-05T01:00:00Z", "2012-12-30T00:00:00Z"),
    ]


@running()
async def test_a_record_of_silence_does_not_swallow_a_window_without_rows_of_its_reference(site):
    await site.configure(scales=[1])
    await site.activate()
    site.clock.us = MONDAY + HOUR
    await site.post(small_rows([MONDAY + 30 * MINUTE]))
    await site.activate(small_reference(seed=1), from_us=MONDAY + 45 * MINUTE)
    await site.go_to(MONDAY + 5 * HOUR)

    assert [(*span_of(one)[:2], one["reason"]) for one in await site.evaluations("1h")] == [
        ("2026-03-02T00:00:00Z", "2026-03-02T01:00:00Z", "refilling"),
        ("2026-03-02T01:00:00Z", "2026-03-02T04:00:00Z", "silent"),
    ]


# Notices


@running("memory", "sqlite")
async def test_silence_of_a_live_source_is_told_once_and_its_end_once(site):
    await live_until(site, MONDAY, policy={"silence_after": "2h"})
    await site.go_to(MONDAY + 119 * MINUTE - MINUTE, step_us=10 * MINUTE)
    assert await site.notices() == []

    await site.go_to(MONDAY + 6 * HOUR, step_us=10 * MINUTE)
    assert [kind for kind, *_ in told(await site.notices())] == ["silence"]

    await site.post(small_rows([site.clock.us]))
    await site.go_to(site.clock.us + HOUR, step_us=10 * MINUTE)

    silence, resumed = await site.notices()
    assert (silence["kind"], silence["sequence"], resumed["kind"], resumed["sequence"]) == ("silence", 1, "resumed", 2)
    assert silence["episode_id"] is resumed["episode_id"] is None


@running("memory", "sqlite")
async def test_silence_is_told_once_whatever_restarts_there_are(site):
    await live_until(site, MONDAY, policy={"silence_after": "2h"})
    for hour in range(6):
        await site.go_to(MONDAY + hour * HOUR + 30 * MINUTE)
        await site.restart()
    await site.post(small_rows([site.clock.us]))
    for _ in range(3):
        await site.restart()
        await site.tick()

    assert [kind for kind, *_ in told(await site.notices())] == ["silence", "resumed"]


@running()
async def test_each_silence_is_told_of(site):
    await live_until(site, MONDAY, policy={"silence_after": "2h"})
    for day in range(3):
        await site.go_to(MONDAY + day * DAY + 12 * HOUR, step_us=HOUR)
        await site.post(small_rows([site.clock.us]))
        await site.tick()

    assert [kind for kind, *_ in told(await site.notices())] == ["silence", "resumed"] * 3
    assert len({notice["id"] for notice in await site.notices()}) == 6


@running()
async def test_a_backlog_of_old_rows_is_no_end_of_silence_until_it_has_caught_up(site):
    await live_until(site, MONDAY, policy={"silence_after": "2h"})
    await site.go_to(MONDAY + 10 * HOUR, step_us=HOUR)

    await site.post(small_rows(spread(MONDAY, MONDAY + HOUR, 60)))
    await site.tick()
    assert [kind for kind, *_ in told(await site.notices())] == ["silence"]
    await site.post(small_rows(spread(MONDAY + HOUR, MONDAY + 10 * HOUR, 600)))
    await site.tick()

    assert [kind for kind, *_ in told(await site.notices())] == ["silence", "resumed"]


@running()
async def test_nobody_is_told_of_silence_who_did_not_ask_for_it(site):
    await live_until(site, MONDAY, policy={"silence_after": None})

    await site.go_to(MONDAY + 9 * DAY, step_us=DAY)

    assert await site.notices() == []


@running()
async def test_silence_leaves_the_alert_state_as_it_was(site):
    await live_until(site, MONDAY, policy={"silence_after": "2h"}, scales=[1])
    await site.post(small_rows(spread(MONDAY, MONDAY + MINUTE, 60), shift=3.0))
    await site.go_to(MONDAY + HOUR + 3 * MINUTE)
    (before,) = await site.episodes()

    await site.go_to(MONDAY + 30 * HOUR, step_us=HOUR)

    assert await site.episodes() == [before]
    assert before["state"] == "open"


# Metrics


@running("memory", "sqlite")
async def test_series_disappear_when_nothing_is_known_any_more_and_come_back_with_rows(site):
    await site.configure()
    await site.activate()
    site.clock.us = MONDAY
    await site.post_hours(MONDAY - 26 * HOUR, 26)
    await site.go_to(MONDAY + 3 * MINUTE)

    def series(lines, name):
        return {line.split('window="')[1].split('"')[0] for line in lines if line.startswith(name + "{")}

    assert series(await site.metrics(), "driftline_drift_statistic") == {"1h", "6h", "1d"}
    await site.go_to(MONDAY + HOUR + 3 * MINUTE)
    assert series(await site.metrics(), "driftline_drift_statistic") == set()
    assert series(await site.metrics(), "driftline_column_verdict") == set()

    await site.post(small_rows(spread(site.clock.us - 2 * MINUTE, site.clock.us, 60)))
    await site.tick()
    assert series(await site.metrics(), "driftline_drift_statistic") == {"1h"}
