"""The contract of stores, over every kind: the outbox."""

import asyncio

from stores import made, notice, on_every_store, step

from service.ports import Delivery, Settled


def settled(delivery_id="n", state="delivered", *, next_attempt_us=0, last="204"):
    return Settled(id=delivery_id, state=state, next_attempt_us=next_attempt_us, last=last)


async def claimed(place, owner="me", *, store=None, target="ci", hold_us=100, limit=9):
    deliveries = await (store or place.store).claim(target, owner, place.clock.us + hold_us, limit)
    return [delivery.id for delivery in deliveries]


@on_every_store
async def test_a_notice_is_due_at_once(place):
    await place.store.enqueue([notice(body=b"\x00body")])

    (delivery,) = await place.store.claim("ci", "me", place.clock.us + 1, 9)

    assert delivery == Delivery(
        id="n",
        target="ci",
        order_key="e",
        sequence=1,
        model="m",
        notice=b"\x00body",
        state="pending",
        attempts=0,
        created_at_us=7,
        next_attempt_us=place.clock.us,
        updated_at_us=place.clock.us,
        last="",
    )


@on_every_store
async def test_a_notice_that_is_already_there_is_left_alone(place):
    epoch = await made(place.store)
    await place.store.enqueue([notice(body=b"first"), notice(body=b"second")])
    await claimed(place)
    await place.store.settle("me", [settled()])

    await place.store.enqueue([notice(body=b"third")])
    assert await place.store.record(step(epoch, notices=[notice(body=b"fourth")]))

    (delivery,) = await place.store.deliveries(state=None, target=None, limit=9)
    assert (delivery.notice, delivery.state) == (b"first", "delivered")
    assert await claimed(place) == []


@on_every_store
async def test_a_delivery_is_claimed_by_one_owner_until_the_claim_runs_out(place):
    other = await place.another()
    await place.store.enqueue([notice()])

    assert await claimed(place, "me") == ["n"]
    assert await claimed(place, "you", store=other) == []
    assert await claimed(place, "me") == []
    place.clock.us += 99
    assert await claimed(place, "you", store=other) == []
    place.clock.us += 1
    assert await claimed(place, "you", store=other) == ["n"]


@on_every_store
async def test_of_two_that_claim_at_once_each_gets_what_the_other_does_not(place):
    other = await place.another()
    await place.store.enqueue([notice(str(i), order_key=str(i)) for i in range(40)])

    got = []
    for _ in range(10):
        both = [claimed(place, owner, store=store, limit=4) for owner, store in (("me", place.store), ("you", other))]
        for ids in await asyncio.gather(*both):
            got += ids

    assert len(got) == len(set(got))
    got += await claimed(place, limit=99)
    assert sorted(got) == sorted(str(i) for i in range(40))


@on_every_store
async def test_deliveries_are_claimed_oldest_first_and_no_more_than_asked_for(place):
    notices = [notice(key, order_key=key, created_at_us=at) for key, at in (("a", 3), ("b", 1), ("c", 2), ("d", 1))]
    await place.store.enqueue(notices)

    assert await claimed(place, limit=3) == ["b", "d", "c"]
    assert await claimed(place, limit=3) == ["a"]


@on_every_store
async def test_targets_do_not_wait_for_one_another(place):
    await place.store.enqueue([notice("a", target="ci"), notice("b", target="pager")])

    assert await claimed(place, target="pager") == ["b"]
    assert await claimed(place, target="other") == []
    assert await claimed(place, target="ci") == ["a"]


@on_every_store
async def test_of_an_order_key_only_the_first_pending_is_claimed(place):
    await place.store.enqueue([notice("second", sequence=2), notice("first", sequence=1), notice("third", sequence=3)])

    assert await claimed(place) == ["first"]
    assert await claimed(place) == []
    await place.store.settle("me", [settled("first")])
    assert await claimed(place) == ["second"]
    await place.store.settle("me", [settled("second", "dead")])
    assert await claimed(place) == ["third"]


@on_every_store
async def test_nothing_of_an_order_key_overtakes_one_that_waits_for_its_next_attempt(place):
    await place.store.enqueue(
        [notice("first", sequence=1), notice("second", sequence=2), notice("other", order_key="f")]
    )
    assert await claimed(place) == ["first", "other"]

    await place.store.settle("me", [settled("first", "pending", next_attempt_us=place.clock.us + 50, last="timeout")])

    assert await claimed(place) == []
    place.clock.us += 49
    assert await claimed(place) == []
    place.clock.us += 1
    assert await claimed(place) == ["first"]


@on_every_store
async def test_equal_sequence_numbers_go_in_the_order_they_came(place):
    await place.store.enqueue([notice("b", created_at_us=9), notice("a", created_at_us=8)])

    assert await claimed(place) == ["b"]


