"""The calibrated alarm in a running service: verdicts, seasons, scales, and the same history whatever happened on the way."""

import numpy as np
import pytest
from running import DAY, HOUR, TARGET, run, running, timeless
from weeks import DAY_S, HOUR_S, MONDAY_S, US, UTC, reference_of_traffic, replayed, starts_of, traffic, weeks_reference

from service.calibration.calibrated import with_replay
from service.calibration.settings import CalibrationSettings
from service.evaluation.evaluators import Evaluators
from service.registry.reference_file import reference_bytes, reference_of_bytes

LIVE_S = MONDAY_S + 6 * 168 * HOUR_S
LIVE = LIVE_S * US


def live_rows(n_hours, n=60, *, first=0, **how):
    return traffic(starts_of(n_hours, first_s=LIVE_S + first * HOUR_S), n, **how)


def part(rows, inside):
    return {name: values[inside] for name, values in rows.items()}


async def logged(site, rows, *, parts=1, order=None):
    """Post rows in parts; a tick at the end."""
    pieces = np.array_split(np.arange(len(rows["at"])), parts)
    for number in order if order is not None else range(parts):
        await site.post(part(rows, pieces[number]))
    await site.tick(sweep=True)


async def closed(site, rows, **how):
    """The same, and one row much later, so that every window is closed."""
    await logged(site, rows, **how)
    await site.post(live_rows(1, 1, first=24 * 14))
    await site.tick(sweep=True)


NOW = {"now_us": LIVE + 21 * DAY}


@running("memory", "sqlite", **NOW)
async def test_traffic_like_the_reference_is_verified_and_stable(site):
    await site.configure()
    await site.activate(replayed()[0])

    await closed(site, live_rows(48))

    for size in ("1h", "6h", "1d"):
        some = [one for one in await site.evaluations(size) if one["rows"] and one["reason"] != "refilling"]
        assert some
        assert {one["calibration"] for one in some} == {"verified"}
        assert {one["season"] for one in some} == {"none"}
        assert {one["budget_per_30d"] for one in some} == {1.0}
        assert {one["verdict"] for one in some if one["false_alarms_per_30d"] > 1} <= {"stable"}
        assert {one["verdict"] for one in some if one["false_alarms_per_30d"] <= 1} <= {"drifted"}
    assert await site.episodes() == []


@running(**NOW)
async def test_windows_that_are_still_filling_have_no_rate(site):
    # They had one, that kept an episode from ending.
    await site.configure()
    await site.activate(replayed()[0])

    await closed(site, live_rows(30, shift=2.0))

    refilling = [one for one in await site.evaluations("1d") if one["reason"] == "refilling"]
    assert refilling
    assert {(one["verdict"], one["false_alarms_per_30d"], one["tier"]) for one in refilling} == {
        ("undecided", None, None)
    }


@running(**NOW)
async def test_drift_is_found_in_hours_and_told_once_with_its_rate_and_budget(site):
    site.targets = TARGET
    await site.restart()
    await site.configure(notify=["pager"])
    await site.activate(replayed()[0])

    await closed(site, live_rows(72) | {})
    await site.restart()
    rows = live_rows(24, first=24 * 15, shift=0.6)
    await logged(site, rows)
    await site.post(live_rows(1, 1, first=24 * 17))
    await site.tick(sweep=True)

    (notice,) = [one for one in await site.notices() if one["kind"] == "drift.firing"]
    assert 0 < notice["false_alarms_per_30d"] <= notice["budget_per_30d"] == 1.0
    assert notice["calibration"] == "verified"
    assert notice["tier"] in {"alarm", "major"}
    assert {column["name"] for column in notice["columns"]} <= {"x", "y"}


@running(**NOW)
async def test_of_the_policy_the_budget_and_the_gate_count(site):
    await site.configure("quiet", policy={"effect_threshold": 0.5})
    await site.configure("loose", policy={"false_alarms_per_30d": 100.0})
    await site.configure("plain")
    rows = live_rows(6, shift=0.35)
    for model in ("quiet", "loose", "plain"):
        await site.activate(replayed()[0], model=model)
        await site.post(rows, model=model)
        await site.post(live_rows(1, 1, first=24), model=model)
    await site.tick(sweep=True)

    found = {model: await site.evaluation(LIVE, "6h", model=model) for model in ("quiet", "loose", "plain")}

    assert {model: one["budget_per_30d"] for model, one in found.items()} == {
        "quiet": 1.0,
        "loose": 100.0,
        "plain": 1.0,
    }
    assert {model: one["verdict"] for model, one in found.items()} == {
        "quiet": "stable",
        "loose": "drifted",
        "plain": "drifted",
    }
    assert found["loose"]["false_alarms_per_30d"] == found["plain"]["false_alarms_per_30d"]


