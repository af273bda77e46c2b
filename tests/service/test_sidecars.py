"""Sidecars bin beside the model and send counts; what is counted at the centre is what one process would have counted."""

import asyncio
import math
import random
from types import SimpleNamespace

import httpx
import msgspec
import pytest
from fleet import beside, fleet_of, sprayed
from running import timeless
from serving import (
    NDJSON,
    NOW_US,
    PROBLEM_TYPE,
    REFERENCE_TYPE,
    ROW,
    encoded,
    key_setting,
    problem_in,
    reference_file,
    rows_of,
    serving,
    until,
)

from service.errors import StoreUnavailableError
from service.exporter import CATALOGUE
from service.storage.codec import summed

STORES = ("memory", "sqlite", "redis")
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
EVER = 1 << 62
TIMED = {"columns": {"at": {"role": "time"}}, "lateness": "8h"}
MARKER = "walrus-4711"
"""A category that no reference has."""


def run(scenario):
    asyncio.run(scenario())


def timed(rows, first_us, step_us):
    return [row | {"at": (first_us + number * step_us) / 1e6} for number, row in enumerate(rows)]


def in_batches(rows, size=10):
    return [rows[start : start + size] for start in range(0, len(rows), size)]


async def verdicts(centre):
    """All evaluations and decisions, but for when they were made."""
    while True:
        before = await centre.store.progress("m")
        await centre.service.ticks.evaluate()
        if await centre.store.progress("m") == before:
            break
    evaluations = await centre.store.evaluations("m", "1", size=None, first_us=None, last_us=None, limit=10_000)
    decisions = await centre.store.decisions("m", "1", -EVER, EVER)
    return (
        [timeless(msgspec.json.decode(row.document)) for row in evaluations],
        [(end_us, timeless(msgspec.json.decode(document))) for end_us, document in decisions],
    )


