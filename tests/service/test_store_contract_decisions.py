"""The contract of stores, over every kind: records, evaluations, alerts, episodes, decisions."""

import asyncio

from stores import (
    EVER_US,
    WINDOW_US,
    commit,
    delta,
    episode,
    evaluated,
    evaluation,
    made,
    notice,
    on_every_store,
    series,
    step,
)

from service.ports import AlertChange, CountsRead, Keeping


def change(revision=0, document=b"{}", *, segment=""):
    return AlertChange(version="1", segment=segment, revision=revision, document=document)


def read(rows, *, first=0, last=1, **kind):
    """That so many rows were in a span of windows."""
    return CountsRead(series=series(**kind), first_us=first * WINDOW_US, last_us=last * WINDOW_US, rows=rows)


def everything(epoch, **changes):
    """A record that writes something everywhere."""
    parts = {
        "until": 1,
        "evaluations": [evaluation()],
        "alert": change(),
        "episodes": [episode()],
        "notices": [notice()],
        "decisions": [(WINDOW_US, b"decision")],
    }
    return step(epoch, **(parts | changes))


async def nothing_was_written(store):
    progress = await store.progress()
    return (
        all(row.evaluated_until_us is None for row in progress)
        and not await evaluated(store)
        and await store.alert("m", "1") is None
        and await store.episode("e") is None
        and not await store.deliveries(state=None, target=None, limit=9)
        and not await store.decisions("m", "1", 0, EVER_US)
    )


# --- records


@on_every_store
async def test_a_record_writes_all_of_its_parts(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, delta())])

    assert await place.store.record(everything(epoch))

    (progress,) = await place.store.progress("m")
    assert progress.evaluated_until_us == WINDOW_US
    assert [row.document for row in await evaluated(place.store)] == [b"{}"]
    assert await place.store.alert("m", "1") == (1, b"{}")
    assert (await place.store.episode("e")).revision == 1
    assert [row.id for row in await place.store.deliveries(state="pending", target="ci", limit=9)] == ["n"]
    assert [tuple(row) for row in await place.store.decisions("m", "1", 0, WINDOW_US)] == [(WINDOW_US, b"decision")]


@on_every_store
async def test_a_record_that_relied_on_something_else_writes_nothing(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, delta())])

    for changed in (
        {"was": 1},
        {"relied_on": [read(1), read(2)]},
        {"cleaned": {0: 1}},
        {"alert": change(1)},
        {"episodes": [episode(), episode("f", revision=1)]},
        {"model": "other"},
        {"version": "2", "was": 0},
    ):
        assert not await place.store.record(everything(epoch, **changed)), changed
        assert await nothing_was_written(place.store), changed
    assert not await place.store.record(everything(epoch + 1))
    assert await nothing_was_written(place.store)


@on_every_store
async def test_a_record_in_a_role_is_written_while_its_fence_holds(place):
    epoch = await made(place.store)
    fences = await place.store.hold(["m"], "me", 100)
    place.clock.us += 99

    assert await place.store.record(everything(epoch, fence=fences["m"]))


@on_every_store
async def test_a_record_in_a_role_that_was_lost_writes_nothing_however_it_was_lost(place):
    other = await place.another()
    epoch = await made(place.store)
    first = (await place.store.hold(["m"], "me", 100))["m"]
    late = everything(epoch, fence=first)

    place.clock.us += 100
    assert not await place.store.record(late), "it ran out, and nobody has it"
    second = (await other.hold(["m"], "you", 100))["m"]
    assert not await place.store.record(late), "another owner has it"
    await other.release(["m"], "you")
    assert not await place.store.record(late), "it was given back"
    third = (await place.store.hold(["m"], "me", 100))["m"]
    assert not await place.store.record(late), "the owner of then has it again"
    assert await nothing_was_written(place.store)

    assert first < second < third
    assert await place.store.record(everything(epoch, fence=third))


@on_every_store
async def test_of_two_records_of_one_step_one_is_written(place):
    other = await place.another()
    epoch = await made(place.store)

    for window in range(10):
        was = window or None
        both = [
            store.record(step(epoch, was=was, until=window + 1, decisions=[((window + 1) * WINDOW_US, b"")]))
            for store in (place.store, other)
        ]
        assert sorted(await asyncio.gather(*both)) == [False, True]

    assert len(await other.decisions("m", "1", 0, EVER_US)) == 10


@on_every_store
async def test_rows_that_were_relied_on_are_those_of_panes_and_deltas_in_the_span(place):
    epoch = await made(place.store)
    deltas = [delta(0, (1, 0, 0)), delta(11, (2, 0, 0)), delta(12, (4, 0, 0)), delta(3, (8, 0, 0), segment="eu")]
    await place.store.commit([commit(epoch, *deltas)])
    await place.store.sweep([], 0, 9)
    await place.store.commit([commit(epoch, delta(5, (16, 0, 0)))])

    right = [read(19), read(4, first=1, last=2), read(8, segment="eu"), read(0, reference_id="other")]

    assert await place.store.record(step(epoch, relied_on=right))
    for wrong in (read(3), read(23), read(19, last=2), read(1, first=2, last=3)):
        assert not await place.store.record(step(epoch, relied_on=[*right, wrong]))