# Seasons


def by_day(starts_s):
    hour = (starts_s - MONDAY_S) // HOUR_S % 24
    return np.where((hour >= 8) & (hour < 20), 2.0, 0.0)


def day_and_night():
    starts_s = starts_of(4 * 168)
    reference = reference_of_traffic(traffic(starts_s, 60, level=by_day(starts_s), seed=3))
    return with_replay(reference, CalibrationSettings(), UTC)[0]


def seasonal_rows(n_hours, *, at_night=0.0):
    starts_s = starts_of(n_hours, first_s=LIVE_S)
    level = by_day(starts_s)
    return traffic(starts_s, 60, level=np.where(level == 0, at_night, level), seed=4)


@running(**NOW)
async def test_a_day_like_all_days_is_stable_at_noon_and_at_night(site):
    await site.configure()
    await site.activate(day_and_night())

    await closed(site, seasonal_rows(24))

    some = await site.evaluations("1h")
    assert {one["season"] for one in some[:24]} == {"hour_of_day"}
    assert {one["verdict"] for one in some[:24]} == {"stable"}


@running(**NOW)
async def test_a_shift_at_night_is_found_and_not_excused_by_noon(site):
    await site.configure()
    await site.configure("blind", policy={"season": "none"}, scales=[1])
    await site.activate(day_and_night())
    await site.activate(day_and_night(), model="blind")
    # Nights become as days are: no value of x that the reference does not have all the time.
    rows = seasonal_rows(24, at_night=2.0)
    for model in ("m", "blind"):
        await site.post(rows, model=model)
        await site.post(live_rows(1, 1, first=24 * 3), model=model)
    await site.tick(sweep=True)

    night, noon = await site.evaluation(LIVE + 2 * HOUR), await site.evaluation(LIVE + 12 * HOUR)

    assert (night["verdict"], night["columns"]["x"]["direction"]) == ("drifted", "up")
    assert (night["calibration"], noon["verdict"]) == ("verified", "stable")
    assert night["columns"]["y"]["verdict"] == "stable"
    blind = await site.evaluation(LIVE + 2 * HOUR, model="blind")
    assert (blind["season"], blind["verdict"]) == ("none", "stable")


@running(**NOW)
async def test_a_season_follows_the_wall_clock_of_the_model(site):
    # The same traffic: night by the one clock is day by the other.
    reference = reference_of_traffic(
        traffic(starts_of(4 * 168), 60, level=by_day(starts_of(4 * 168)), seed=3), time_zone="Asia/Tokyo"
    )
    await site.configure(time_zone="Asia/Tokyo")
    await site.activate(reference)

    await closed(site, seasonal_rows(24))

    some = (await site.evaluations("1h"))[:24]
    assert {(one["season"], one["verdict"]) for one in some} == {("hour_of_day", "stable")}


# Base windows and scales


def daily(weeks=26):
    starts_s = starts_of(weeks * 7, base_s=DAY_S, first_s=MONDAY_S - (weeks - 6) * 7 * DAY_S)
    level = (starts_s - MONDAY_S) // DAY_S % 7 * 0.5
    return reference_of_traffic(traffic(starts_s, 200, level=level), base_s=DAY_S, window="1d")


@running(**NOW)
async def test_daily_windows_are_compared_with_the_same_day_of_the_week(site):
    await site.configure(base_window="1d", pane="15m", scales=[1, 7], retention="60d")
    await site.activate(daily())
    starts_s = starts_of(7, first_s=LIVE_S, base_s=DAY_S)
    level = (starts_s - MONDAY_S) // DAY_S % 7 * 0.5
    level[2] = level[6]  # a Wednesday like a Sunday

    await closed(site, traffic(starts_s, 200, level=level, seed=2))

    some = (await site.evaluations("1d"))[:7]
    assert {(one["season"], one["calibration"]) for one in some} == {("day_of_week", "verified")}
    assert [one["verdict"] for one in some] == ["stable"] * 2 + ["drifted"] + ["stable"] * 4


@running(**NOW)
async def test_other_base_windows_than_those_of_the_reference_are_iid_and_say_what_to_do(site):
    await site.configure(base_window="30m")
    await site.activate(replayed()[0])

    await closed(site, live_rows(3))

    some = [one for one in await site.evaluations() if one["rows"]]
    assert {(one["calibration"], one["false_alarms_per_30d"], one["season"]) for one in some} == {("iid", None, None)}
    live = site.live().version("1").active
    trust = Evaluators().trust(site.live(), live)
    assert trust.status == "iid"
    assert "reference" in trust.advice


