"""Roles: which replica should have which model, and which it has, by a clock that is set by hand."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import FakeClock, made

from service.errors import StoreUnavailableError
from service.scheduler.roles import LEASE_S, Roles
from service.scheduler.spreading import keeper_of
from service.storage.memory import MemoryStore

NAMES = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=8, unique=True)
MODELS = [f"model-{i}" for i in range(300)]
S = 1_000_000


# --- spreading


@given(members=NAMES, name=st.text(max_size=20), data=st.data())
def test_all_replicas_agree_in_whatever_order_they_know_each_other(members, name, data):
    assert keeper_of(name, data.draw(st.permutations(members))) == keeper_of(name, members)


@given(members=NAMES, new=st.text(min_size=1, max_size=20))
def test_when_a_replica_comes_models_move_to_it_only(members, new):
    before = {name: keeper_of(name, members) for name in MODELS[:50]}
    after = {name: keeper_of(name, [*members, new]) for name in MODELS[:50]}

    assert all(after[name] in {before[name], new} for name in before)


@pytest.mark.parametrize("replicas", [2, 3, 10])
def test_work_is_spread_to_within_chance(replicas):
    members = [f"host-{i}-{i * 7919}-abc" for i in range(replicas)]
    shares = Counter(keeper_of(f"m{i}", members) for i in range(6_000))

    mean = 6_000 / replicas
    assert max(abs(shares[member] - mean) for member in members) < 5 * mean**0.5


# --- roles


class Fleet:
    """Replicas on one store."""

    def __init__(self, models=MODELS):
        self.clock = FakeClock()
        self.store = Counting(MemoryStore(self.clock))
        self.models = models

    async def __aenter__(self):
        for model in self.models:
            await made(self.store, model)
        return self

    async def __aexit__(self, *_):
        await self.store.close()

    def replica(self, name):
        return Roles(self.store, name, monotonic_s=lambda: self.clock.us / S)

    async def beat(self, *replicas, seconds=0.0, every_s=1.0):
        """Let all replicas keep their roles for so long."""
        end_us = self.clock.us + int(seconds * S)
        while True:
            for replica in replicas:
                await replica.keep(self.models)
            if self.clock.us >= end_us:
                return
            self.clock.us += int(every_s * S)


class Counting:
    """A store that counts calls, and can be away."""

    def __init__(self, store):
        self._store = store
        self.calls = Counter()
        self.away = False

    def __getattr__(self, name):
        method = getattr(self._store, name)

        async def counted(*what):
            self.calls[name] += 1
            if self.away:
                raise StoreUnavailableError("away")
            return await method(*what)

        return counted


def fleet(scenario):
    """Make a test of a coroutine that is given a fleet."""

    def test():
        async def run():
            async with Fleet() as some:
                await scenario(some)

        asyncio.run(run())

    test.__name__ = scenario.__name__
    return test


@fleet
async def test_a_replica_that_is_alone_has_everything_at_once(some):
    one = some.replica("one")

    await one.keep(MODELS)

    assert set(one.fences) == set(MODELS)
    assert one.keeps_house
    assert not some.replica("new").keeps_house


@fleet
async def test_roles_are_renewed_in_two_calls_every_few_seconds_however_many_there_are(some):
    one = some.replica("one")
    await one.keep(MODELS)
    fences = dict(one.fences)
    some.store.calls.clear()

    await some.beat(one, seconds=60)

    assert some.store.calls == {"attend": 12, "hold": 12}
    assert one.fences == fences


@fleet
async def test_a_replica_that_comes_is_handed_its_share_and_no_model_has_two(some):
    one, two, three = (some.replica(name) for name in ("one", "two", "three"))
    await some.beat(one)

    await some.beat(one, two, three, seconds=12)

    held = [set(replica.fences) for replica in (one, two, three)]
    assert set().union(*held) == set(MODELS)
    assert sum(map(len, held)) == len(MODELS)
    assert min(map(len, held)) > len(MODELS) / 6
    assert sum(replica.keeps_house for replica in (one, two, three)) == 1


@fleet
async def test_at_no_time_two_replicas_take_themselves_for_the_holder(some):
    replicas = []
    for name in ("one", "two", "three"):
        replicas.append(some.replica(name))
        for _ in range(10):
            await some.beat(*replicas)
            some.clock.us += S
            held = Counter(model for replica in replicas for model in replica.fences)
            assert max(held.values()) == 1


@fleet
async def test_a_replica_that_leaves_gives_everything_back_at_once_and_takes_nothing_more(some):
    one, two = some.replica("one"), some.replica("two")
    await some.beat(one, two, seconds=12)

    await one.leave()
    await one.keep(MODELS)

    assert one.fences == {}
    await some.beat(two, seconds=6)
    assert set(two.fences) == set(MODELS)


@fleet
async def test_models_of_a_replica_that_died_are_taken_when_its_leases_have_run_out(some):
    one, two = some.replica("one"), some.replica("two")
    await some.beat(one, two, seconds=12)
    had = set(two.fences)

    await some.beat(two, seconds=LEASE_S - 6)
    assert set(two.fences) == had
    await some.beat(two, seconds=12)
    assert set(two.fences) == set(MODELS)


@fleet
async def test_a_replica_that_was_paused_knows_that_it_holds_nothing_any_more(some):
    one = some.replica("one")
    await some.beat(one)
    fence = one.fences[MODELS[0]]
    assert one.holds(MODELS[0], fence)

    some.clock.us += int(LEASE_S * S)

    assert one.fences == {}
    assert not one.holds(MODELS[0], fence)
    await some.beat(one)
    assert set(one.fences) == set(MODELS)
    assert one.fences[MODELS[0]] > fence
    assert not one.holds(MODELS[0], fence)
    assert one.holds(MODELS[0], one.fences[MODELS[0]])


@fleet
async def test_a_new_model_is_taken_without_waiting_for_the_next_renewal(some):
    one = some.replica("one")
    await some.beat(one)
    await made(some.store, "new")
    some.clock.us += S

    await one.keep([*MODELS, "new"])

    assert "new" in one.fences


@fleet
async def test_a_model_that_is_gone_is_not_held(some):
    one = some.replica("one")
    await some.beat(one)
    await some.store.delete_model(MODELS[0])
    some.clock.us += 5 * S

    await one.keep(MODELS[1:])

    assert set(one.fences) == set(MODELS[1:])


@fleet
async def test_while_the_store_is_away_roles_run_out_and_then_are_taken_again(some):
    one = some.replica("one")
    await some.beat(one)
    some.store.away = True
    for _ in range(int(LEASE_S)):
        assert one.fences
        some.clock.us += S
        if some.clock.us % (5 * S) == 0:
            with pytest.raises(StoreUnavailableError):
                await one.keep(MODELS)

    assert one.fences == {}
    some.store.away = False
    await one.keep(MODELS)
    assert set(one.fences) == set(MODELS)


@fleet
async def test_a_replica_that_leaves_while_the_store_is_away_lets_its_roles_run_out(some):
    one, two = some.replica("one"), some.replica("two")
    await some.beat(one)
    some.store.away = True

    await one.leave()

    some.store.away = False
    assert one.fences == {}
    await two.keep(MODELS)
    assert two.fences == {}
    await some.beat(two, seconds=LEASE_S + 5)
    assert set(two.fences) == set(MODELS)