@on_every_store
async def test_rows_that_came_after_reading_refuse_the_record_and_coarsening_does_not(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, delta(1, (1, 0, 0)))])
    keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US, coarsen_before_us=WINDOW_US)

    await place.store.sweep([keeping], 0, 9)
    assert await place.store.record(step(epoch, relied_on=[read(1)]))
    await place.store.commit([commit(epoch, delta(1, (0, 1, 0)))])
    assert not await place.store.record(step(epoch, relied_on=[read(1)]))


@on_every_store
async def test_only_what_was_seen_of_a_dirty_window_is_cleaned(place):
    epoch = await made(place.store)
    await place.store.record(step(epoch, until=2))
    await place.store.commit([commit(epoch, delta(0), delta(0), delta(12))])

    async def dirty():
        return dict((await place.store.progress("m"))[0].dirty)

    assert not await place.store.record(step(epoch, was=2, until=2, cleaned={0: 1}))
    assert not await place.store.record(step(epoch, was=2, until=2, cleaned={0: 2, WINDOW_US: 2}))
    assert await dirty() == {0: 2, WINDOW_US: 1}
    assert await place.store.record(step(epoch, was=2, until=2, cleaned={0: 2}))
    assert await dirty() == {WINDOW_US: 1}
    assert not await place.store.record(step(epoch, was=2, until=2, cleaned={0: 2}))


@on_every_store
async def test_a_version_can_be_evaluated_before_it_has_a_row(place):
    epoch = await made(place.store)

    assert await place.store.record(step(epoch, until=1))
    assert list(await place.store.progress()) == []
    assert not await place.store.record(step(epoch, until=2))
    await place.store.commit([commit(epoch, delta(0))])

    (progress,) = await place.store.progress()
    assert (progress.newest_us, progress.evaluated_until_us, dict(progress.dirty)) == (1, WINDOW_US, {0: 1})


# --- evaluations


@on_every_store
async def test_of_evaluations_with_one_end_the_one_recorded_last_comes_first_and_replacing_is_recording(place):
    epoch = await made(place.store)
    await place.store.record(step(epoch, evaluations=[evaluation(1, size="b"), evaluation(1, size="a")]))
    await place.store.record(step(epoch, evaluations=[evaluation(1, size="c"), evaluation(0, size="d")]))

    async def found():
        rows = await place.store.evaluations("m", "1", size=None, first_us=None, last_us=None, limit=9)
        return [(row.size, row.revision) for row in rows]

    assert await found() == [("c", 1), ("a", 1), ("b", 1), ("d", 1)]
    await place.store.record(step(epoch, evaluations=[evaluation(1, size="b", revision=2)]))
    assert await found() == [("b", 2), ("c", 1), ("a", 1), ("d", 1)]


@on_every_store
async def test_a_model_that_is_made_again_has_the_evaluations_of_its_new_life_only(place):
    await place.store.record(step(await made(place.store), evaluations=[evaluation(0), evaluation(1)]))
    await place.store.delete_model("m")
    await place.store.sweep([], 0, 9)

    await place.store.record(step(await made(place.store), evaluations=[evaluation(1, document=b"new")]))

    assert [row.document for row in await evaluated(place.store)] == [b"new"]


@on_every_store
async def test_an_evaluation_reads_as_it_was_written(place):
    epoch = await made(place.store)
    written = evaluation(3, segment="eu", size="1000rows", document=b"\x00\xff", revision=4)

    await place.store.record(step(epoch, evaluations=[written]))

    assert await evaluated(place.store) == [written]


@on_every_store
async def test_evaluations_that_differ_in_their_key_stand_side_by_side(place):
    epoch = await made(place.store)
    kinds = [{}, {"size": "6h"}, {"segment": "eu"}, {"reference_id": "r2"}]

    await place.store.record(step(epoch, evaluations=[evaluation(0, **kind) for kind in kinds]))

    assert len(await evaluated(place.store)) == 4


