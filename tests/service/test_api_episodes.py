"""Alert episodes, deliveries and targets over HTTP."""

import asyncio

import pytest
from serving import NOW_US, ROW, problem_in, served
from stores import episode, notice

from service.alerts.state import decode_state
from service.ports import Settled

HOUR_US = 3_600_000_000
TARGETS = {"ci": {"url": "http://127.0.0.1:9/hook", "allow_private": True}}


async def drifted(api):
    """The episode of a model whose temperature left its range for an hour."""
    await api.model(configuration={"notify": ["ci"]})
    await api.send([{**ROW, "temp": 9.0}] * 200)
    api.clock.us += 2 * HOUR_US
    await api.service.ticks.evaluate()
    (found,) = (await api.client.get("/v1/episodes")).json()["episodes"]
    return found


def test_what_people_do_to_an_episode_is_kept_with_it(tmp_path):
    async def scenario(api):
        found = await drifted(api)
        path = f"/v1/episodes/{found['id']}"
        seen = await api.client.post(f"{path}/acknowledge", json={"by": "ann"})
        quiet = await api.client.post(f"{path}/silence", json={"for": "1h"})
        told = await api.client.post(f"{path}/outcome", json={"state": "started", "link": "https://ci/1"})
        closed = await api.client.post(f"{path}/resolve", json={"by": "bob"})
        again = await api.client.post(f"{path}/resolve", json={"by": "eve"})
        return found, seen, quiet, told, closed, again, await api.client.get(path)

    found, seen, quiet, told, closed, again, after = served(tmp_path, scenario, targets=TARGETS)

    assert (found["state"], found["model"], found["format"]) == ("open", "m", "driftline.episode/1")
    assert {answer.status_code for answer in (seen, quiet, told, closed, again)} == {200}
    document = after.json()
    assert document["acknowledged"]["by"] == "ann"
    assert document["silenced_until"] == "2026-03-02T15:00:00Z"
    assert (document["outcome"]["state"], document["outcome"]["link"]) == ("started", "https://ci/1")
    assert (document["state"], document["resolved_by"]) == ("resolved", "bob")
    assert document == again.json()


def test_a_pipeline_tells_how_its_retraining_goes_and_may_say_it_twice(tmp_path):
    async def scenario(api):
        found = await drifted(api)
        path = f"/v1/episodes/{found['id']}"
        answers = []
        for state, link in [
            ("started", "https://ci/1"),
            ("started", "https://ci/1"),
            ("failed", None),
            ("started", "https://ci/2"),
            ("succeeded", None),
        ]:
            api.clock.us += HOUR_US
            answers.append(await api.client.post(f"{path}/outcome", json={"state": state, "link": link}))
        return answers, (await api.client.get(path)).json(), decode_state((await api.store.alert("m", "1"))[1])

    answers, document, state = served(tmp_path, scenario, targets=TARGETS)

    assert {answer.status_code for answer in answers} == {200}
    assert document["outcomes"] == [
        {"state": "started", "link": "https://ci/1", "at": "2026-03-02T15:00:00Z"},
        {"state": "failed", "link": "https://ci/1", "at": "2026-03-02T17:00:00Z"},
        {"state": "started", "link": "https://ci/2", "at": "2026-03-02T18:00:00Z"},
        {"state": "succeeded", "link": "https://ci/2", "at": "2026-03-02T19:00:00Z"},
    ]
    assert document["outcome"] == document["outcomes"][-1]
    assert document["state"] == "open"
    assert state.watch.accepted


@pytest.mark.parametrize(
    ("action", "body", "accepts"),
    [
        ("acknowledge", {"by": "ann"}, True),
        ("outcome", {"state": "succeeded"}, True),
        ("outcome", {"state": "failed"}, False),
        ("silence", {"for": "1h"}, False),
    ],
)
def test_who_acknowledges_an_episode_takes_it_for_drift(tmp_path, action, body, accepts):
    async def scenario(api):
        found = await drifted(api)
        await api.client.post(f"/v1/episodes/{found['id']}/{action}", json=body)
        return decode_state((await api.store.alert("m", "1"))[1])

    assert served(tmp_path, scenario, targets=TARGETS).watch.accepted is accepts