@pytest.mark.parametrize("store", STORES)
def test_ten_sidecars_count_and_decide_as_one_process_does(tmp_path, store):
    rows = timed(rows_of(1_200), NOW_US - 20 * HOUR_US, 6 * HOUR_US // 1_200)
    end = [ROW | {"at": NOW_US / 1e6}]  # none of the others is late, and then all are closed

    async def scenario():
        async with serving(tmp_path) as alone:
            await alone.model(configuration=TIMED)
            for batch in [*in_batches(rows), end]:
                assert (await alone.send(batch)).status_code == 200
            expected = await alone.counts(), await verdicts(alone)

        async with serving(tmp_path, store=store) as centre:
            await centre.model(configuration=TIMED)
            async with fleet_of(centre, tmp_path, 10) as sidecars:
                for sidecar in sidecars:
                    sidecar.wire.lost = 0.2
                    sidecar.wire.again = 0.2
                rng = random.Random(1)  # noqa: S311 - chance is no secret
                await sprayed(rng, sidecars, in_batches(rows))
                await sprayed(rng, sidecars, [end], first=len(rows))
                for sidecar in sidecars:
                    assert set(await sidecar.wire.stragglers()) <= {200, 409}

                assert await centre.counts() == expected[0]
                assert await verdicts(centre) == expected[1]
        assert len(expected[1][0]) >= 6

    run(scenario)


def test_rows_are_acknowledged_when_the_centre_has_their_counts(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()

            answer = await sidecar.send(rows_of(3))

            assert answer.json()["accepted"] == 3
            assert await centre.rows() == 3

    run(scenario)


def test_a_repeat_is_known_at_whichever_sidecar_and_at_the_centre(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, fleet_of(centre, tmp_path, 2) as (one, other):
            await centre.model()
            await one.send(rows_of(3), key="k")

            answers = [await place.send(rows_of(3), key="k") for place in (one, other, centre)]
            problem_in(await other.send(rows_of(4), key="k"), 422)

            assert [answer.json()["duplicate"] for answer in answers] == [True] * 3
            assert await centre.rows() == 3

    run(scenario)


def test_a_batch_whose_answer_was_lost_is_sent_again_and_counted_once(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()
            sidecar.wire.lost = 0.7
            for _ in range(30):
                answer = await sidecar.send(ROW)
                assert answer.json() == {"accepted": 1, "rejected": 0, "late": 0, "duplicate": False, "errors": []}

            assert await centre.rows() == 30
            assert len([path for method, path, _ in sidecar.wire.sent if method == "POST"]) > 45

    run(scenario)


def test_no_value_of_a_row_is_on_the_wire(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()
            row = ROW | {"weather": MARKER, "hour": MARKER, "unknown": MARKER, "temp": 0.123456789}
            answer = await sidecar.send([row] * 3 + [MARKER], key="k")
            bodies = [body for _, _, body in sidecar.wire.sent]

            assert answer.json()["accepted"] == 3
            assert await centre.rows() == 3
            assert len([body for body in bodies if body]) == 1
            assert not any(MARKER.encode() in body or b"0.123456789" in body for body in bodies)

    run(scenario)


@pytest.mark.parametrize("under_traffic", [False, True])
def test_another_reference_takes_over_without_a_row_lost_or_mixed(tmp_path, under_traffic):
    """What was counted by an epoch that is past is refused whole, and counted again by the one that is."""

    async def counts_of(centre):
        live = centre.service.registry.get("m").version("1")
        found = {}
        for since in live.since:
            bins = since.reference.binner.layout.n_bins_total
            panes = await centre.store.panes(live.series(since.reference.id), -EVER, EVER)
            found[since.reference.id] = {
                pane.start_us: (pane.rows, tuple(summed(pane.payloads, bins).tolist())) for pane in panes
            }
        return found

    rows = timed(rows_of(600), NOW_US - 10 * MINUTE_US, MINUTE_US // 60)
    before, after = rows[:300], rows[300:]
    file = reference_file(seed=1)

    async def switched(centre):
        answer = await centre.client.post(
            "/v1/models/m/references",
            content=file,
            headers={"content-type": REFERENCE_TYPE},
            params={"activate": "false"},
        )
        path = f"/v1/models/m/references/{answer.json()['id']}/activate"
        # In the middle of a pane, and of what was sent already.
        assert (await centre.client.post(path, json={"from_time": "2026-03-02T11:57:30Z"})).status_code == 200

    async def scenario():
        async with serving(tmp_path) as alone:
            await alone.model(configuration=TIMED)
            await alone.send(before)
            await switched(alone)
            await alone.send(after)
            expected = await counts_of(alone)

        async with serving(tmp_path) as centre, fleet_of(centre, tmp_path, 4) as sidecars:
            await centre.model(configuration=TIMED)
            rng = random.Random(2)  # noqa: S311 - chance is no secret
            await sprayed(rng, sidecars, in_batches(before))
            for sidecar in sidecars:
                sidecar.wire.lost = sidecar.wire.again = 0.2
            if under_traffic:
                await asyncio.gather(sprayed(rng, sidecars, in_batches(after), first=1_000), switched(centre))
            else:  # of which no sidecar knows
                await switched(centre)
                await sprayed(rng, sidecars, in_batches(after), first=1_000)
            for sidecar in sidecars:
                assert set(await sidecar.wire.stragglers()) <= {200, 409}
            found = await counts_of(centre)

        assert sum(rows for panes in found.values() for rows, _ in panes.values()) == 600
        assert found.keys() == expected.keys()
        if not under_traffic:
            assert found == expected
        # Rows behind the switch that came before it was made have stayed where they were.
        old, _ = expected
        assert sum(rows for rows, _ in found[old].values()) in range(450, 600)

    run(scenario)


def test_a_sidecar_that_knows_an_older_reference_counts_again_by_the_new_one(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()
            await sidecar.send(rows_of(5))
            old = sidecar.sidecar.registry.get("m").version("1").active.id
            centre.clock.us += 1
            new = (await centre.model(seed=1))["id"]
            before = len(sidecar.wire.sent)

            answer = await sidecar.send(rows_of(7))
            posted = [body for method, _, body in sidecar.wire.sent[before:] if method == "POST"]

            assert answer.json()["accepted"] == 7
            assert [old.encode() in body for body in posted] == [True, False]
            assert new.encode() in posted[1]
            assert await centre.rows() == 7  # of the new one

    run(scenario)


def test_what_a_version_learns_adds_up_to_the_reference_of_one_process(tmp_path):
    configuration = {"learning": {"rows": 300}}

    async def learned(centre):
        await centre.service.ticks.evaluate()
        (version,) = (await centre.client.get("/v1/models/m")).json()["versions"]
        return version["mode"], version["reference_id"]

    async def scenario():
        rows = rows_of(300)
        async with serving(tmp_path) as alone:
            await alone.client.put("/v1/models/m", json=configuration)
            await alone.send(rows)
            expected = await learned(alone)
        async with serving(tmp_path) as centre, fleet_of(centre, tmp_path, 3) as sidecars:
            await centre.client.put("/v1/models/m", json=configuration)
            for sidecar in sidecars:
                sidecar.wire.lost = 0.2
            await sprayed(random.Random(3), sidecars, in_batches(rows))  # noqa: S311 - chance is no secret
            assert await learned(centre) == expected
            assert expected[0] == "active"

            assert (await sidecars[0].send(rows_of(4))).json()["accepted"] == 4
            assert await centre.rows() == 4

    run(scenario)


def test_a_model_that_is_deleted_is_gone_at_its_sidecars_and_may_be_made_again(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()
            await sidecar.send(rows_of(3))
            await centre.client.delete("/v1/models/m")

            problem_in(await sidecar.send(rows_of(3)), 404)
            await centre.model(seed=1)
            assert (await sidecar.send(rows_of(2))).status_code == 200

            assert await centre.rows() == 2

    run(scenario)


@pytest.mark.parametrize("rows", [[{"unknown": 1}] * 3, rows_of(2_000)], ids=["nothing known", "in full"])
def test_counts_of_nothing_and_counts_in_full_are_taken(tmp_path, rows):
    async def scenario():
        body = b"\n".join(encoded(row) for row in rows)
        async with serving(tmp_path) as alone:
            await alone.model()
            await alone.send(body, headers=NDJSON)
            expected = await alone.counts()
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()
            assert (await sidecar.send(body, headers=NDJSON)).json()["accepted"] == len(rows)

            assert await centre.counts() == expected

    run(scenario)


def test_counts_that_the_centre_will_never_take_are_not_sent_again_and_again(tmp_path):
    """As where the two are of releases, or of limits, that do not fit together."""

    async def scenario():
        async with (
            serving(tmp_path, limits={"body_bytes_max": "600B"}) as centre,
            beside(centre, tmp_path) as sidecar,
        ):
            await centre.client.put("/v1/models/m", json={})
            problem = problem_in(await sidecar.send({f"column{number}": number for number in range(90)}), 502)
            assert "refused: 413" in problem["detail"]
            await centre.client.put("/v1/models/m", json=RECEIVED)
            await sidecar.sidecar.following.round()
            assert (await sidecar.send({f"column{number}": number for number in range(90)})).status_code == 200

            async def dropped():
                return await sidecar.metric("driftline_upstream_dropped_rows_total") == 1

            await until(dropped)
            assert len([path for method, path, _ in sidecar.wire.sent if method == "POST"]) <= 4
            assert "counts refused" in centre.log

    run(scenario)


def test_a_sidecar_without_traffic_follows_its_centre(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            follow = sidecar.sidecar.following.round
            await centre.model()
            await sidecar.send(ROW)
            await follow()
            await centre.model(seed=1)
            sidecar.wire.cut = True
            await follow()
            await follow()
            assert centre.log.count("the centre is away") == 1
            sidecar.wire.cut = False
            await follow()
            assert "the centre is back" in centre.log
            active = centre.service.registry.get("m").version("1").active.id
            assert sidecar.sidecar.registry.get("m").version("1").active.id == active
            assert await sidecar.metric("driftline_upstream_sent_rows_total") == 1

            await centre.client.delete("/v1/models/m")
            await follow()
            assert sidecar.sidecar.registry.models == {}
            assert not any('model="m"' in line for line in await sidecar.metrics())

    run(scenario)


HELD = "/v1/models/slow/references/"
"""Of a model whose references the centre hands out when it is asked to, and not before."""

PROMPTLY_S = 5.0


def test_first_rows_of_a_model_do_not_wait_for_the_reference_of_another(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            for seed, model in enumerate(("known", "slow", "quick")):
                await centre.model(model, seed=seed)
            await sidecar.send(ROW, model="known")
            sidecar.wire.held[HELD] = asyncio.Event()
            slow = asyncio.create_task(sidecar.send(ROW, model="slow"))
            await until(lambda: holding(sidecar))

            async with asyncio.timeout(PROMPTLY_S):
                answers = [await sidecar.send(ROW, model=model) for model in ("known", "quick", "known")]
                unknown = await sidecar.send(ROW, model="unknown")

            assert [answer.status_code for answer in answers] == [200] * 3
            assert unknown.status_code == 404
            assert not slow.done()
            sidecar.wire.held[HELD].set()
            assert (await slow).status_code == 200
            assert await centre.rows("slow") == 1

    run(scenario)


@pytest.mark.parametrize("ack", ["committed", "received"])
def test_rows_do_not_wait_until_the_new_reference_of_another_model_is_here(tmp_path, ack):
    """Those of its own wait, aside, and are counted by it."""

    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model("slow", configuration={"ack": ack})
            await centre.model("quick")
            for model in ("slow", "quick"):
                assert (await sidecar.send(ROW, model=model)).status_code == 200
            await until(lambda: arrived(sidecar))
            centre.clock.us += 1
            await centre.model("slow", seed=1)
            sidecar.wire.held[HELD] = asyncio.Event()
            slow = [asyncio.create_task(sidecar.send(ROW, model="slow", key="first"))]
            await until(lambda: holding(sidecar))

            async with asyncio.timeout(PROMPTLY_S):
                quick = [await sidecar.send(ROW, model="quick")]
            slow += [asyncio.create_task(sidecar.send(ROW, model="slow", key=str(number % 4))) for number in range(8)]
            async with asyncio.timeout(PROMPTLY_S):
                quick += [await sidecar.send(ROW, model="quick") for _ in range(10)]

            assert [answer.status_code for answer in quick] == [200] * 11
            assert [task.done() for task in slow] == [ack == "received"] * 9
            assert await sidecar.metric("driftline_upstream_pending_rows") == 9
            sidecar.wire.held[HELD].set()
            assert [answer.status_code for answer in await asyncio.gather(*slow)] == [200] * 9
            await until(lambda: arrived(sidecar))
            assert await centre.rows("slow") == 5  # by the new reference; a repeat of a key adds nothing
            assert await centre.rows("quick") == 12

    run(scenario)


@pytest.mark.parametrize("failure", ["refused", "spoilt", "stopped"])
@pytest.mark.parametrize("ack", ["committed", "received"])
def test_rows_whose_model_cannot_be_read_have_a_fate(tmp_path, ack, failure):
    async def scenario():
        async with serving(tmp_path) as centre:
            async with beside(centre, tmp_path) as sidecar:
                await centre.model("slow", configuration={"ack": ack})
                await sidecar.send(ROW, model="slow")
                await until(lambda: arrived(sidecar))
                centre.clock.us += 1
                await centre.model("slow", seed=1)
                sidecar.wire.held[HELD] = asyncio.Event()
                slow = [asyncio.create_task(sidecar.send(ROW, model="slow"))]
                await until(lambda: holding(sidecar))
                slow.append(asyncio.create_task(sidecar.send(ROW, model="slow")))
                await until(lambda: waiting(sidecar, 2))

                sidecar.wire.spoilt = "/file"
                if failure != "spoilt":
                    sidecar.wire.nonsense = httpx.Response(403, headers={"content-type": PROBLEM_TYPE})
                stopping = asyncio.create_task(sidecar.sidecar.stop() if failure == "stopped" else asyncio.sleep(0))
                sidecar.wire.held[HELD].set()
                await stopping
                statuses = {answer.status_code for answer in await asyncio.gather(*slow)}

                if ack == "received":
                    assert statuses == {200}
                    if failure == "refused":
                        sidecar.wire.spoilt = None
                    if failure != "stopped":
                        await until(lambda: arrived(sidecar))
                    if failure == "refused":
                        assert await centre.rows("slow") == 2
                        return
                    assert "rows dropped" in centre.log
                else:
                    assert statuses == {422 if failure == "spoilt" else 503}
            assert await centre.rows("slow") == 0

    run(scenario)


async def holding(sidecar):
    return sidecar.wire.holding == 1


async def waiting(sidecar, rows):
    return await sidecar.metric("driftline_upstream_pending_rows") == rows


async def arrived(sidecar):
    return await waiting(sidecar, 0)


def test_a_model_that_a_sidecar_cannot_use_leaves_the_others_followed(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()
            await sidecar.send(ROW)
            await centre.model(seed=1)
            sidecar.sidecar.registry._references.clear()
            sidecar.wire.spoilt = "/file"
            await sidecar.sidecar.following.round()
            assert "cannot be used" in centre.log

            sidecar.wire.spoilt = None
            assert (await sidecar.send(ROW)).status_code == 200

    run(scenario)


def test_a_reference_that_counts_need_stays_and_one_that_nothing_needs_may_go(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            first = await centre.model()
            await sidecar.send(rows_of(3))
            unused = await centre.client.post(
                "/v1/models/m/references",
                content=b"a,b\n" + b"1,2\n" * 200,
                headers={"content-type": "text/csv"},
                params={"activate": "false"},
            )

            problem_in(await centre.client.delete(f"/v1/models/m/references/{first['id']}"), 409)
            gone = await centre.client.delete(f"/v1/models/m/references/{unused.json()['id']}")

            assert gone.status_code == 204
            assert (await sidecar.send(rows_of(3))).status_code == 200
            assert await centre.rows() == 6

    run(scenario)


def test_a_model_that_the_centre_does_not_know_is_not_known(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            problem_in(await sidecar.send(rows_of(1)), 404)

    run(scenario)


def test_a_centre_that_learns_what_rows_come_for_learns_it_from_sidecars_too(tmp_path):
    async def scenario():
        async with (
            serving(tmp_path, limits={"unknown_models": "learn"}) as centre,
            fleet_of(centre, tmp_path, 2) as sidecars,
        ):
            for sidecar in sidecars:
                assert (await sidecar.send(rows_of(3), model="new")).json()["accepted"] == 3

            assert await centre.rows("new") == 6

    run(scenario)


def test_the_page_of_a_sidecar_says_how_it_stands(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            before = (await sidecar.client.get("/page/sidecar")).json()
            await centre.model()
            await sidecar.send(rows_of(5))
            active = sidecar.sidecar.registry.get("m").version("1").active.id
            sidecar.wire.cut = True
            await sidecar.send(ROW)
            after = (await sidecar.client.get("/page/sidecar")).json()

            assert (before["last_sent"], before["models"]) == (None, [])
            assert after | {"version": ""} == {
                "version": "",
                "centre": "http://centre",
                "up": False,
                "pending_rows": 0,
                "oldest_pending_seconds": 0.0,
                "dropped_rows": 0,
                "last_sent": "2026-03-02T12:00:00Z",
                "models": [{"model": "m", "versions": [{"version": "1", "reference_id": active}]}],
            }
            page = await sidecar.client.get("/")
            assert b"/page/sidecar.js" in page.content
            for name in ("sidecar.js", "dom.js", "style.css"):
                assert (await sidecar.client.get(f"/page/{name}")).status_code == 200
            problem_in(await sidecar.client.get("/page/sidecar.html"), 404)

    run(scenario)


ELSEWHERE = [
    ("GET", "/v1/models"),
    ("PUT", "/v1/models/m"),
    ("GET", "/v1/models/m/evaluations"),
    ("POST", "/v1/models/m/references"),
    ("GET", "/v1/models/m/counting"),
    ("DELETE", "/v1/models/m"),
    ("GET", "/v1/nothing"),
]


@pytest.mark.parametrize(("method", "path"), ELSEWHERE)
def test_who_asks_a_sidecar_for_what_its_centre_has_is_told_where_that_is(tmp_path, method, path):
    auth = {"keys": [key_setting("rows", "rows", ["ingest", "metrics"])]}

    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path, auth=auth) as sidecar:
            problem_in(await sidecar.client.request(method, path), 401)
            sidecar.client.headers["x-api-key"] = "rows"

            problem = problem_in(await sidecar.client.request(method, path), 421)

            assert problem["title"] == "Misdirected Request"
            assert "a sidecar" in problem["detail"]
            assert "http://centre" in problem["detail"]
            assert not any(path in line for line in await sidecar.metrics())

    run(scenario)


def test_the_document_of_a_sidecar_has_what_it_answers_and_nothing_else(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()
            await sidecar.send(ROW)
            paths = (await sidecar.client.get("/openapi.json")).json()["paths"]
            found = {path for path, methods in paths.items() if "get" in methods}

            assert paths.keys() == {"/v1/models/{model}/inferences", "/healthz", "/livez", "/readyz", "/metrics"}
            assert {path: (await sidecar.client.get(path)).status_code for path in found} == dict.fromkeys(found, 200)

    run(scenario)


def test_a_sidecar_of_a_sidecar_says_so_and_does_not_take_models_for_gone(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()
            first = SimpleNamespace(service=sidecar.sidecar, clock=centre.clock)
            async with beside(first, tmp_path, number=1) as second:
                assert "this is a sidecar" in problem_in(await second.send(ROW), 503)["detail"]
                assert "this is a sidecar" in problem_in(await second.client.get("/readyz"), 503)["detail"]

    run(scenario)


def test_while_the_centre_is_away_senders_are_told_in_time_and_then_it_goes_on(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model()
            await sidecar.send(ROW)
            sidecar.wire.cut = True

            problem_in(await sidecar.send(ROW), 503)
            problem_in(await sidecar.client.get("/readyz"), 503)
            assert (await sidecar.client.get("/healthz")).status_code == 200
            assert await sidecar.metric("driftline_upstream_up") == 0

            sidecar.wire.cut = False
            assert (await sidecar.send(ROW)).status_code == 200
            assert (await sidecar.client.get("/readyz")).status_code == 200
            assert await sidecar.metric("driftline_upstream_up") == 1
            assert await centre.rows() == 2

    run(scenario)


def test_a_sidecar_lives_by_the_clock_of_the_centre_and_notices_when_that_is_set(tmp_path):
    """Rows that are in the future by the centre's clock are refused as such, whatever the sidecar takes the time for."""

    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path, own_clock=True) as sidecar:
            await centre.model(configuration=TIMED)
            now = [ROW | {"at": NOW_US / 1e6}]
            assert (await sidecar.send(now)).json()["accepted"] == 1
            assert (await sidecar.send([ROW | {"at": NOW_US / 1e6 + 120}])).json()["rejected"] == 1
            centre.clock.us -= 5 * MINUTE_US

            answer = (await sidecar.send(now)).json()

            assert (answer["accepted"], answer["rejected"]) == (0, 1)
            assert "later than now" in answer["errors"][0]["reason"]
            posted = [path for method, path, _ in sidecar.wire.sent if method == "POST"]
            assert len(posted) == 4  # one of them was a conflict
            assert await centre.rows() == 1

    run(scenario)


RECEIVED = {"ack": "received"}


def test_rows_acknowledged_on_receipt_wait_for_a_centre_that_is_away_and_arrive_once(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            await centre.model(configuration=RECEIVED)
            assert (await sidecar.send(ROW)).status_code == 200
            await until(lambda: arrived(centre, 1))
            sidecar.wire.lost = 1.0  # what is under way arrives, and nobody here is told
            await sidecar.send(rows_of(20))
            await until(lambda: arrived(centre, 21))
            sidecar.wire.lost, sidecar.wire.cut = 0.0, True
            for _ in range(10):
                assert (await sidecar.send(rows_of(3))).status_code == 200
            centre.clock.us += 5_000_000
            assert await sidecar.metric("driftline_upstream_pending_rows") == 50
            assert await sidecar.metric("driftline_upstream_oldest_pending_seconds") == 5

            sidecar.wire.cut = False
            await until(lambda: settled(sidecar))

            assert await centre.rows() == 51
            assert await sidecar.metric("driftline_upstream_dropped_rows_total") == 0
            assert await sidecar.metric("driftline_upstream_sent_rows_total") == 51

    async def arrived(centre, rows):
        return await centre.rows() == rows

    async def settled(sidecar):
        return await sidecar.metric("driftline_upstream_pending_rows") == 0

    run(scenario)


def test_what_finds_no_room_while_the_centre_is_away_is_dropped_and_counted(tmp_path):
    async def scenario():
        async with (
            serving(tmp_path) as centre,
            beside(centre, tmp_path, limits={"buffer_rows_max": 30}) as sidecar,
        ):
            await centre.model(configuration=RECEIVED)
            sidecar.wire.cut = False
            await sidecar.send(ROW)
            sidecar.wire.cut = True

            answers = [await sidecar.send(rows_of(10)) for _ in range(6)]
            dropped = await sidecar.metric("driftline_upstream_dropped_rows_total")
            taken = sum(answer.status_code == 200 for answer in answers)
            for answer in answers[taken:]:
                problem_in(answer, 429)
            sidecar.wire.cut = False

            async def settled():
                return await centre.rows() == 1 + 10 * taken

            await until(settled)
            assert taken in {3, 4}
            assert dropped == 60 - 10 * taken
            assert (await sidecar.client.get("/page/sidecar")).json()["dropped_rows"] == dropped

    run(scenario)


def test_rows_that_wait_while_the_reference_changes_are_counted_by_the_one_of_their_time(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            first = await centre.model(configuration=TIMED | RECEIVED)
            before, after = timed(rows_of(30), NOW_US, -1_000_000), timed(rows_of(20), NOW_US + 10_000_000, 1_000_000)
            assert (await sidecar.send(before[:1])).status_code == 200
            sidecar.wire.cut = True
            for rows in (before[1:], after):
                assert (await sidecar.send(rows)).status_code == 200
            centre.clock.us += MINUTE_US
            answer = await centre.client.post(
                "/v1/models/m/references",
                content=reference_file(seed=1),
                headers={"content-type": REFERENCE_TYPE},
                params={"activate": "false"},
            )
            second = answer.json()["id"]
            path = f"/v1/models/m/references/{second}/activate"
            assert (await centre.client.post(path, json={"from_time": "2026-03-02T12:00:05Z"})).status_code == 200
            sidecar.wire.cut = False
            live = centre.service.registry.get("m").version("1")

            async def rows_by(reference_id):
                windows = await centre.store.rows_by_window(live.series(reference_id), -EVER, EVER)
                return sum(rows for _, rows in windows)

            async def all_there():
                return await rows_by(first["id"]) + await rows_by(second) == 50

            await until(all_there)
            assert (await rows_by(first["id"]), await rows_by(second)) == (30, 20)

    run(scenario)


def test_a_sidecar_that_ends_while_its_centre_is_away_gives_up_what_waits_in_bounded_time(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre:
            async with beside(centre, tmp_path) as sidecar:
                await centre.model(configuration=RECEIVED)
                await sidecar.send(ROW)
                sidecar.wire.cut = True
                await sidecar.send(rows_of(7))
            assert "rows dropped" in centre.log
            assert await centre.rows() <= 1

    run(scenario)


def test_a_sidecar_starts_before_its_centre(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path, cut=True) as sidecar:
            await centre.model()
            problem_in(await sidecar.send(ROW), 503)

            sidecar.wire.cut = False

            assert (await sidecar.send(ROW)).status_code == 200

    run(scenario)


def test_beside_a_model_readiness_does_not_depend_on_the_centre(tmp_path):
    async def scenario():
        async with (
            serving(tmp_path) as centre,
            beside(centre, tmp_path, cut=True, server={"readiness": "sidecar"}) as sidecar,
        ):
            assert (await sidecar.client.get("/readyz")).status_code == 200

    run(scenario)


def test_a_key_needs_to_open_ingest_and_read(tmp_path):
    keys = {"both": ["ingest", "read"], "ingest": ["ingest"], "read": ["read"]}
    auth = {
        "keys": [*(key_setting(name, name, scopes) for name, scopes in keys.items()), key_setting("a", "a", ["admin"])]
    }

    async def scenario():
        async with serving(tmp_path, auth=auth) as centre:
            centre.client.headers["x-api-key"] = "a"
            await centre.model()
            statuses = []
            for key in (*keys, "unknown", None):
                async with beside(centre, tmp_path, key=key) as sidecar:
                    statuses.append((await sidecar.send(ROW)).status_code)

            assert statuses == [200, 503, 503, 503, 503]

    run(scenario)


def test_a_sidecar_tells_how_far_behind_it_is(tmp_path):
    async def scenario():
        async with serving(tmp_path) as centre, beside(centre, tmp_path) as sidecar:
            assert math.isnan(await sidecar.metric("driftline_upstream_up"))
            assert math.isnan(await sidecar.metric("driftline_upstream_last_sent_timestamp_seconds"))
            await centre.model()
            await sidecar.send(rows_of(5))
            lines = await sidecar.metrics()
            named = {line.split("{")[0].split(" ")[0] for line in lines}

            assert {metric.name for metric in CATALOGUE if metric.name.startswith("driftline_upstream_")} <= named
            assert await sidecar.metric("driftline_upstream_sent_rows_total") == 5
            assert await sidecar.metric("driftline_upstream_dropped_rows_total") == 0
            assert await sidecar.metric("driftline_upstream_pending_rows") == 0
            assert await sidecar.metric("driftline_upstream_last_sent_timestamp_seconds") == NOW_US / 1e6
            assert not any(line.startswith("driftline_rows_total") for line in lines)

            centre.store.gate.clear()
            sending = asyncio.create_task(sidecar.send(rows_of(3)))

            async def waits():
                return await sidecar.metric("driftline_upstream_pending_rows") > 0

            await until(waits)
            centre.clock.us += 7_000_000
            assert await sidecar.metric("driftline_upstream_pending_rows") == 3
            assert await sidecar.metric("driftline_upstream_oldest_pending_seconds") == 7
            centre.store.gate.set()
            await sending

    run(scenario)


def test_a_sidecar_keeps_nothing_on_a_disk(tmp_path):
    async def scenario():
        (tmp_path / "centre").mkdir()
        (tmp_path / "sidecar").mkdir()
        async with serving(tmp_path / "centre") as centre, beside(centre, tmp_path / "sidecar") as sidecar:
            await centre.model()
            await sidecar.send(encoded(rows_of(5)))

            assert list((tmp_path / "sidecar").iterdir()) == []

    run(scenario)


@pytest.mark.parametrize("broken", ["commit", "progress"])
def test_who_is_refused_hears_if_the_centre_may_have_counted_the_rows(tmp_path, broken):
    async def scenario():
        async with serving(tmp_path) as centre:
            await centre.model()
            async with beside(centre, tmp_path) as sidecar:
                await sidecar.send(rows_of(1))
                store = centre.store._store
                commit = store.commit

                async def answer_lost(commits):
                    await commit(commits)
                    raise StoreUnavailableError("away; whether it was written is not known")

                async def away(_model=None):
                    raise StoreUnavailableError("away")

                if broken == "commit":
                    store.commit = answer_lost
                else:
                    store.progress = away
                    centre.clock.us += 2_000_000  # what was known of it is read again
                answer = await sidecar.send(rows_of(5))
                return answer.status_code, "is not known" in answer.json()["detail"]

    assert asyncio.run(scenario()) == (503, True)
