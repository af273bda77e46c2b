"""From training data over HTTP to a retraining: the whole way of the calibrated alarm."""

import asyncio
import csv
import io
from datetime import UTC, datetime

import msgspec
import pytest
from serving import served
from stores import FakeClock
from weeks import HOUR_S, MONDAY_S, US, starts_of, traffic

WEEKS = 5
LIVE_S = MONDAY_S + WEEKS * 168 * HOUR_S
NOBODY = "http://127.0.0.1:1/hook"
TARGETS = {"pager": {"url": NOBODY, "allow_private": True}, "ci": {"url": NOBODY, "allow_private": True}}
CONFIGURATION = {
    "columns": {"at": {"role": "time"}, "y": {"role": "output"}},
    "notify": ["pager"],
    "triggers": [{"target": "ci"}],
    "policy": {"false_alarms_per_30d": 2.0},
}


def instant(time_us):
    return datetime.fromtimestamp(time_us / US, UTC).isoformat()


def as_csv(rows):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(rows)
    writer.writerows(zip([instant(time) for time in rows["at"].tolist()], rows["x"], rows["c"], rows["y"], strict=True))
    return text.getvalue().encode()


def as_columns(rows):
    return {"columns": rows | {"at": [instant(time) for time in rows["at"].tolist()]} | _lists(rows)}


def _lists(rows):
    return {name: values.tolist() for name, values in rows.items() if name != "at"}


def live(first, n_hours, **how):
    return as_columns(traffic(starts_of(n_hours, first_s=LIVE_S + first * HOUR_S), 60, **how))


async def build(api):
    """Upload five weeks in pieces; the last answer, and the states that the job went through."""
    states = []
    put = api.store.put_reference

    async def watched(row, document):
        states.append(row.state)
        await put(row, document)

    api.store.put_reference = watched
    content = as_csv(traffic(starts_of(WEEKS * 168), 60, seed=1))
    seen_while_it_came = []

    async def body():
        yield content[:100_000]
        listed = await api.client.get("/v1/models/m/references")
        seen_while_it_came.extend(one["state"] for one in listed.json()["references"])
        yield content[100_000:]

    answer = await api.client.post(
        "/v1/models/m/references", content=body(), headers={"content-type": "text/csv"}, params={"wait": "60s"}
    )
    assert answer.status_code == 201, answer.text
    return answer.json(), list(dict.fromkeys(states)), seen_while_it_came


async def evaluated(api, rows, until_hour):
    """Send rows and what closes their windows; the newest evaluations by size."""
    api.clock.us = due_us = (LIVE_S + until_hour * HOUR_S) * US
    assert (await api.send(rows)).json()["rejected"] == 0
    api.clock.us += 600 * US
    async with asyncio.timeout(30):
        while [one.evaluated_until_us for one in await api.store.progress("m")] != [due_us]:
            await api.service.ticks.evaluate()
    await api.service.ticks.evaluate()  # what is shown is what there is now
    answer = await api.client.get("/v1/models/m/evaluations")
    return answer.json()["evaluations"]


async def told(api):
    rows = await api.store.deliveries(state=None, target=None, limit=100)
    return [(row.target, msgspec.json.decode(row.notice)) for row in reversed(rows)]


async def metrics(api):
    lines = (await api.client.get("/metrics")).text.splitlines()
    return [line for line in lines if not line.startswith("#")]


async def scenario(api):
    await api.client.put("/v1/models/m", json=CONFIGURATION)
    found = {}
    found["reference"], found["states"], found["receiving"] = await build(api)
    found["quiet"] = await evaluated(api, live(0, 48), 48)
    found["quiet metrics"] = await metrics(api)
    found["before"] = await told(api)
    found["drifting"] = await evaluated(api, live(48, 12, shift=1.5), 60)
    found["drifting metrics"] = await metrics(api)
    found["told"] = await told(api)
    found["episodes"] = (await api.client.get("/v1/episodes")).json()["episodes"]
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return served(
        tmp_path_factory.mktemp("whole"), scenario, store="sqlite", clock=FakeClock(LIVE_S * US), targets=TARGETS
    )


def test_a_build_is_received_built_and_replayed_before_it_is_ready(found):
    assert found["receiving"] == ["receiving"]
    assert found["states"] == ["receiving", "building", "replaying", "ready"]


def test_the_summary_says_how_far_its_alarms_are_to_be_trusted(found):
    summary = found["reference"]["summary"]

    assert (found["reference"]["state"], found["reference"]["active"]) == ("ready", True)
    assert summary["windows"] == WEEKS * 168
    trust = summary["calibration"]
    assert (trust["status"], trust["season"], trust["advice"]) == ("verified", "none", None)
    assert trust["replayed_days"] == WEEKS * 7
    assert trust["replayed_false_alarms_per_30d"] <= 4.0


