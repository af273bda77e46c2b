"""What /metrics says of models: the latest evaluation of each window size, and nothing that is not true any more."""

from running import DAY, HOUR, MINUTE, MONDAY, TARGET, S, at, running, small_rows, spread

from service.alerts.state import AlertState, Watch, encode_state
from service.ports import AlertChange, Record

BEGIN = at("2012-03-05")


async def shown(site, name, *, label="window", model="m"):
    """Values of a metric of a model by one of its labels."""
    found = {}
    for line in await site.metrics():
        if line.startswith(name + "{") and f'model="{model}"' in line:
            labels, value = line.rsplit("} ", 1)
            found[labels.split(f'{label}="')[1].split('"')[0]] = float(value)
    return found


async def replayed(site, hours, **configuration):
    await site.configure(**configuration)
    await site.activate()
    await site.post_hours(BEGIN, hours)
    await site.tick()


@running("memory", "sqlite")
async def test_the_latest_window_of_each_size_is_shown(site):
    await replayed(site, 50)

    assert await shown(site, "driftline_window_rows") == {"1h": 60, "6h": 6 * 60, "1d": 24 * 60}
    ends = await shown(site, "driftline_window_end_timestamp_seconds")
    assert {size: (at("2012-03-07T02:00") - end * S) / HOUR for size, end in ends.items()} == {
        "1h": 0,  # the open one, as far as it has come
        "6h": 1,
        "1d": 2,
    }


@running("memory", "sqlite")
async def test_a_restart_leaves_no_gap(site):
    await replayed(site, 50, scales=[1, 24, 40], views=[{"size": "2h"}])
    before = [line for line in await site.metrics() if "window=" in line]

    await site.restart()

    after = [line for line in await site.metrics() if "window=" in line]
    assert {name_of(line) for line in after if "provisional" not in line} == {
        name_of(line) for line in before if "provisional" not in line
    }
    assert (await shown(site, "driftline_window_rows")).keys() == {"1h", "1d", "40h", "2h"}


def name_of(line):
    return line.rsplit(" ", 1)[0]


@running("memory", "sqlite")
async def test_a_model_is_shown_by_the_process_that_evaluates_it_and_by_no_other(site):
    other = await site.start()
    await replayed(site, 30)
    await other.tick()

    found = [await shown(each, "driftline_window_rows") for each in (site, other)]

    assert sorted(map(len, found)) == [0, 3]
    assert max(found, key=len)["6h"] == 360
    facts = [
        await shown(each, "driftline_evaluated_until_timestamp_seconds", label="version") for each in (site, other)
    ]
    assert list(map(bool, facts)) == list(map(bool, found))


@running("memory", "sqlite")
async def test_what_a_process_has_evaluated_is_shown_by_the_one_that_takes_over(site):
    await replayed(site, 30)
    before = await shown(site, "driftline_window_rows")
    other = await site.start()
    await other.tick()
    assert await shown(other, "driftline_window_rows") == {}

    await site.running.stop()
    await other.go_to(site.clock.us + 6 * S)

    after = await shown(other, "driftline_window_rows")
    assert after == before
    assert after["6h"] == 360


@running()
async def test_what_was_shown_disappears_when_the_role_runs_out_and_comes_back_with_it(site):
    await replayed(site, 30)
    before = await shown(site, "driftline_window_rows")

    site.clock.us += 15 * S

    assert await shown(site, "driftline_window_rows") == {}
    await site.tick()
    assert await shown(site, "driftline_window_rows") == before


@running()
async def test_a_correction_of_the_latest_window_is_shown_and_one_of_an_older_window_is_not(site):
    await site.configure(scales=[1])
    await site.activate()
    await site.post_hours(BEGIN, 5)
    await site.post(small_rows([BEGIN + 5 * HOUR + 3 * MINUTE]))
    await site.tick()
    site.service.board.keep({})
    assert await shown(site, "driftline_window_rows") == {}
    await site.service.ticks.take_up()
    assert (await shown(site, "driftline_window_rows"))["1h"] == 60

    await site.post(small_rows([BEGIN + 2 * HOUR]))
    await site.tick()
    assert (await shown(site, "driftline_window_rows"))["1h"] == 60
    await site.post(small_rows([BEGIN + 4 * HOUR]))
    await site.tick()

    assert (await shown(site, "driftline_window_rows"))["1h"] == 61


