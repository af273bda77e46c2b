"""From learning to a calibrated reference: what is collected, offered, promoted and activated, over HTTP."""

from datetime import UTC, datetime

import numpy as np
from serving import NDJSON, encoded, problem_in, served
from stores import FakeClock

HOUR_US = 3_600_000_000
BEGIN_US = 1_772_409_600_000_000  # Monday, 2026-03-02
LEARNS = {"columns": {"at": {"role": "time"}}, "learning": {"rows": 120}, "scales": [1]}


def rows_of_hour(hour, n, shift=0.0):
    rng = np.random.default_rng(hour)
    at = (BEGIN_US + hour * HOUR_US + np.arange(n) * (HOUR_US // n)) / 1e6
    x = rng.normal(shift, 1, n)
    return [{"at": float(time_s), "x": float(value)} for time_s, value in zip(at, x, strict=True)]


class Story:
    """Traffic of one model, hour by hour, and what is said of it."""

    def __init__(self, api):
        self.api = api
        self.hour = 0

    async def hours(self, hours, n=40, shift=0.0):
        for _ in range(hours):
            self.api.clock.us = BEGIN_US + (self.hour + 1) * HOUR_US
            body = b"\n".join(map(encoded, rows_of_hour(self.hour, n, shift)))
            answer = await self.api.send(body, headers=NDJSON)
            assert answer.json()["accepted"] == n, answer.text
            self.hour += 1
        self.api.clock.us += HOUR_US // 2
        # A tick does as much as its time allows.
        for _ in range(100):
            await self.api.service.ticks.evaluate()
            version = await self.version()
            if version["mode"] == "learning" or version["evaluated_until"] in {None, self.closed_until}:
                return
        raise AssertionError(version)

    @property
    def closed_until(self):
        return datetime.fromtimestamp(BEGIN_US // 1_000_000 + self.hour * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    async def version(self):
        (version,) = (await self.api.client.get("/v1/models/m")).json()["versions"]
        return version

    async def latest(self):
        answer = await self.api.client.get("/v1/models/m/evaluations", params={"limit": 1, "window": "1h"})
        return answer.json()["evaluations"][0]


def told(scenario, folder):
    async def run(api):
        assert (await api.client.put("/v1/models/m", json=LEARNS)).status_code == 201
        return await scenario(Story(api))

    clock = FakeClock(BEGIN_US)
    return served(folder, run, clock=clock, monotonic_s=lambda: clock.us / 1e6)


def test_a_learned_reference_is_replaced_by_what_came_after_it_and_then_there_is_a_rate(tmp_path):
    async def scenario(story):
        await story.hours(2)
        learning = await story.version()
        await story.hours(2)
        await story.hours(4)
        early = await story.version(), await story.latest()
        await story.hours(70)
        late = await story.version()
        promoted = await story.api.client.post("/v1/models/m/promotions", json=late["candidate"])
        activated = await story.api.client.post(f"{promoted.headers['location']}/activate")
        await story.hours(3)
        return learning, early, late, promoted, activated, await story.version(), await story.latest()

    learning, (early, window), late, promoted, activated, after, newest = told(scenario, tmp_path)

    assert (learning["mode"], learning["calibration"], learning["candidate"]) == ("learning", None, None)
    assert (early["calibration"]["status"], early["candidate"]) == ("collecting", None)
    assert "of 60 base windows" in early["calibration"]["advice"]
    assert (window["calibration"], window["false_alarms_per_30d"]) == ("collecting", None)
    assert window["calibration_advice"]
    candidate = late["candidate"]
    assert candidate["windows"] >= 60
    assert f"from {candidate['since']} to {candidate['until']}" in late["calibration"]["advice"]
    assert promoted.status_code == 201, promoted.text
    assert promoted.json()["summary"]["windows"] == candidate["windows"]
    assert activated.status_code == 200
    assert after["calibration"]["status"] in {"calibrated", "verified"}
    assert (after["calibration"]["windows"], after["calibration"]["budget_per_30d"]) == (candidate["windows"], 1.0)
    assert after["candidate"] is None
    assert newest["calibration"] == after["calibration"]["status"]
    assert newest["calibration_advice"] == after["calibration"]["advice"]
    assert newest["false_alarms_per_30d"] > 0


def test_windows_with_few_rows_are_no_candidate(tmp_path):
    async def scenario(story):
        await story.hours(4)
        await story.hours(66, n=5)
        return await story.version()

    version = told(scenario, tmp_path)

    assert version["candidate"] is None
    assert "wait" in version["calibration"]["advice"]


def test_a_candidate_of_which_windows_were_dropped_meanwhile_is_refused(tmp_path):
    async def scenario(story):
        await story.hours(4)
        await story.hours(4)
        span = {"since": "2026-03-02T04:00:00Z", "until": "2026-03-02T08:00:00Z"}
        return [
            await story.api.client.post("/v1/models/m/promotions", json=span | {"windows": windows})
            for windows in (9, 1)
        ]

    refused, taken = told(scenario, tmp_path)

    assert "not 9" in problem_in(refused, 409)["detail"]
    assert taken.status_code == 201
