"""Counts of many sidecars go to the store together, and cost one another nothing but time."""

import asyncio

import pytest

from service.errors import StoreUnavailableError
from service.ingest.buffer import BufferFullError
from service.ingest.gathering import CountsBuffer
from service.ports import Commit, Committed, Tally


class Told:
    """A store and a watcher that remember; a commit of the model `bad` breaks, one of `known` is a duplicate."""

    def __init__(self):
        self.commits, self.told, self.touched = [], [], []
        self.gate = asyncio.Event()
        self.gate.set()

    async def commit(self, commits):
        await self.gate.wait()
        self.commits.append([one.model for one in commits])
        if any(one.model == "bad" for one in commits):
            raise ValueError("made to break")
        if any(one.model == "away" for one in commits):
            raise StoreUnavailableError("made to be away")
        statuses = {"known": "duplicate", "elsewhere": "unavailable"}
        return [Committed(status=statuses.get(one.model, "committed"), reason="why") for one in commits]

    def counted(self, model, answer):
        self.told.append((model, answer.accepted, answer.rejected, answer.late))

    def ignored_cells(self, model, cells):
        self.told.append((model, cells))

    def committed(self, rows, seconds):
        self.told.append(rows)

    def store_failed(self, operation):
        self.told.append(operation)


def commit(model):
    tally = Tally(accepted=3, late=1, rejected={"future": 2}, ignored_cells=5)
    return Commit(model=model, epoch=1, deltas=(), tally=tally)


def outcomes_of(models, bytes_max=1 << 20):
    """What becomes of commits that come while another is under way, and what was told."""

    async def run():
        told = Told()
        buffer = CountsBuffer(told, told, bytes_max=bytes_max, on_commit=told.touched.append)
        buffer.start()
        told.gate.clear()
        first = asyncio.ensure_future(buffer.commit(commit("first"), 10))
        await asyncio.sleep(0)
        rest = [asyncio.ensure_future(buffer.commit(commit(model), 10)) for model in models]
        await asyncio.sleep(0)
        told.gate.set()
        found = await asyncio.gather(first, *rest, return_exceptions=True)
        await buffer.stop()
        with pytest.raises(StoreUnavailableError):
            await buffer.commit(commit("late"), 10)
        return found[1:], told

    return asyncio.run(run())


def test_a_model_whose_part_of_the_store_is_away_costs_the_others_nothing():
    found, told = outcomes_of(["a", "elsewhere", "b"])

    assert [one.status for one in found[::2]] == ["committed"] * 2
    assert isinstance(found[1], StoreUnavailableError)
    assert str(found[1]) == "why"
    assert told.touched == [{"first"}, {"a", "b"}]
    assert "commit" in told.told


def test_what_arrives_meanwhile_goes_into_one_commit():
    found, told = outcomes_of(["a", "b", "c"])

    assert [one.status for one in found] == ["committed"] * 3
    assert told.commits == [["first"], ["a", "b", "c"]]
    assert told.touched == [{"first"}, {"a", "b", "c"}]
    assert told.told[-7:] == [("a", 3, 2, 1), ("a", 5), ("b", 3, 2, 1), ("b", 5), ("c", 3, 2, 1), ("c", 5), 9]


def test_what_was_not_added_is_not_told_of():
    found, told = outcomes_of(["known"])

    assert [one.status for one in found] == ["duplicate"]
    assert told.told[-1] == 0
    assert not any(one[0] == "known" for one in told.told if isinstance(one, tuple))


def test_a_batch_that_breaks_costs_the_others_nothing():
    found, told = outcomes_of(["a", "bad", "c"])

    assert [getattr(one, "status", type(one).__name__) for one in found] == ["committed", "ValueError", "committed"]
    assert told.commits[1:] == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]


def test_while_the_store_is_away_all_are_told():
    found, told = outcomes_of(["a", "away"])

    assert [type(one).__name__ for one in found] == ["StoreUnavailableError"] * 2
    assert "commit" in told.told


def test_what_finds_no_room_is_refused():
    found, _ = outcomes_of(["a", "b", "c"], bytes_max=25)

    assert [type(one) for one in found].count(BufferFullError) == 2