@running()
async def test_the_last_window_stands_until_something_is_seen_in_the_open_one(site):
    await site.configure(scales=[1])
    await site.activate()
    site.clock.us = MONDAY + 10 * MINUTE
    await site.post_hours(MONDAY - 2 * HOUR, 2)
    await site.post(small_rows(spread(MONDAY, MONDAY + 5 * MINUTE, 10)))
    await site.tick()
    assert (await shown(site, "driftline_window_rows"))["1h"] == 60

    await site.post(small_rows(spread(MONDAY + 5 * MINUTE, MONDAY + 10 * MINUTE, 60)))
    await site.go_to(MONDAY + 11 * MINUTE)

    assert (await shown(site, "driftline_window_rows"))["1h"] == 70


@running()
async def test_how_far_a_version_is_and_whether_it_fires_is_shown(site):
    site.targets = TARGET
    await site.restart()
    await site.configure(scales=[1], notify=["pager"])
    await site.activate()
    await site.post_hours(BEGIN, 3, shift=3.0)
    await site.tick()

    assert await shown(site, "driftline_alert_firing", label="version") == {"1": 1}
    until = await shown(site, "driftline_evaluated_until_timestamp_seconds", label="version")
    assert until == {"1": (BEGIN + 2 * HOUR) // S}


@running()
async def test_a_budget_that_alarms_exceed_is_shown_while_one_is_watched(site):
    async def watched(**facts):
        known = await site.store.alert("m", "1")
        change = AlertChange(
            version="1",
            revision=0 if known is None else known[0],
            document=encode_state(AlertState(reference_id=facts.pop("reference_id"), watch=Watch(**facts))),
        )
        progress = await site.progress()
        record = Record(
            model="m",
            version="1",
            epoch=site.live().epoch,
            was_evaluated_until_us=progress.evaluated_until_us,
            evaluated_until_us=progress.evaluated_until_us,
            alert=change,
        )
        assert await site.store.record(record)
        for _ in range(10):  # what changes without a row is seen a little later
            await site.service.board.sync()
        return await shown(site, "driftline_budget_exceeded", label="version")

    await site.configure(scales=[1])
    active = await site.activate()
    await site.post_hours(BEGIN, 3)
    await site.tick()

    assert (
        await shown(site, "driftline_budget_exceeded", label="version") == {}
    )  # without a calibration there is no budget
    assert await watched(reference_id=active, since_us=BEGIN, windows=2) == {"1": 0}
    assert await watched(reference_id=active, since_us=BEGIN, windows=2, exceeded_us=BEGIN) == {"1": 1}
    assert await watched(reference_id="another", since_us=BEGIN, windows=2, exceeded_us=BEGIN) == {}


@running()
async def test_a_version_that_learns_shows_how_far_it_is(site):
    await site.configure(learning={"rows": 300})
    await site.post_hours(BEGIN, 2)
    await site.tick()

    found = [line for line in await site.metrics() if line.startswith("driftline_learning_rows")]

    assert sorted(float(line.rsplit(" ", 1)[1]) for line in found) == [120.0, 300.0]


@running()
async def test_a_model_that_is_gone_is_shown_no_more(site):
    await replayed(site, 30)
    assert await shown(site, "driftline_window_rows")

    await site.store.delete_model("m")
    await site.tick()

    assert [line for line in await site.metrics() if 'model="m"' in line and "window=" in line] == []


@running()
async def test_of_a_replay_only_the_end_of_each_record_is_formatted(site):
    await site.configure(scales=[1])
    await site.activate()
    await site.post_hours(BEGIN, 2 * 24, n=5)
    board, taken = site.service.board, []
    take = board._take
    board._take = lambda model, row: (taken.append(row.end_us), take(model, row))

    await site.tick()

    assert taken == [BEGIN + 24 * HOUR, BEGIN + 47 * HOUR]
    assert (await site.progress()).newest_us < BEGIN + 2 * DAY
