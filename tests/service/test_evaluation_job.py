"""Base windows become evaluations, once each and in order; evaluations become decisions, episodes and notices."""

import asyncio

import pytest
from running import DAY, HOUR, MINUTE, MONDAY, TARGET, S, at, run, running, small_rows, span_of, spread, timeless
from stores import evaluated


async def live_hours(site, begin_us, shifts, *, n=60, restart_every=None, sweep=False):
    """Hours of a live source, one body and one tick each, each hour with its shift; where they end."""
    for number, shift in enumerate(shifts):
        start_us = begin_us + number * HOUR
        site.clock.us = start_us + HOUR
        await site.post(small_rows(spread(start_us, start_us + HOUR, n), shift=shift, seed=start_us // HOUR))
        await site.go_to(start_us + HOUR + 3 * MINUTE, sweep=sweep)
        if restart_every is not None and number % restart_every == 0:
            await site.restart()
    return begin_us + len(shifts) * HOUR


# Once, and in order


@running("memory", "sqlite")
async def test_each_window_of_a_replay_is_evaluated_once_and_in_order(site):
    await site.configure()
    await site.activate()
    begin, hours = at("2012-03-05"), 5 * 24
    for day in range(5):
        await site.post_hours(begin + day * DAY, 24, n=13)
        if day % 2 == 0:
            await site.tick(sweep=True)
    await site.tick(sweep=True)

    rows = await evaluated(site.store)
    windows = [row for row in rows if row.size == "1h"]

    assert [row.start_us for row in windows] == [begin + hour * HOUR for hour in range(hours - 1)]
    assert {row.revision for row in rows} == {1}
    assert {row.rows for row in windows} == {13}
    # Decisions come in the order they were made, evaluations by their windows.
    assert [one["window"]["end"] for one in await site.decisions()] == [
        one["window"]["end"] for one in await site.evaluations("1h")
    ]


@running()
async def test_a_tick_with_nothing_due_writes_nothing(site):
    await site.configure()
    await site.activate()
    await site.post_hours(MONDAY - 5 * HOUR, 3)
    await site.tick()
    before = await evaluated(site.store)

    for _ in range(3):
        await site.tick(sweep=True)

    assert await evaluated(site.store) == before


@running()
async def test_a_body_of_a_year_is_taken_whole_and_evaluated_from_its_first_window(site):
    await site.configure()
    await site.activate()
    answer = await site.post(small_rows(spread(at("2011-03-05"), at("2012-03-05"), 122)))

    await site.tick(sweep=True)

    assert (answer.accepted, answer.rejected, answer.late) == (122, 0, 0)
    windows = await site.evaluations("1h")
    assert windows[0]["window"]["start"] == "2011-03-05T00:00:00Z"
    assert sum(one["rows"] for one in windows) == 121
    assert {one["revision"] for one in windows} == {1}


@running("memory", "sqlite")
async def test_rows_that_come_while_a_window_is_evaluated_are_in_its_evaluation(site):
    await site.configure()
    await site.activate()
    await site.post_hours(MONDAY - 5 * HOUR, 3)
    job, store = site.service.ticks._job, site.store
    reads = []

    class Meddling:
        """A store into which a row comes right after the panes of a window were read."""

        def __getattr__(self, name):
            return getattr(store, name)

        async def panes(self, *what):
            found = await store.panes(*what)
            if not reads:
                reads.append(await site.post(small_rows([MONDAY - 5 * HOUR])))
            return found

    job._measuring._store = Meddling()
    await site.tick()

    first = await site.evaluation(MONDAY - 5 * HOUR)
    assert (first["rows"], first["revision"]) == (61, 1)
    assert len(reads) == 1


@running("memory", "sqlite")
async def test_two_processes_on_one_store_evaluate_each_window_once(site):
    site.targets = TARGET
    other = await site.start()
    await site.configure(notify=["pager"], scales=[1])
    await site.activate()
    await other.tick()
    for hour in range(12):
        shift = 3.0 if 2 <= hour < 5 else 0.0
        site.clock.us = MONDAY + (hour + 1) * HOUR
        times = spread(MONDAY + hour * HOUR, MONDAY + (hour + 1) * HOUR, 60)
        await site.post(small_rows(times[::2], shift=shift, seed=hour))
        await other.post(small_rows(times[1::2], shift=shift, seed=hour + 100))
        site.clock.us += 3 * MINUTE
        # Without the lease, as if both took themselves for its holder.
        await asyncio.gather(*(each.service.ticks._job.advance(each.live()) for each in (site, other)))

    rows = await evaluated(site.store)

    assert {row.revision for row in rows} == {1}
    assert [row.rows for row in rows if row.size == "1h"] == [60] * 12
    assert len(await site.decisions()) == 12
    assert len(await site.episodes()) == 1
    assert [notice["kind"] for notice in await site.notices()] == ["drift.firing", "drift.resolved"]


@running()
async def test_only_the_holder_of_the_lease_evaluates_until_it_has_run_out(site):
    await site.configure()
    await site.activate()
    await site.tick()
    other = await site.start()
    await other.post(small_rows(spread(MONDAY - 3 * HOUR, MONDAY - HOUR, 100)))

    await other.tick()
    assert await site.evaluations() == []
    site.clock.us += 16 * S
    await other.tick()

    assert len(await site.evaluations("1h")) == 1


@running()
async def test_a_model_that_breaks_does_not_cost_the_others_their_verdicts(site):
    for model in ("a", "m", "z"):
        await site.configure(model)
        await site.activate(model=model)
        await site.post(small_rows(spread(MONDAY - 3 * HOUR, MONDAY - HOUR, 100)), model=model)
    state = site.store.state.models["a"]
    for panes in state.panes.values():
        for pane in panes.values():
            pane.payloads = [b"rubbish"]

    await site.tick()

    assert await site.evaluations(model="a") == []
    assert [len(await site.evaluations("1h", model=model)) for model in ("m", "z")] == [1, 1]


@running()
async def test_records_that_are_refused_are_made_smaller_until_one_is_taken(site):
    await site.configure()
    await site.activate()
    await site.post_hours(MONDAY - 50 * HOUR, 40, n=5)
    store, sizes = site.store, []

    class Refusing:
        """A store in which something has always changed, up to the third record."""

        def __getattr__(self, name):
            return getattr(store, name)

        async def record(self, record):
            sizes.append(len(record.decisions))
            return len(sizes) > 3 and await store.record(record)

    site.service.ticks._job._store = Refusing()
    await site.tick()

    assert sizes == [24, 6, 1, 1, 2, 4, 8, 16, 8]
    assert len(await site.evaluations("1h")) == 39


# Provisional evaluations


@running()
async def test_the_open_window_is_looked_at_from_its_first_rows_on_and_no_more_when_it_has_closed(site):
    await site.configure(views=[{"rows": 20, "max_age": "1d"}])
    await site.activate()
    looks = site.service._looks
    version = site.live().version("1")
    assert await site.progress() is None

    site.clock.us = MONDAY + 10 * MINUTE
    await site.post(small_rows(spread(MONDAY, MONDAY + 10 * MINUTE, 50), shift=3.0))
    await site.tick()
    first = await looks.look(site.live(), version, await site.progress())

    assert [(look.window.size, look.provisional, look.rows, look.verdict) for look in first] == [
        ("1h", True, 50, "drifted"),
        ("20rows", True, 25, "undecided"),
    ]
    assert (await site.decisions(), await site.episodes(), await site.evaluations()) == ([], [], [])
    assert any("driftline_column_verdict" in line for line in await site.metrics())

    await site.go_to(MONDAY + HOUR + 3 * MINUTE)

    assert await looks.look(site.live(), version, await site.progress()) == ()
    assert [(one["provisional"], one["rows"]) for one in await site.evaluations("1h")] == [(False, 50)]


@running()
async def test_a_look_is_made_again_only_when_rows_have_come(site):
    await site.configure()
    await site.activate()
    looks, version = site.service._looks, site.live().version("1")
    site.clock.us = MONDAY + 10 * MINUTE
    await site.post(small_rows(spread(MONDAY, MONDAY + 10 * MINUTE, 50)))

    first = await looks.look(site.live(), version, await site.progress())
    again = await looks.look(site.live(), version, await site.progress())
    await site.post(small_rows([MONDAY + 10 * MINUTE]))
    then = await looks.look(site.live(), version, await site.progress())

    assert again is first
    assert [look.rows for look in then] == [51]


# Episodes


@running("memory", "sqlite")
async def test_an_episode_opens_after_so_many_drifted_windows_and_closes_after_so_many_stable_ones(site):
    site.targets = TARGET
    await site.restart()
    await site.configure(notify=["pager"], scales=[1], policy={"fire_after": 2, "resolve_after": 3, "cool_down": "4h"})
    await site.activate()
    d, s = 3.0, 0.0
    await live_hours(site, MONDAY, [s, d, s, d, d, s, s, d, s, s, s, d, d, d, d, d, s])

    first, second = await site.episodes()
    assert (first["opened_at"], first["state"], first["resolution"]) == ("2026-03-02T05:00:00Z", "resolved", "stable")
    # The cool-down ends at 15:00; drift that outlasts it opens an episode with its first window after it.
    assert (second["opened_at"], second["state"]) == ("2026-03-02T16:00:00Z", "open")
    assert [(notice["kind"], notice["window"]["end"]) for notice in await site.notices()] == [
        ("drift.firing", "2026-03-02T05:00:00Z"),
        ("drift.resolved", "2026-03-02T11:00:00Z"),
        ("drift.firing", "2026-03-02T16:00:00Z"),
    ]


async def a_season(site, restart_every, sweep):
    site.targets = TARGET
    await site.restart()
    await site.configure(
        notify=["pager"],
        scales=[1, 4],
        triggers=[{"target": "pager", "dry_run": False, "cool_down": "6h"}],
        policy={"fire_after": 2, "resolve_after": 2, "cool_down": "3h", "silence_after": "2h"},
    )
    await site.activate()
    shifts = [0, 0, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0]
    until_us = await live_hours(site, MONDAY, shifts, restart_every=restart_every, sweep=sweep)
    # Nobody must be able to tell how often it was looked while nothing came.
    await site.go_to(until_us + 5 * HOUR, step_us=37 * MINUTE if restart_every is None else 53 * MINUTE)
    await live_hours(site, until_us + 5 * HOUR, [2, 2, 2, 0], restart_every=restart_every, sweep=sweep)
    return await site.evaluations(), await site.decisions(), await site.episodes(), await site.notices()


@pytest.mark.parametrize("restart_every", [1, 3])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_restarts_and_housekeeping_change_nothing_of_what_is_decided_and_sent(kind, restart_every, tmp_path):
    def lived(name, **how):
        folder = tmp_path / name
        folder.mkdir()
        return run(lambda site: a_season(site, **how), folder, kind=kind)

    uninterrupted = lived("a", restart_every=None, sweep=False)
    interrupted = lived("b", restart_every=restart_every, sweep=True)

    assert timeless(list(interrupted)) == timeless(list(uninterrupted))
    assert {notice["kind"] for notice in uninterrupted[3]} == {
        "drift.firing",
        "drift.resolved",
        "retrain",
        "silence",
        "resumed",
    }
    assert len(uninterrupted[2]) == 2


@running()
async def test_a_drifted_day_opens_one_episode_whichever_scales_see_it(site):
    site.targets = TARGET
    await site.restart()
    await site.configure(notify=["pager"], policy={"resolve_after": 30})
    await site.activate()
    await live_hours(site, MONDAY, [0] * 26 + [1.0] * 4 + [0] * 4, n=30)

    assert len(await site.episodes()) == 1
    assert [notice["kind"] for notice in await site.notices()] == ["drift.firing"]


# The rest


@running()
async def test_scales_without_the_base_window_are_decided_when_they_are_due(site):
    await site.configure(scales=[24])
    await site.activate()
    await site.post_hours(at("2012-03-05"), 49)

    await site.tick()
    await site.post(small_rows([at("2012-03-05T03:00")]))
    await site.tick()

    sizes = {(one["window"]["size"], one["window"]["end"][:13]) for one in await site.evaluations()}
    assert sizes == {("1d", f"2012-03-0{5 + hour // 24}T{hour % 24:02}") for hour in range(6, 54, 6) if hour < 49}
    assert [one["window"]["end"][:13] for one in await site.decisions()] == sorted(end for _, end in sizes)
    assert (await site.evaluation(at("2012-03-05"), "1d"))["revision"] == 2


@running()
async def test_base_windows_of_days_follow_the_time_zone(site):
    await site.configure(base_window="1d", scales=[1, 7], time_zone="America/New_York", retention="60d")
    await site.activate()
    await site.post_hours(at("2012-03-08T05:00"), 24 * 10, n=4)

    await site.tick()

    assert [span_of(one)[:2] for one in await site.evaluations("1d")][2:5] == [
        ("2012-03-10T05:00:00Z", "2012-03-11T05:00:00Z"),
        ("2012-03-11T05:00:00Z", "2012-03-12T04:00:00Z"),
        ("2012-03-12T04:00:00Z", "2012-03-13T04:00:00Z"),
    ]
    assert [one["rows"] for one in await site.evaluations("1d")][2:5] == [96, 92, 96]
    week, *_ = [one for one in await site.evaluations("7d") if one["reason"] != "refilling"]
    assert (week["window"]["start"], week["rows"]) == ("2012-03-08T05:00:00Z", 7 * 96 - 4)
