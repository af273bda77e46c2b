"""Whatever is committed, swept and read in whatever order, every count is there once: stores against a Counter."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from stores import EVER_US, KINDS, PANE_US, WINDOW_US, Place, commit, delta, mark, series, step, total_of, turn

from service.ports import CountsRead, Keeping
from service.storage import codec

PANES_OF_WINDOW = 12
PANES = st.integers(0, 3 * PANES_OF_WINDOW)
COUNTS = st.tuples(*[st.integers(0, 300)] * 3)
SEGMENTS = st.sampled_from(["", "eu"])
STORES = st.integers(0, 1)


class Stores(RuleBasedStateMachine):
    """Two stores on one place do what one list of all that was committed says."""

    kind = "memory"

    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.place = Place(self.kind, Path(self.folder.name))
        self.stores = [self.run(self.place.another()) for _ in range(2)]
        self.epoch = self.run(self.stores[0].put_model("m", b"", "api", None))
        self.counts, self.rows, self.late = Counter(), Counter(), Counter()  # of (segment, pane, bin), (segment, pane)
        self.marks, self.dirty = [], Counter()
        self.evaluated, self.turn = None, 0
        self.coarse_before = 0

    def run(self, call):
        return self.loop.run_until_complete(call)

    def teardown(self):
        if hasattr(self, "loop"):
            self.run(self.place.__aexit__(None, None, None))
            self.loop.close()
            self.folder.cleanup()

    @rule(
        store=STORES,
        parts=st.lists(st.tuples(SEGMENTS, PANES, COUNTS, st.integers(0, 5)), max_size=4),
        key=st.none() | st.integers(0, 20),
        number=st.none() | st.integers(1, 20),
        stale=st.booleans(),
    )
    def commit(self, store, parts, key, number, stale):
        deltas = [delta(pane, counts, segment=segment, late=late) for segment, pane, counts, late in parts]
        marks = [] if key is None else [mark(str(key))]
        turns = None if number is None else turn(number)
        epoch = self.epoch - 1 if stale else self.epoch

        (result,) = self.run(self.stores[store].commit([commit(epoch, *deltas, marks=marks, turn=turns)]))

        if number is not None and number <= self.turn:
            assert result.status == "passed"
        elif key in self.marks:
            assert result.status == "duplicate"
        elif stale:
            assert result.status == "stale"
        else:
            assert result.status == "committed"
            self.marks += [] if key is None else [key]
            self.turn = number or self.turn
            for segment, pane, counts, late in parts:
                self.counts.update({(segment, pane, i): n for i, n in enumerate(counts)})
                self.rows[segment, pane] += sum(counts)
                self.late[segment, pane] += late
                if self.evaluated is not None and pane // PANES_OF_WINDOW < self.evaluated:
                    self.dirty[pane // PANES_OF_WINDOW] += 1

    @rule(store=STORES)
    def change_the_model(self, store):
        self.epoch = self.run(self.stores[store].put_model("m", b"", "api", self.epoch))

    @rule(store=STORES, coarsen=st.integers(0, 3), marks_max=st.integers(0, 10))
    def sweep(self, store, coarsen, marks_max):
        keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US, coarsen_before_us=coarsen * WINDOW_US)

        swept = self.run(self.stores[store].sweep([keeping], 0, marks_max))

        surplus = max(0, (self.turn > 0) - marks_max)
        assert swept.marks_evicted == max(0, len(self.marks) - marks_max) + surplus
        self.turn = 0 if surplus else self.turn
        self.marks = self.marks[max(0, len(self.marks) - marks_max) :]
        self.coarse_before = max(self.coarse_before, coarsen)
        for segment in ("", "eu"):
            panes = self.panes(store, segment)
            assert all(len(pane.payloads) == 1 for pane in panes)
            assert all(
                pane.start_us == pane.window_start_us for pane in panes if pane.window_start_us < coarsen * WINDOW_US
            )

    @rule(store=STORES, before=st.integers(0, 3))
    def expire(self, store, before):
        keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US, expire_before_us=before * WINDOW_US)

        self.run(self.stores[store].sweep([keeping], 0, 99))

        for kept in (self.counts, self.rows, self.late):
            for key in [key for key in kept if key[1] // PANES_OF_WINDOW < before]:
                del kept[key]
        self.dirty = Counter({window: n for window, n in self.dirty.items() if window >= before})

    @rule(store=STORES, until=st.integers(1, 4), off_by=st.sampled_from([0, 0, 0, 1]), segment=SEGMENTS)
    def record(self, store, until, off_by, segment):
        rows = sum(n for (of, pane), n in self.rows.items() if of == segment and pane // PANES_OF_WINDOW < until)
        read = CountsRead(series=series(segment=segment), first_us=0, last_us=until * WINDOW_US, rows=rows + off_by)
        cleaned = {window * WINDOW_US: n for window, n in self.dirty.items() if window < until}

        written = self.run(
            self.stores[store].record(
                step(self.epoch, was=self.evaluated, until=until, relied_on=[read], cleaned=cleaned)
            )
        )

        assert written == (off_by == 0)
        if written:
            self.evaluated = until
            self.dirty = Counter({window: n for window, n in self.dirty.items() if window >= until})

    @precondition(lambda self: self.kind == "sqlite")
    @rule(store=STORES)
    def reopen(self, store):
        self.run(self.stores[store].close())
        self.stores[store] = self.run(self.place.another())

    @invariant()
    @precondition(lambda self: hasattr(self, "stores"))
    def every_count_is_there_once(self):
        for segment in ("", "eu"):
            counts = [sum(n for (of, _, i), n in self.counts.items() if of == segment and i == k) for k in range(3)]
            panes = self.panes(0, segment)
            assert self.run(total_of(self.stores[1], series(segment=segment))) == counts
            assert sum(pane.rows for pane in panes) == sum(n for (of, _), n in self.rows.items() if of == segment)
            assert sum(pane.late for pane in panes) == sum(n for (of, _), n in self.late.items() if of == segment)
            assert [pane.start_us for pane in panes] == sorted({pane.start_us for pane in panes})
            for pane in panes:
                own = codec.summed(pane.payloads, 3).sum()
                assert own == pane.rows
                if pane.window_start_us >= self.coarse_before * WINDOW_US:
                    assert own == self.rows[segment, pane.start_us // PANE_US]

    @invariant()
    @precondition(lambda self: hasattr(self, "stores"))
    def windows_and_progress_agree(self):
        by_window = Counter()
        for (segment, pane), rows in self.rows.items():
            if segment == "":
                by_window[pane // PANES_OF_WINDOW * WINDOW_US] += rows
        rows = self.run(self.stores[0].rows_by_window(series(), 0, EVER_US))
        assert {start: n for start, n in rows} == +by_window  # noqa: C416 - rows may be lists
        for progress in self.run(self.stores[0].progress("m")):
            assert dict(progress.dirty) == {window * WINDOW_US: n for window, n in self.dirty.items()}

    def panes(self, store, segment):
        return self.run(self.stores[store].panes(series(segment=segment), 0, EVER_US))


@pytest.mark.parametrize("kind", KINDS)
def test_every_count_is_there_once(kind):
    machine = type(f"{kind.title()}Stores", (Stores,), {"kind": kind})

    RuleBased = machine.TestCase  # noqa: N806 - hypothesis makes a class
    RuleBased.settings = settings(max_examples=25, stateful_step_count=25)
    RuleBased().runTest()


def test_the_order_of_commits_and_sweeps_does_not_change_a_bit(tmp_path):
    rng = np.random.default_rng(1)
    deltas = [delta(int(pane), tuple(rng.integers(0, 1_000, 3))) for pane in rng.integers(0, 24, 60)]
    keeping = Keeping(model="m", version="1", base_window_us=WINDOW_US, coarsen_before_us=WINDOW_US)

    async def panes_after(name, order, sweep_every, commit_size):
        (tmp_path / name).mkdir()
        async with Place("sqlite", tmp_path / name) as place:
            epoch = await place.store.put_model("m", b"", "api", None)
            for i in range(0, len(order), commit_size):
                await place.store.commit([commit(epoch, *(deltas[k] for k in order[i : i + commit_size]))])
                if i % sweep_every == 0:
                    await place.store.sweep([keeping], 0, 9)
            await place.store.sweep([keeping], 0, 9)
            return await place.store.panes(series(), 0, EVER_US)

    one = asyncio.run(panes_after("one", range(60), 1_000, 60))
    other = asyncio.run(panes_after("other", rng.permutation(60).tolist(), 7, 7))

    assert one == other