@running(**NOW)
async def test_scales_longer_than_the_reference_are_undecided(site):
    await site.configure(scales=[1, 24, 168], views=[{"size": "2d"}])
    await site.activate(weeks_reference(4))

    await closed(site, live_rows(10 * 24, 40))

    weekly = [one for one in await site.evaluations("7d") if one["reason"] != "refilling"]
    assert {(one["verdict"], one["reason"]) for one in weekly} == {("undecided", "short_reference")}
    assert {one["false_alarms_per_30d"] for one in weekly} == {None}
    view = [one for one in await site.evaluations("2d") if one["rows"] == 48 * 40]
    assert {one["calibration"] for one in view} == {"calibrated"}
    assert {one["reason"] for one in await site.evaluations("1d") if one["rows"] == 24 * 40} <= {None}


@running(**NOW)
async def test_a_version_that_has_learned_its_reference_is_collecting(site):
    await site.configure(learning={"rows": 600})
    await site.post(live_rows(10))
    await site.tick(sweep=True)

    live = site.live().version("1")
    assert live.active is not None
    assert Evaluators().trust(site.live(), live.active).status == "collecting"
    await site.post(live_rows(10, first=12))
    await site.tick(sweep=True)

    assert {one["calibration"] for one in await site.evaluations() if one["rows"]} == {"collecting"}


# The same counts give the same history


DRIFTING = [(36, 0.0), (12, 0.6), (24, 0.0)]


def drifting():
    """Rows in order of time: quiet, drift, and quiet again."""
    pieces, first = [], 0
    for n_hours, shift in DRIFTING:
        pieces.append(live_rows(n_hours, 40, first=first, shift=shift))
        first += n_hours
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


async def history(site):
    """Everything that was made of the counts, without the times of making it."""
    return timeless(
        {
            "evaluations": [one for size in ("1h", "6h", "1d") for one in await site.evaluations(size)],
            "decisions": await site.decisions(),
            "episodes": await site.episodes(),
        }
    )


def through_its_file(reference):
    return reference_of_bytes(reference_bytes(reference, compressed=True), "r")


async def prepared(site, reference=None):
    await site.configure()
    await site.activate(reference or through_its_file(replayed()[0]))


async def plain_history(site):
    await prepared(site)
    await closed(site, drifting())
    return await history(site)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    found = run(plain_history, tmp_path_factory.mktemp("plain"), kind="sqlite", **NOW)
    assert [one for one in found["evaluations"] if one["verdict"] == "drifted"]
    assert len(found["episodes"]) == 1
    return found


def test_restarts_give_the_same_history(expected, tmp_path):
    async def scenario(site):
        await prepared(site)
        rows = drifting()
        for some in np.array_split(np.arange(len(rows["at"])), 9):
            await logged(site, part(rows, some))
            await site.restart()
        await site.post(live_rows(1, 1, first=24 * 14))
        await site.tick(sweep=True)
        await site.restart()
        return await history(site)

    assert run(scenario, tmp_path, kind="sqlite", **NOW) == expected


def test_a_replay_that_is_made_again_gives_the_same_history(expected, tmp_path):
    async def scenario(site):
        await prepared(site, weeks_reference())
        await closed(site, drifting())
        return await history(site)

    assert run(scenario, tmp_path, kind="memory", **NOW) == expected


def test_another_replica_gives_the_same_history(expected, tmp_path):
    async def scenario(site):
        await prepared(site)
        other = await site.start()
        await other.service.registry.refresh()
        rows = drifting()
        for number, some in enumerate(np.array_split(np.arange(len(rows["at"])), 12)):
            await (other if number % 2 else site).post(part(rows, some))
            await (site if number % 3 else other).tick(sweep=True)
        await other.post(live_rows(1, 1, first=24 * 14))
        await other.tick(sweep=True)
        await site.tick(sweep=True)
        return await history(site)

    assert run(scenario, tmp_path, kind="sqlite", **NOW) == expected


@pytest.mark.parametrize("seed", [0, 1])
def test_another_order_of_arrival_gives_the_same_history_bit_by_bit(expected, tmp_path, seed):
    async def scenario(site):
        await prepared(site)
        rng = np.random.default_rng(seed)
        rows = drifting()
        rows = part(rows, rng.permutation(len(rows["at"])))
        for some in np.array_split(np.arange(len(rows["at"])), 7):
            await site.post(part(rows, some))
        await site.post(live_rows(1, 1, first=24 * 14))
        await site.tick(sweep=True)
        return await history(site)

    found = run(scenario, tmp_path, kind="sqlite", now_us=LIVE + 21 * DAY)

    assert [without_lateness(one) for one in found["evaluations"]] == [
        without_lateness(one) for one in expected["evaluations"]
    ]


def without_lateness(evaluation):
    return {name: value for name, value in evaluation.items() if name != "late_rows"}