def test_episodes_are_listed_by_model_and_state(tmp_path):
    async def scenario(api):
        found = await drifted(api)
        get = api.client.get
        before = [
            len((await get("/v1/episodes", params=params)).json()["episodes"])
            for params in ({}, {"model": "m"}, {"model": "other"}, {"open": "true"}, {"limit": 1})
        ]
        await api.client.post(f"/v1/episodes/{found['id']}/resolve", json={"by": "me"})
        return before, (await get("/v1/episodes", params={"open": "true"})).json()

    before, after = served(tmp_path, scenario, targets=TARGETS)

    assert before == [1, 1, 0, 1, 1]
    assert after == {"episodes": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "episodes/none", None, 404),
        ("POST", "episodes/none/acknowledge", {"by": "me"}, 404),
        ("POST", "episodes/none/silence", {"for": "1h"}, 404),
        ("POST", "episodes/none/resolve", {"by": "me"}, 404),
        ("POST", "episodes/none/outcome", {"state": "failed"}, 404),
        ("POST", "episodes/{id}/acknowledge", {}, 422),
        ("POST", "episodes/{id}/acknowledge", {"by": ""}, 422),
        ("POST", "episodes/{id}/acknowledge", {"by": "x" * 129}, 422),
        ("POST", "episodes/{id}/silence", {"for": "soon"}, 422),
        ("POST", "episodes/{id}/silence", {"duration": "1h"}, 422),
        ("POST", "episodes/{id}/resolve", None, 422),
        ("POST", "episodes/{id}/outcome", {"state": "maybe"}, 422),
        ("POST", "episodes/{id}/outcome", {"state": "failed", "link": "javascript:alert(1)"}, 422),
        ("GET", "episodes?limit=0", None, 422),
        ("GET", "episodes?open=perhaps", None, 422),
        ("GET", "deliveries?state=lost", None, 422),
        ("GET", "deliveries?limit=1001", None, 422),
        ("POST", "deliveries/none/retry", None, 404),
        ("POST", "targets/none/enable", None, 404),
    ],
)
def test_what_cannot_be_done_to_an_episode_is_refused(tmp_path, method, path, body, status):
    async def scenario(api):
        await api.store.put_model("m", b"{}", "api", None)
        found = await drifted(api) if "{id}" in path else {"id": ""}
        return await api.client.request(method, f"/v1/{path}".replace("{id}", found["id"]), json=body)

    problem_in(served(tmp_path, scenario, targets=TARGETS), status)


def test_of_two_who_change_an_episode_at_the_same_time_one_is_told(tmp_path):
    async def scenario(api):
        found = await drifted(api)
        reading = api.store.episode
        both = asyncio.Barrier(2)

        async def read_together(episode_id):
            row = await reading(episode_id)
            await both.wait()
            return row

        api.store.episode = read_together
        path = f"/v1/episodes/{found['id']}/acknowledge"
        return await asyncio.gather(
            *(api.client.post(path, json={"by": who}) for who in ("ann", "bob")), return_exceptions=False
        )

    answers = served(tmp_path, scenario, targets=TARGETS)

    assert sorted(answer.status_code for answer in answers) == [200, 409]


def test_deliveries_are_listed_and_dead_ones_sent_again(tmp_path):
    async def scenario(api):
        await api.store.put_model("m", b"{}", "api", None)
        await api.store.enqueue([notice("n/1:gone", target="gone", body=b'{"kind": "test"}', created_at_us=NOW_US)])
        (claimed,) = await api.store.claim("gone", "me", NOW_US + 1, 10)
        pending = await api.client.get("/v1/deliveries", params={"target": "gone"})
        await api.store.settle("me", [Settled(id=claimed.id, state="dead", next_attempt_us=0, last="500")])
        dead = await api.client.get("/v1/deliveries", params={"state": "dead"})
        again = await api.client.post("/v1/deliveries/n/1:gone/retry")
        twice = await api.client.post("/v1/deliveries/n/1:gone/retry")
        return pending, dead, again, twice, await api.client.get("/v1/deliveries", params={"state": "dead"})

    pending, dead, again, twice, none = served(tmp_path, scenario)

    assert [one["state"] for one in pending.json()["deliveries"]] == ["pending"]
    (delivery,) = dead.json()["deliveries"]
    assert (delivery["id"], delivery["kind"], delivery["last"], delivery["next_attempt_at"]) == (
        "n/1:gone",
        "test",
        "500",
        None,
    )
    assert (again.status_code, again.json()) == (202, {"id": "n/1:gone", "state": "pending"})
    problem_in(twice, 404)
    assert none.json() == {"deliveries": []}


def test_a_target_that_asked_for_no_more_can_be_enabled_again(tmp_path):
    async def scenario(api):
        await api.store.set_target_disabled("ci", "2026-03-02T12:00:00Z")
        answer = await api.client.post("/v1/targets/ci/enable")
        return answer, await api.store.targets_disabled()

    answer, disabled = served(tmp_path, scenario, targets=TARGETS)

    assert answer.json() == {"target": "ci", "state": "enabled"}
    assert disabled == {}


def test_an_episode_is_given_as_it_is_stored(tmp_path):
    async def scenario(api):
        await api.store.put_model("m", b"{}", "api", None)
        await api.store.put_episode(episode("e1", document=b'{"format":"driftline.episode/1"}'), None, ())
        return await api.client.get("/v1/episodes/e1")

    assert served(tmp_path, scenario).json() == {"format": "driftline.episode/1"}