def of_size(evaluations, size):
    return next(one for one in evaluations if one["window"]["size"] == size and not one["provisional"])


def test_evaluations_are_verified_and_have_a_rate(found):
    for size in ("1h", "6h", "1d"):
        one = of_size(found["quiet"], size)

        assert (one["verdict"], one["calibration"], one["season"]) == ("stable", "verified", "none")
        assert one["false_alarms_per_30d"] > one["budget_per_30d"] == 2.0
        assert one["tier"] is None


def value_of(lines, name, **labels):
    texts = [f'{label}="{value}"' for label, value in labels.items()]
    (line,) = [line for line in lines if line.startswith(name + "{") and all(text in line for text in texts)]
    return float(line.rsplit(" ", 1)[1])


def test_the_metrics_say_the_same(found):
    for moment in ("quiet", "drifting"):
        for size in ("1h", "6h", "1d"):
            one = of_size(found[moment], size)
            lines = found[f"{moment} metrics"]

            assert value_of(lines, "driftline_calibration_status", window=size, status="verified") == 1
            assert value_of(lines, "driftline_false_alarm_budget_per_30d", window=size) == 2
            assert value_of(lines, "driftline_false_alarms_per_30d", window=size) == pytest.approx(
                one["false_alarms_per_30d"]
            )
            assert value_of(lines, "driftline_replayed_false_alarms_per_30d", window=size) == pytest.approx(
                one["replayed_false_alarms_per_30d"]
            )


def test_nobody_was_told_of_anything_while_nothing_was_wrong(found):
    assert found["before"] == []


def test_drift_is_told_once_with_its_rate_and_the_budget(found):
    (notice,) = [notice for target, notice in found["told"] if target == "pager" and notice["kind"] == "drift.firing"]
    (episode,) = found["episodes"]

    assert notice["calibration"] == "verified"
    assert 0 < notice["false_alarms_per_30d"] <= notice["budget_per_30d"] == 2.0
    assert {column["name"] for column in notice["columns"]} == {"x", "y"}
    assert {column["direction"] for column in notice["columns"]} == {"up"}
    assert notice["episode_id"] == episode["id"]


def test_a_rise_to_major_is_told_and_starts_one_retraining_that_is_not_dry(found):
    escalated = [notice for target, notice in found["told"] if notice["kind"] == "drift.escalated"]
    (retrain,) = [notice for target, notice in found["told"] if target == "ci"]
    (episode,) = found["episodes"]

    assert [notice["tier"] for notice in escalated] in (["major"], [])
    assert (retrain["kind"], retrain["tier"], retrain["calibration"]) == ("retrain", "major", "verified")
    assert of_size(found["drifting"], "6h")["tier"] == "major"
    assert retrain["window"]["size"] in {"6h", "1d"}
    assert episode["would_have_sent"] == []
    assert retrain["episode_id"] == episode["id"]


def test_with_a_reference_without_times_a_retraining_stays_dry(tmp_path):
    async def dry(api):
        content = as_csv(traffic(starts_of(100), 60, seed=1)).replace(b"at,", b"id,", 1)
        built = await api.client.post(
            "/v1/models/m/references?ignore=id&outputs=y", content=content, headers={"content-type": "text/csv"}
        )
        assert built.status_code == 201, built.text
        await api.client.put("/v1/models/m", json=CONFIGURATION | {"policy": {}})
        await evaluated(api, live(0, 12, shift=1.5), 12)
        return built.json(), await told(api), (await api.client.get("/v1/episodes")).json()["episodes"]

    built, notices, (episode,) = served(tmp_path, dry, clock=FakeClock(LIVE_S * US), targets=TARGETS)

    assert built["summary"]["calibration"]["status"] == "iid"
    assert built["summary"]["calibration"]["advice"]
    assert [(target, notice["kind"]) for target, notice in notices] == [("pager", "drift.firing")]
    assert notices[0][1]["false_alarms_per_30d"] is None
    assert [one["target"] for one in episode["would_have_sent"]] == ["ci"]


def test_builds_of_the_same_data_are_the_same_reference(tmp_path):
    async def twice(api):
        content = as_csv(traffic(starts_of(168), 30, seed=1))
        return [
            (
                await api.client.post(
                    "/v1/models/m/references?time_column=at", content=content, headers={"content-type": "text/csv"}
                )
            ).json()["summary"]
            for _ in range(2)
        ]

    one, other = served(tmp_path, twice)

    assert one["reference_id"] == other["reference_id"]
    assert one["calibration"] == other["calibration"]