@on_every_store
async def test_evaluations_of_a_version_come_latest_end_first(place):
    epoch = await made(place.store)
    windows = [evaluation(window) for window in (1, 0, 3, 2)]
    await place.store.record(step(epoch, evaluations=[*windows, evaluation(3, size="6h")]))

    async def ends(*, size="1h", first=None, last=None, limit=9, version="1"):
        found = await place.store.evaluations(
            "m",
            version,
            size=size,
            first_us=None if first is None else first * WINDOW_US,
            last_us=None if last is None else last * WINDOW_US,
            limit=limit,
        )
        return [row.end_us // WINDOW_US for row in found]

    assert await ends() == [4, 3, 2, 1]
    assert await ends(size=None) == [4, 4, 3, 2, 1]
    assert await ends(size="6h") == [4]
    assert await ends(first=1, last=3) == [3, 2]
    assert await ends(limit=1) == [4]
    assert await ends(version="2") == []


@on_every_store
async def test_old_evaluations_decisions_and_closed_episodes_are_dropped(place):
    epoch = await made(place.store)
    await place.store.record(
        step(
            epoch,
            until=1,
            evaluations=[evaluation(0), evaluation(1)],
            decisions=[(WINDOW_US, b"0"), (2 * WINDOW_US, b"1")],
            episodes=[episode("open"), episode("closed", is_open=False)],
        )
    )
    await place.store.record(step(epoch, was=1, until=2, episodes=[episode("later"), episode("long")]))
    await place.store.record(step(epoch, was=2, until=3, episodes=[episode("long", revision=1, is_open=False)]))

    def keeping(window, version="1"):
        bound_us = window * WINDOW_US
        return Keeping(model="m", version=version, base_window_us=WINDOW_US, evaluations_before_us=bound_us)

    await place.store.sweep([keeping(1), keeping(9, version="2")], 0, 9)
    assert len(await evaluated(place.store)) == 2
    assert len(await place.store.decisions("m", "1", 0, EVER_US)) == 2
    assert len(await place.store.episodes(model=None, open_only=False, limit=9)) == 4

    await place.store.sweep([keeping(2)], 0, 9)
    assert [row.end_us for row in await evaluated(place.store)] == [2 * WINDOW_US]
    assert [tuple(row) for row in await place.store.decisions("m", "1", 0, EVER_US)] == [(2 * WINDOW_US, b"1")]
    kept = await place.store.episodes(model=None, open_only=False, limit=9)
    assert {row.id for row in kept} == {"open", "later", "long"}


# --- alerts and episodes


@on_every_store
async def test_alert_states_are_of_a_version_and_segment(place):
    epoch = await made(place.store)
    await place.store.record(step(epoch, alert=change(0, b"all")))
    await place.store.record(step(epoch, alert=change(0, b"eu", segment="eu")))
    await place.store.record(step(epoch, alert=change(1, b"all again")))

    assert await place.store.alert("m", "1") == (2, b"all again")
    assert await place.store.alert("m", "1", "eu") == (1, b"eu")
    assert await place.store.alert("m", "2") is None
    assert await place.store.alert("other", "1") is None


@on_every_store
async def test_episodes_come_latest_first(place):
    one, two = await made(place.store, "m"), await made(place.store, "n")
    episodes = [episode("a", opened_at_us=5), episode("b", opened_at_us=9, is_open=False), episode("c", opened_at_us=5)]
    await place.store.record(step(one, episodes=episodes))
    await place.store.record(step(two, model="n", episodes=[episode("d", opened_at_us=7, model="n")]))

    async def ids(*, model=None, open_only=False, limit=9):
        return [row.id for row in await place.store.episodes(model=model, open_only=open_only, limit=limit)]

    assert await ids() == ["b", "d", "c", "a"]
    assert await ids(open_only=True) == ["d", "c", "a"]
    assert await ids(model="m") == ["b", "c", "a"]
    assert await ids(limit=1) == ["b"]
    assert await place.store.episode("d") == episode("d", opened_at_us=7, model="n", revision=1)
    assert await place.store.episode("x") is None


@on_every_store
async def test_an_episode_is_changed_by_hand_with_its_alert_and_notices(place):
    epoch = await made(place.store)
    await place.store.record(step(epoch, episodes=[episode()], alert=change()))

    closed = episode(revision=1, is_open=False, document=b"closed")
    assert await place.store.put_episode(closed, change(1, b"ok"), [notice()])

    assert await place.store.episode("e") == episode(revision=2, is_open=False, document=b"closed")
    assert await place.store.alert("m", "1") == (2, b"ok")
    assert len(await place.store.deliveries(state="pending", target=None, limit=9)) == 1
    assert await place.store.put_episode(episode(revision=2), None, [])
    assert await place.store.alert("m", "1") == (2, b"ok")


@on_every_store
async def test_an_episode_is_not_changed_by_hand_if_it_or_the_alert_has_changed(place):
    epoch = await made(place.store)
    await place.store.record(step(epoch, episodes=[episode()], alert=change()))

    assert not await place.store.put_episode(episode(), None, [notice()])
    assert not await place.store.put_episode(episode(revision=1), change(0), [notice()])
    assert not await place.store.put_episode(episode(revision=1, model="other"), None, [notice()])

    assert await place.store.episode("e") == episode(revision=1)
    assert await place.store.alert("m", "1") == (1, b"{}")
    assert list(await place.store.deliveries(state=None, target=None, limit=9)) == []


@on_every_store
async def test_decisions_are_appended_and_read_by_where_their_windows_end(place):
    epoch = await made(place.store)
    await place.store.record(step(epoch, decisions=[(20, b"a"), (10, b"b")]))
    await place.store.record(step(epoch, decisions=[(10, b"c"), (30, b"d")]))

    async def documents(first_us, last_us, version="1"):
        return [document for _, document in await place.store.decisions("m", version, first_us, last_us)]

    assert await documents(0, EVER_US) == [b"a", b"b", b"c", b"d"]
    assert await documents(10, 30) == [b"a", b"d"]
    assert await documents(9, 10) == [b"b", b"c"]
    assert await documents(0, EVER_US, "2") == []
