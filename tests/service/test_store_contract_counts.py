"""The contract of stores, over every kind: commits, marks, panes, progress, housekeeping."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from stores import (
    EVER_US,
    PANE_US,
    WINDOW_US,
    commit,
    counted,
    delta,
    evaluated,
    evaluation,
    made,
    mark,
    on_every_store,
    series,
    step,
    total_of,
    turn,
)

from service.errors import PayloadError
from service.ports import LEARNING, LEARNING_PANE_US, Committed, Delta, Keeping, Swept
from service.storage import codec


def keeping(*, coarsen=None, expire=None, version="1"):
    """What is kept, by windows."""
    return Keeping(
        model="m",
        version=version,
        base_window_us=WINDOW_US,
        coarsen_before_us=None if coarsen is None else coarsen * WINDOW_US,
        expire_before_us=None if expire is None else expire * WINDOW_US,
    )


async def status_of(store, *commits):
    return [committed.status for committed in await store.commit(commits)]


async def dirty_of(store, version="1"):
    return next(dict(row.dirty) for row in await store.progress("m") if row.version == version)


# --- commits and marks


@on_every_store
async def test_counts_add_up(place):
    epoch = await made(place.store)

    results = await place.store.commit([commit(epoch, delta(0, (1, 2, 3)), delta(0, (1, 0, 0)), delta(1, (0, 0, 5)))])

    assert list(results) == [Committed(status="committed")]
    first, second = await place.store.panes(series(), 0, EVER_US)
    assert (first.start_us, first.window_start_us, first.rows) == (0, 0, 7)
    assert (second.start_us, second.window_start_us, second.rows) == (PANE_US, 0, 5)
    assert codec.summed(first.payloads, 3).tolist() == [2, 2, 3]
    assert codec.summed(second.payloads, 3).tolist() == [0, 0, 5]


@on_every_store
async def test_integers_of_numpy_are_integers(place):
    epoch = await made(place.store)
    pane_us, rows = np.int64(PANE_US), np.int64(5)
    one = replace(delta(1), rows=rows, late=rows, pane_start_us=pane_us, window_start_us=np.int64(0))

    await place.store.record(step(epoch, until=1, evaluations=[replace(evaluation(), rows=rows)]))
    for _ in range(2):
        await place.store.commit([commit(epoch, one, newest_us={"1": pane_us + 1})])
        await place.store.sweep([], 0, 9)

    (pane,) = await place.store.panes(series(), 0, EVER_US)
    assert (pane.start_us, pane.rows, pane.late) == (PANE_US, 10, 10)
    (progress,) = await place.store.progress()
    assert (progress.newest_us, progress.oldest_us, dict(progress.dirty)) == (PANE_US + 1, PANE_US, {0: 2})
    assert [row.rows for row in await evaluated(place.store)] == [5]


@on_every_store
async def test_nothing_to_commit_is_no_trouble(place):
    epoch = await made(place.store)

    assert list(await place.store.commit([])) == []
    assert await status_of(place.store, commit(epoch)) == ["committed"]
    assert list(await place.store.progress()) == []


@on_every_store
async def test_what_differs_in_version_reference_or_segment_is_kept_apart(place):
    epoch = await made(place.store)
    kinds = [{}, {"version": "2"}, {"reference_id": "r2"}, {"segment": "eu"}]

    await place.store.commit([commit(epoch, *(delta(0, (i, 0, 0), **kind) for i, kind in enumerate(kinds, 1)))])

    assert [(await total_of(place.store, series(**kind)))[0] for kind in kinds] == [1, 2, 3, 4]
    assert await total_of(place.store, series(segment="us")) == [0, 0, 0]
    assert await total_of(place.store, series(model="other")) == [0, 0, 0]


@on_every_store
async def test_late_rows_are_counted_as_such(place):
    epoch = await made(place.store)

    await place.store.commit([commit(epoch, delta(0, (5, 0, 0), late=2), delta(0, (1, 0, 0), late=1))])
    await place.store.sweep([], 0, 9)

    (pane,) = await place.store.panes(series(), 0, EVER_US)
    assert (pane.rows, pane.late) == (6, 3)


@on_every_store
async def test_a_commit_by_another_epoch_is_stale_and_the_others_go_through(place):
    old = await made(place.store)
    epoch = await place.store.put_model("m", b"", "api", old)

    statuses = await status_of(
        place.store,
        commit(epoch, delta(0, (1, 0, 0))),
        commit(old, delta(0, (0, 1, 0)), marks=[mark("stale")], newest_us={"1": EVER_US}),
        commit(epoch, delta(0, (0, 0, 1)), model="other"),
        commit(epoch, delta(0, (0, 0, 1))),
    )

    assert statuses == ["committed", "stale", "stale", "committed"]
    assert await total_of(place.store) == [1, 0, 1]
    assert list(await place.store.marks("m", ["stale"])) == []
    assert (await place.store.progress())[0].newest_us == 1


@on_every_store
async def test_an_epoch_that_changes_in_another_store_is_noticed(place):
    other = await place.another()
    epoch = await made(place.store)
    assert await status_of(place.store, commit(epoch, delta())) == ["committed"]

    await other.put_model("m", b"", "api", epoch)

    assert await status_of(place.store, commit(epoch, delta())) == ["stale"]


@on_every_store
async def test_a_known_mark_makes_all_of_a_commit_a_duplicate(place):
    epoch = await made(place.store)
    stored = mark("k", b"digest", b"answer")
    await place.store.commit([commit(epoch, delta(0, (1, 0, 0)), marks=[stored])])

    (result,) = await place.store.commit(
        [commit(epoch, delta(0, (0, 1, 0)), marks=[mark("new"), mark("k", b"other")], newest_us={"1": EVER_US})]
    )

    assert (result.status, list(result.known)) == ("duplicate", [stored])
    assert await total_of(place.store) == [1, 0, 0]
    assert list(await place.store.marks("m", ["new", "k"])) == [stored]
    assert (await place.store.progress())[0].newest_us == 1


@on_every_store
async def test_a_mark_is_known_to_the_next_commit_of_the_same_call(place):
    epoch = await made(place.store)

    statuses = await status_of(
        place.store,
        commit(epoch, delta(0, (1, 0, 0)), marks=[mark("k")]),
        commit(epoch, delta(0, (0, 1, 0)), marks=[mark("k")]),
        commit(epoch, delta(0, (0, 0, 1)), marks=[mark("l")]),
    )

    assert statuses == ["committed", "duplicate", "committed"]
    assert await total_of(place.store) == [1, 0, 1]


@on_every_store
async def test_of_two_stores_that_commit_one_mark_at_once_one_does(place):
    other = await place.another()
    epoch = await made(place.store)

    for i in range(20):
        calls = [store.commit([commit(epoch, delta(), marks=[mark(str(i))])]) for store in (place.store, other)]
        ((one,), (two,)) = await asyncio.gather(*calls)
        assert {one.status, two.status} == {"committed", "duplicate"}

    assert await total_of(place.store) == [20, 0, 0]


@on_every_store
async def test_what_has_been_counted_is_a_duplicate_also_by_an_old_epoch(place):
    old = await made(place.store)
    await place.store.commit([commit(old, delta(), marks=[mark()])])
    await place.store.put_model("m", b"", "api", old)

    assert await status_of(place.store, commit(old, delta(), marks=[mark()])) == ["duplicate"]


@on_every_store
async def test_marks_belong_to_their_model(place):
    one, two = await made(place.store, "m"), await made(place.store, "n")

    statuses = await status_of(place.store, commit(one, marks=[mark()]), commit(two, marks=[mark()], model="n"))

    assert statuses == ["committed", "committed"]
    assert list(await place.store.marks("other", ["k"])) == []


# --- turns


@on_every_store
async def test_a_turn_is_counted_once_and_none_behind_a_later_one(place):
    epoch = await made(place.store)

    counted = []
    for number in (1, 2, 7, 6, 2**53 - 1, 10, 9):
        once, again = await status_of(place.store, *[commit(epoch, delta(), turn=turn(number))] * 2)
        assert again == "passed"
        counted += [number] if once == "committed" else []

    assert counted == [1, 2, 7, 2**53 - 1]
    assert await total_of(place.store) == [4, 0, 0]


@on_every_store
async def test_turns_are_their_senders_and_their_models(place):
    one, two = await made(place.store, "m"), await made(place.store, "n")

    statuses = await status_of(
        place.store,
        commit(one, turn=turn(5)),
        commit(one, turn=turn(4, "other")),
        commit(two, turn=turn(3), model="n"),
        commit(one, turn=turn(5)),
    )

    assert statuses == ["committed"] * 3 + ["passed"]


@on_every_store
async def test_what_is_not_counted_keeps_its_turn(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, marks=[mark()])])

    statuses = await status_of(
        place.store,
        commit(epoch - 1, delta(), turn=turn(1)),
        commit(epoch, delta(), marks=[mark()], turn=turn(1)),
        commit(epoch, delta(), turn=turn(1)),
        commit(epoch - 1, delta(), marks=[mark()], turn=turn(1)),
    )

    assert statuses == ["stale", "duplicate", "committed", "passed"]
    assert await total_of(place.store) == [1, 0, 0]


@on_every_store
async def test_of_two_stores_that_commit_one_turn_at_once_one_does(place):
    other = await place.another()
    epoch = await made(place.store)

    for i in range(1, 21):
        calls = [store.commit([commit(epoch, delta(), turn=turn(i))]) for store in (place.store, other)]
        ((one,), (two,)) = await asyncio.gather(*calls)
        assert {one.status, two.status} == {"committed", "passed"}

    assert await total_of(place.store) == [20, 0, 0]


@on_every_store
async def test_senders_are_forgotten_by_the_time_of_their_last_turn_and_marks_take_no_room_from_them(place):
    epoch = await made(place.store)
    start_us = place.clock.us
    for i in range(6):
        place.clock.us = start_us + i
        sent = [commit(epoch, marks=[mark(f"{i} {j}")], turn=turn(7 + j, f"s{i}")) for j in range(3)]
        await place.store.commit(sent)
    place.clock.us = start_us + 6
    await place.store.commit([commit(epoch, turn=turn(99, "s0"))])

    async def known():
        turns = [commit(epoch - 1, turn=turn(9, f"s{i}")) for i in range(6)]
        return [i for i, status in enumerate(await status_of(place.store, *turns)) if status == "passed"]

    assert await place.store.sweep([], EVER_US, 9) == Swept()
    assert await known() == [0, 1, 2, 3, 4, 5]
    assert await place.store.sweep([], 0, 9, None, start_us + 3) == Swept()
    assert await known() == [0, 3, 4, 5]
    assert await place.store.sweep([], 0, 3, None, start_us + 3) == Swept(marks_evicted=1)
    assert await known() == [0, 4, 5]
    assert await place.store.sweep([], 0, 9, None, start_us + 7) == Swept()
    assert await known() == []


# --- reading


@on_every_store
async def test_panes_are_read_by_where_they_start(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, *(delta(pane, (1, 0, 0)) for pane in (3, 1, 2, 0)))])

    for swept in (False, True):
        if swept:
            await place.store.sweep([], 0, 9)
        panes = await place.store.panes(series(), PANE_US, 3 * PANE_US)
        assert [pane.start_us for pane in panes] == [PANE_US, 2 * PANE_US]


@on_every_store
async def test_rows_are_summed_by_base_window(place):
    epoch = await made(place.store)
    deltas = [
        delta(0, (1, 0, 0)),
        delta(11, (2, 0, 0)),
        delta(12, (4, 0, 0)),
        delta(24, (0, 0, 0)),
        delta(36, (8, 0, 0)),
    ]
    await place.store.commit([commit(epoch, *deltas)])

    for folded in (False, True):
        if folded:
            await place.store.sweep([], 0, 9)
            await place.store.commit([commit(epoch, delta(11, (1, 0, 0)))])
        rows = await place.store.rows_by_window(series(), 0, 3 * WINDOW_US)
        assert [tuple(row) for row in rows] == [(0, 3 + folded), (WINDOW_US, 4)]
    assert list(await place.store.rows_by_window(series(), WINDOW_US, WINDOW_US)) == []


@on_every_store
async def test_one_pane_of_two_base_windows_is_two_panes(place):
    # The base window was made longer while the pane was open.
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, delta(12, (1, 0, 0)), delta(12, (0, 1, 0), window=0))])
    await place.store.sweep([], 0, 9)

    panes = await place.store.panes(series(), 0, EVER_US)

    assert [(pane.start_us, pane.window_start_us) for pane in panes] == [(WINDOW_US, 0), (WINDOW_US, WINDOW_US)]


# --- progress


@on_every_store
async def test_progress_is_of_every_version_that_has_a_row(place):
    one, two = await made(place.store, "m"), await made(place.store, "n")
    await place.store.commit(
        [
            commit(two, delta(4), model="n", newest_us={"1": 70}),
            commit(one, delta(0), delta(1, version="0"), newest_us={"1": 50, "0": 60}),
        ]
    )

    rows = await place.store.progress()

    assert [(row.model, row.version, row.newest_us) for row in rows] == [("m", "0", 60), ("m", "1", 50), ("n", "1", 70)]
    assert [row.evaluated_until_us for row in rows] == [None] * 3
    assert [row.model for row in await place.store.progress("n")] == ["n"]
    assert list(await place.store.progress("other")) == []


@on_every_store
async def test_what_says_nothing_of_its_newest_event_does_not_advance_it(place):
    epoch = await made(place.store)

    await place.store.commit([commit(epoch, delta(5), newest_us={})])
    assert list(await place.store.progress()) == []
    await place.store.commit([commit(epoch, delta(2)), commit(epoch, delta(9), newest_us={})])

    (row,) = await place.store.progress()
    assert (row.newest_us, row.oldest_us) == (2 * PANE_US + 1, 2 * PANE_US)


@on_every_store
async def test_the_newest_event_only_advances_and_when_is_kept(place):
    epoch = await made(place.store)
    seen = []
    for newest_us in (50, 40, 50, 60):
        place.clock.us += 1
        await place.store.commit([commit(epoch, delta(), newest_us={"1": newest_us})])
        (row,) = await place.store.progress("m")
        seen.append((row.newest_us, row.advanced_at_us))

    start = place.clock.us - 4
    assert seen == [(50, start + 1), (50, start + 1), (50, start + 1), (60, start + 4)]


@on_every_store
async def test_the_oldest_pane_is_known_and_moves_as_panes_expire(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, delta(30), delta(14, segment="eu"), delta(2))])

    async def oldest_us():
        return (await place.store.progress("m"))[0].oldest_us

    assert await oldest_us() == 2 * PANE_US
    await place.store.sweep([keeping(expire=1)], 0, 9)
    assert await oldest_us() == 14 * PANE_US
    await place.store.sweep([keeping(expire=9)], 0, 9)
    assert await oldest_us() == (await place.store.progress("m"))[0].newest_us == 30 * PANE_US + 1


@on_every_store
async def test_what_is_learned_is_never_old_and_its_panes_add_up(place):
    epoch = await made(place.store)
    learned = Delta(
        version="1",
        reference_id=LEARNING,
        pane_start_us=LEARNING_PANE_US + 7,
        window_start_us=LEARNING_PANE_US + 7,
        rows=2,
        late=0,
        payload=codec.wrap_sketch(b"20"),
    )
    for _ in range(3):
        await place.store.commit([commit(epoch, learned, newest_us={"1": 99})])

    assert (await place.store.progress("m"))[0].oldest_us == 99
    await place.store.sweep([keeping(coarsen=9, expire=9)], 0, 9)
    (pane,) = await place.store.panes(series(reference_id=LEARNING), LEARNING_PANE_US, EVER_US)
    assert (pane.rows, list(pane.payloads)) == (6, [codec.wrap_sketch(b"60")])


@on_every_store
async def test_deltas_to_evaluated_windows_make_them_dirty(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, delta(0), delta(30))])
    assert await dirty_of(place.store) == {}
    assert await place.store.record(step(epoch, until=2))

    await place.store.commit([commit(epoch, delta(0), delta(1), delta(12), delta(24), delta(0, version="2"))])
    await place.store.commit([commit(epoch, delta(0, segment="eu"), newest_us={})])

    assert await dirty_of(place.store) == {0: 3, WINDOW_US: 1}
    assert await dirty_of(place.store, "2") == {}


# --- housekeeping


@on_every_store
async def test_deltas_are_folded_into_one_payload_a_pane(place):
    epoch = await made(place.store)
    for pane in (0, 1, 0, 0):
        await place.store.commit([commit(epoch, delta(pane, (1, 2, 3)))])

    assert await place.store.sweep([], 0, 9) == Swept(deltas_folded=4)
    assert await place.store.sweep([], 0, 9) == Swept()
    await place.store.commit([commit(epoch, delta(0, (0, 0, 1)))])
    assert len((await place.store.panes(series(), 0, EVER_US))[0].payloads) == 2
    assert await place.store.sweep([], 0, 9) == Swept(deltas_folded=1)

    panes = await place.store.panes(series(), 0, EVER_US)
    assert [list(pane.payloads) for pane in panes] == [[counted(3, 6, 10)], [counted(1, 2, 3)]]


@on_every_store
async def test_panes_of_old_windows_become_one(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, *(delta(pane, (pane, 1, 0), late=1) for pane in (0, 1, 11, 13, 25)))])

    swept = await place.store.sweep([keeping(coarsen=2), keeping(coarsen=9, version="2")], 0, 9)

    assert swept == Swept(deltas_folded=5, panes_coarsened=3)
    panes = await place.store.panes(series(), 0, EVER_US)
    assert [(pane.start_us, pane.rows, pane.late) for pane in panes] == [
        (0, 15, 3),
        (WINDOW_US, 14, 1),
        (25 * PANE_US, 26, 1),
    ]
    assert [list(pane.payloads) for pane in panes] == [[counted(12, 3, 0)], [counted(13, 1, 0)], [counted(25, 1, 0)]]


@on_every_store
async def test_late_rows_find_their_way_into_a_coarse_pane(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, delta(1, (1, 0, 0)), delta(2, (1, 0, 0)))])
    await place.store.sweep([keeping(coarsen=1)], 0, 9)

    await place.store.commit([commit(epoch, delta(2, (0, 1, 0)))])

    assert [pane.start_us for pane in await place.store.panes(series(), 0, EVER_US)] == [0, 2 * PANE_US]
    assert await place.store.sweep([keeping(coarsen=1)], 0, 9) == Swept(deltas_folded=1, panes_coarsened=1)
    (pane,) = await place.store.panes(series(), 0, EVER_US)
    assert (pane.start_us, list(pane.payloads)) == (0, [counted(2, 1, 0)])


@on_every_store
async def test_windows_that_end_at_the_bound_are_dropped_with_all_that_is_dirty_of_them(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, *(delta(pane) for pane in (0, 1, 12, 24)), delta(0, version="2"))])
    await place.store.record(step(epoch, until=3))
    await place.store.commit([commit(epoch, delta(0), delta(24))])

    swept = await place.store.sweep([keeping(expire=2)], 0, 9)

    assert swept == Swept(deltas_folded=3, panes_expired=3)
    assert [pane.start_us for pane in await place.store.panes(series(), 0, EVER_US)] == [2 * WINDOW_US]
    assert await dirty_of(place.store) == {2 * WINDOW_US: 1}
    assert await total_of(place.store, series(version="2")) == [1, 0, 0]


@on_every_store
async def test_housekeeping_of_a_model_that_is_gone_is_no_trouble(place):
    assert await place.store.sweep([keeping(coarsen=1, expire=1)], 0, 9) == Swept()


@on_every_store
async def test_a_pane_that_cannot_be_read_keeps_no_other_from_being_folded(place):
    epoch = await made(place.store)
    broken = delta(0, (1, 0))  # two bins where there should be three
    await place.store.commit([commit(epoch, delta(0), broken, delta(1), delta(1))])

    with pytest.raises(PayloadError):
        await place.store.sweep([], 0, 9)

    panes = await place.store.panes(series(), 0, EVER_US)
    assert [len(pane.payloads) for pane in panes] == [2, 1]
    assert [pane.rows for pane in panes] == [2, 2]


@on_every_store
async def test_panes_that_do_not_fit_together_are_not_made_one_and_none_is_lost(place):
    epoch = await made(place.store)
    await place.store.commit([commit(epoch, delta(1, (1, 2, 3)), delta(2, (1, 1)), delta(13))])
    assert await place.store.sweep([], 0, 9) == Swept(deltas_folded=3)

    with pytest.raises(PayloadError):
        await place.store.sweep([keeping(coarsen=2)], 0, 9)

    panes = await place.store.panes(series(), 0, EVER_US)
    assert sum(pane.rows for pane in panes) == 9
    assert panes[-1].start_us == WINDOW_US


@on_every_store
async def test_marks_are_evicted_by_time_and_by_number_a_model(place):
    one, two = await made(place.store, "m"), await made(place.store, "n")
    start_us = place.clock.us
    for i in range(6):
        place.clock.us = start_us + i
        await place.store.commit([commit(one, marks=[mark(f"k{i}")])])
    await place.store.commit([commit(two, marks=[mark("k0")], model="n")])

    assert await place.store.sweep([], start_us + 2, 9) == Swept()
    known = await place.store.marks("m", [f"k{i}" for i in range(6)])
    assert [found.key for found in known] == ["k2", "k3", "k4", "k5"]
    assert await place.store.sweep([], start_us + 3, 2) == Swept(marks_evicted=1)
    assert [found.key for found in await place.store.marks("m", [f"k{i}" for i in range(6)])] == ["k4", "k5"]
    assert [found.key for found in await place.store.marks("n", ["k0"])] == ["k0"]
    assert await status_of(place.store, commit(one, marks=[mark("k0"), mark("k6")])) == ["committed"]
    assert await place.store.sweep([], start_us + 99, 9) == Swept()
    assert await status_of(place.store, commit(one, marks=[mark("k6")])) == ["committed"]


@on_every_store
async def test_sweeps_at_once_lose_and_double_nothing(place):
    other = await place.another()
    epoch = await made(place.store)

    for _ in range(10):
        await place.store.commit([commit(epoch, *(delta(pane, (1, 2, 3)) for pane in range(24)))])
        both = [store.sweep([keeping(coarsen=1)], 0, 9) for store in (place.store, other)]
        await asyncio.gather(*both, other.commit([commit(epoch, delta(3, (0, 0, 1)))]))

    assert await total_of(other) == [240, 480, 730]


@on_every_store
async def test_nothing_is_dropped_by_what_was_decided_of_a_model_that_has_changed_since(place):
    before = await made(place.store)
    await place.store.delete_model("m")
    epoch = await made(place.store)
    learned = delta(0, reference_id=LEARNING)
    await place.store.commit([commit(epoch, delta(0), learned)])
    await place.store.record(step(epoch, until=1, evaluations=[evaluation()], decisions=[(WINDOW_US, b"")]))
    decided = Keeping(
        model="m",
        version="1",
        base_window_us=WINDOW_US,
        expire_before_us=EVER_US,
        evaluations_before_us=EVER_US,
        learned=True,
        epoch=before,
    )

    late = await place.store.sweep([decided], 0, 9)

    assert late.panes_expired == 0
    assert await total_of(place.store) == await total_of(place.store, series(reference_id=LEARNING)) == [1, 0, 0]
    assert len(await evaluated(place.store)) == len(await place.store.decisions("m", "1", 0, EVER_US)) == 1
    assert (await place.store.sweep([replace(decided, epoch=epoch)], 0, 9)).panes_expired == 2
    assert await evaluated(place.store) == []


@on_every_store
async def test_what_was_learned_from_is_dropped_once_there_is_a_reference(place):
    epoch = await made(place.store)
    learning = replace(delta(0), reference_id=LEARNING)
    await place.store.commit([commit(epoch, learning, delta(0))])
    keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US)

    await place.store.sweep([keeping], 0, 9)
    kept = await place.store.panes(series(reference_id=LEARNING), 0, EVER_US)
    await place.store.sweep([replace(keeping, learned=True)], 0, 9)

    assert [pane.rows for pane in kept] == [1]
    assert await place.store.panes(series(reference_id=LEARNING), 0, EVER_US) == []
    assert await total_of(place.store) == [1, 0, 0]