@on_every_store
async def test_an_attempt_that_ended_is_written_down(place):
    await place.store.enqueue([notice()])
    for attempt, (state, last) in enumerate([("pending", "timeout"), ("pending", "500"), ("dead", "410")], 1):
        place.clock.us += 1
        assert await claimed(place) == ["n"]
        await place.store.settle("me", [settled("n", state, next_attempt_us=place.clock.us, last=last)])

        (delivery,) = await place.store.deliveries(state=state, target="ci", limit=9)
        assert (delivery.attempts, delivery.last, delivery.updated_at_us) == (attempt, last, place.clock.us)
    assert await claimed(place) == []


@on_every_store
async def test_who_has_lost_a_claim_settles_nothing(place):
    await place.store.enqueue([notice()])
    await claimed(place, "slow", hold_us=10)
    place.clock.us += 10
    await claimed(place, "quick")

    await place.store.settle("slow", [settled("n", "dead"), settled("unknown")])
    (delivery,) = await place.store.deliveries(state=None, target=None, limit=9)
    assert (delivery.state, delivery.attempts) == ("pending", 0)
    await place.store.settle("quick", [settled()])
    await place.store.settle("quick", [settled("n", "dead")])

    (delivery,) = await place.store.deliveries(state=None, target=None, limit=9)
    assert (delivery.state, delivery.attempts) == ("delivered", 1)


@on_every_store
async def test_a_claim_that_ran_out_and_that_nobody_took_can_still_be_settled(place):
    await place.store.enqueue([notice()])
    await claimed(place, hold_us=10)
    place.clock.us += 1000

    await place.store.settle("me", [settled()])

    assert await place.store.outbox_counts() == {("ci", "delivered"): 1}


@on_every_store
async def test_a_dead_delivery_is_made_pending_again_at_once(place):
    await place.store.enqueue([notice()])
    assert not await place.store.retry_delivery("n")
    await claimed(place)
    await place.store.settle("me", [settled("n", "dead", next_attempt_us=2**60)])

    assert await place.store.retry_delivery("n")
    assert not await place.store.retry_delivery("n")
    assert not await place.store.retry_delivery("unknown")

    (delivery,) = await place.store.claim("ci", "me", place.clock.us + 1, 9)
    assert (delivery.state, delivery.attempts, delivery.last) == ("pending", 0, "204")


@on_every_store
async def test_deliveries_come_latest_first_by_state_and_target(place):
    await place.store.enqueue(
        [
            notice("a", created_at_us=1),
            notice("b", created_at_us=3, order_key="f"),
            notice("c", created_at_us=2, target="pager"),
            notice("d", created_at_us=3, target="pager", order_key="f"),
        ]
    )
    await claimed(place, limit=1)
    await place.store.settle("me", [settled("a")])

    async def ids(*, state=None, target=None, limit=9):
        return [row.id for row in await place.store.deliveries(state=state, target=target, limit=limit)]

    assert await ids() == ["d", "b", "c", "a"]
    assert await ids(limit=2) == ["d", "b"]
    assert await ids(state="pending") == ["d", "b", "c"]
    assert await ids(state="delivered", target="ci") == ["a"]
    assert await ids(target="pager") == ["d", "c"]
    expected = {("ci", "pending"): 1, ("ci", "delivered"): 1, ("pager", "pending"): 2}
    assert await place.store.outbox_counts() == expected


@on_every_store
async def test_a_target_is_disabled_and_enabled_again(place):
    await place.store.set_target_disabled("ci", "410 for n")
    await place.store.set_target_disabled("ci", "410 for o")
    await place.store.set_target_disabled("pager", "410 for p")

    assert await place.store.targets_disabled() == {"ci": "410 for o", "pager": "410 for p"}
    for _ in range(2):
        await place.store.set_target_disabled("ci", None)
    assert await place.store.targets_disabled() == {"pager": "410 for p"}


@on_every_store
async def test_pending_notices_of_a_deleted_model_are_dropped(place):
    await made(place.store)
    await place.store.enqueue([notice("a"), notice("b", model="other", order_key="f"), notice("c", model="")])
    assert await claimed(place, limit=1) == ["a"]

    await place.store.delete_model("m")
    await place.store.settle("me", [settled("a", "pending")])

    assert await claimed(place) == ["b", "c"]


@on_every_store
async def test_deliveries_that_ended_are_dropped_in_time_and_pending_ones_never(place):
    await place.store.enqueue(
        [notice("done"), notice("dead"), notice("new", order_key="f"), notice("young", order_key="g")]
    )
    for delivery_id, state in (("done", "delivered"), ("dead", "dead")):
        await claimed(place)
        await place.store.settle("me", [settled(delivery_id, state)])
    place.clock.us += 1_000
    before_us = place.clock.us
    await claimed(place)
    await place.store.settle("me", [settled("young")])

    await place.store.sweep([], 0, 9, before_us)

    left = await place.store.deliveries(state=None, target=None, limit=9)
    assert {(delivery.id, delivery.state) for delivery in left} == {("new", "pending"), ("young", "delivered")}
