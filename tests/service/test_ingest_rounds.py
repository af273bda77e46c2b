"""Groups of requests on their way to the store, without HTTP: who is counted, who is told what, and that nobody is twice."""

import asyncio

import pytest
from serving import NOW_US, FailingStore, merge_sketches, until
from stores import FakeClock

from service.errors import StoreUnavailableError
from service.ingest.buffer import BufferFullError, CommitBuffer, Limits
from service.ingest.decode import DecodedRows
from service.ingest.pending import Key, Pending
from service.ingest.rounds import GoneError, KeyReusedError
from service.ports import LEARNING, Series
from service.registry.models import Registry
from service.storage.memory import MemoryStore


class Watched:
    """What the buffer tells."""

    def __init__(self):
        self.answers, self.drops, self.commits, self.failures, self.waiting = [], [], [], [], []

    def counted(self, model, answer):
        self.answers.append((model, answer.accepted, answer.duplicate))

    def dropped(self, model, rows):
        self.drops.append((model, rows))

    def committed(self, rows, seconds):
        self.commits.append(rows)

    def ignored_cells(self, model, cells):
        pass

    def buffered(self, rows, size_bytes):
        self.waiting.append((rows, size_bytes))

    def store_failed(self, operation):
        self.failures.append(operation)


class Scene:
    """A buffer on a store with two models that learn."""

    def __init__(self, limits, on_commit, **kept):
        self.store = FailingStore(MemoryStore(FakeClock(NOW_US), merge_sketches=merge_sketches))
        self.registry = Registry(self.store)
        self.watched = Watched()
        self.buffer = CommitBuffer(self.store, self.registry, self.watched, limits, on_commit=on_commit, **kept)

    async def begin(self):
        for model in ("a", "b"):
            await self.store.put_model(model, b"{}", "api", None)
        await self.registry.refresh()
        self.buffer.start()
        return self

    async def rows(self, model):
        series = Series(model=model, version="1", reference_id=LEARNING)
        return sum(rows for _, rows in await self.store.rows_by_window(series, -(1 << 62), (1 << 63) - 1))

    async def hold(self):
        """Stop commits, and wait until one stands before the store."""
        self.store.gate.clear()
        standing = asyncio.create_task(self.buffer.add(pending("a", 1), 0))
        before = self.store.commits

        async def stands():
            return self.store.commits > before

        await until(stands)
        return standing


def pending(model, rows, key=None, *, version="1", digest=b"d"):
    return Pending(
        model=model,
        version=version,
        decoded=DecodedRows(names=("x",), cells=[(1.5,)] * rows, numbers=range(1, rows + 1)),
        received_us=NOW_US,
        key=None if key is None else Key(key=key, digest=digest),
    )


def played(scenario, *, limits=None, on_commit=lambda _: None, **kept):
    async def play():
        scene = await Scene(limits or Limits(), on_commit, **kept).begin()
        try:
            return await scenario(scene)
        finally:
            scene.store.gate.set()
            await scene.buffer.stop()

    return asyncio.run(play())


async def ended(tasks):
    """What became of each: the rows that were accepted, or the kind of its error."""
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [type(one) if isinstance(one, Exception) else (one.accepted, one.duplicate) for one in found]


def test_what_waits_while_a_commit_is_under_way_goes_into_the_next_one():
    async def scenario(scene):
        first = await scene.hold()
        others = [asyncio.create_task(scene.buffer.add(pending("ab"[n % 2], n), 0)) for n in range(1, 6)]
        await asyncio.sleep(0)
        before = scene.store.commits
        scene.store.gate.set()
        return await ended([first, *others]), scene.store.commits - before, scene.watched.commits

    answers, commits, rows = played(scenario)

    assert answers == [(n, False) for n in (1, 1, 2, 3, 4, 5)]
    assert commits == 1
    assert rows == [1, 15]


HOUR_S = 3600.0


def test_who_waits_ends_the_wait_for_more_of_those_whom_nobody_waits_for():
    async def scenario(scene):
        assert scene.buffer.offer(pending("a", 3), 0)
        await asyncio.sleep(0)  # it is waited for more now
        async with asyncio.timeout(20):
            answer = await scene.buffer.add(pending("b", 2), 0)
        return answer.accepted, await scene.rows("a"), await scene.rows("b")

    assert played(scenario, linger_s=HOUR_S) == (2, 3, 2)


def test_rows_enough_end_the_wait_for_more():
    async def scenario(scene):
        assert scene.buffer.offer(pending("a", 400), 0)
        await asyncio.sleep(0)
        for _ in range(2):
            assert scene.buffer.offer(pending("a", 400), 0)

        async def all_there():
            return await scene.rows("a") == 1_200

        await until(all_there)

    played(scenario, linger_s=HOUR_S)


def test_the_end_of_the_service_ends_the_wait_for_more():
    async def scenario(scene):
        assert scene.buffer.offer(pending("a", 3), 0)
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await scene.buffer.stop()
        return await scene.rows("a")

    assert played(scenario, linger_s=HOUR_S) == 3


def test_who_listens_for_commits_and_breaks_makes_nothing_count_twice():
    def broken(_models):
        raise RuntimeError

    async def scenario(scene):
        answer = await scene.buffer.add(pending("a", 3), 0)
        assert scene.buffer.offer(pending("a", 2), 0)
        assert scene.buffer.offer(pending("b", 2), 0)

        async def all_told():
            return len(scene.watched.answers) == 3

        await until(all_told)
        return answer.accepted, await scene.rows("a"), await scene.rows("b"), scene.watched

    accepted, in_a, in_b, watched = played(scenario, on_commit=broken)

    assert (accepted, in_a, in_b) == (3, 5, 2)
    assert watched.drops == []


def test_a_model_that_cannot_be_read_again_costs_the_others_of_its_group_nothing():
    async def scenario(scene):
        first = await scene.hold()
        others = [
            asyncio.create_task(scene.buffer.add(pending(model, n, key), 0))
            for model, n, key in (("a", 2, "k"), ("b", 3, None), ("a", 4, None))
        ]
        await asyncio.sleep(0)
        row = await scene.store.model("b")
        await scene.store.put_model("b", b'{"pane": "1m"}', "api", row.epoch)
        refresh = scene.registry.refresh

        async def failing(model=None):
            if model == "b":
                raise StoreUnavailableError("not now")
            await refresh(model)

        scene.registry.refresh = failing
        scene.store.gate.set()
        return await ended([first, *others]), await scene.rows("a"), await scene.rows("b")

    answers, in_a, in_b = played(scenario)

    assert answers == [(1, False), (2, False), StoreUnavailableError, (4, False)]
    assert (in_a, in_b) == (7, 0)


def test_rows_that_nobody_waits_for_are_counted_once_whatever_becomes_of_the_others_of_their_group():
    async def scenario(scene):
        first = await scene.hold()
        assert scene.buffer.offer(pending("a", 5), 0)
        assert scene.buffer.offer(pending("b", 6), 0)
        row = await scene.store.model("b")
        await scene.store.put_model("b", b'{"pane": "1m"}', "api", row.epoch)
        refresh, failed = scene.registry.refresh, []

        async def failing(model=None):
            if not failed:
                failed.append(model)
                raise StoreUnavailableError("not now")
            await refresh(model)

        scene.registry.refresh = failing
        scene.store.gate.set()
        await first

        async def all_told():
            return len(scene.watched.answers) == 3

        await until(all_told)
        return failed, scene.watched.drops, await scene.rows("a"), await scene.rows("b")

    assert played(scenario) == (["b"], [], 6, 6)


def test_rows_that_nobody_waits_for_stay_while_the_store_is_away_and_who_waits_is_told_at_once():
    async def scenario(scene):
        scene.store.ill = True
        assert scene.buffer.offer(pending("a", 3), 0)
        assert scene.buffer.offer(pending("b", 2), 0)
        told = [await ended([asyncio.ensure_future(scene.buffer.add(pending("a", 1), 0))]) for _ in range(3)]
        assert scene.buffer.offer(pending("a", 4), 0)
        waiting = scene.buffer.rows
        scene.store.ill = False

        async def all_told():
            return len(scene.watched.answers) == 3

        await until(all_told)
        return told, waiting, scene.watched.drops, await scene.rows("a"), await scene.rows("b"), scene.buffer.rows

    told, waiting, drops, in_a, in_b, left = played(scenario)

    assert told == [[StoreUnavailableError]] * 3
    assert (waiting, left) == (9, 0)
    assert (drops, in_a, in_b) == ([], 7, 2)


def test_rows_that_may_have_arrived_are_sent_again_under_the_same_name_and_those_that_others_wait_for_under_none():
    async def scenario(scene):
        sent, commit = [], scene.store._store.commit

        async def losing(commits):
            named = [(one.rows_id, sum(delta.rows for delta in one.deltas)) for one in commits]
            sent.extend(named)
            if len(sent) == len(named) + 1:  # the second commit
                raise StoreUnavailableError("the answer was lost")
            return await commit(commits)

        scene.store._store.commit = losing
        first = await scene.hold()
        waiting = asyncio.ensure_future(scene.buffer.add(pending("a", 2), 0))
        for rows in (3, 4):
            assert scene.buffer.offer(pending("a", rows), 0)
        scene.store.gate.set()
        answers = await ended([first, waiting])

        async def sent_again():
            return len(sent) == 4

        await until(sent_again)
        assert scene.buffer.offer(pending("a", 7), 0)
        await scene.buffer.stop()
        return answers, sent

    answers, sent = played(scenario)

    assert answers == [(1, False), StoreUnavailableError]
    assert sorted((name != "", rows) for name, rows in sent) == [
        (False, 1),
        (False, 2),
        (True, 7),
        (True, 7),
        (True, 7),
    ]
    names = [name for name, _ in sent if name]
    assert names[0] == names[1] != names[2]


def test_rows_that_wait_for_longer_than_the_store_would_know_them_again_are_dropped():
    now = [0.0]

    async def scenario(scene):
        scene.store.ill = True
        assert scene.buffer.offer(pending("a", 3), 0)

        async def tried():
            return scene.store.commits >= 1

        await until(tried)
        assert scene.buffer.offer(pending("a", 4), 0)  # never tried
        now[0] = 250.0

        async def dropped():
            return scene.watched.drops

        await until(dropped)
        scene.store.ill = False
        now[0] = 260.0

        async def all_told():
            return scene.watched.answers

        await until(all_told)
        return scene.watched.drops, await scene.rows("a")

    assert played(scenario, monotonic_s=lambda: now[0]) == ([("a", 3)], 4)


def test_a_stop_while_the_store_is_away_drops_what_waits_and_counts_it():
    async def scenario(scene):
        scene.store.ill = True
        for rows in (3, 20_000, 4):
            assert scene.buffer.offer(pending("a", rows), 0)
        await scene.buffer.stop()
        return scene.watched.drops, scene.buffer.rows

    drops, left = played(scenario)

    assert sorted(rows for _, rows in drops) == [3, 4, 20_000]
    assert left == 0


def test_repeats_within_a_group_are_answered_by_the_first():
    async def scenario(scene):
        first = await scene.hold()
        adding = [
            asyncio.create_task(scene.buffer.add(pending(model, n, "k", digest=bytes([n])), 0))
            for model, n in (("a", 2), ("a", 2), ("b", 2), ("a", 3), ("a", 2))
        ]
        await asyncio.sleep(0)
        scene.store.gate.set()
        answers = await ended([first, *adding])
        return answers, await ended([scene.buffer.add(pending("a", 2, "k", digest=b"\2"), 0)]), await scene.rows("a")

    answers, again, in_a = played(scenario)

    assert answers[1:] == [(2, False), (2, True), (2, False), KeyReusedError, (2, True)]
    assert again == [(2, True)]
    assert in_a == 3


def test_a_known_key_in_a_group_does_not_hold_up_the_others():
    async def scenario(scene):
        await scene.buffer.add(pending("a", 2, "k"), 0)
        first = await scene.hold()
        adding = [
            asyncio.create_task(scene.buffer.add(pending("a", n, key), 0))
            for n, key in ((2, "k"), (3, None), (4, "new"), (5, "k"))
        ]
        await asyncio.sleep(0)
        scene.store.gate.set()
        return await ended([first, *adding]), await scene.rows("a")

    answers, in_a = played(scenario)

    assert answers == [(1, False), (2, True), (3, False), (4, False), (2, True)]
    assert in_a == 10


@pytest.mark.parametrize("version", ["1", "9"])
def test_rows_of_a_model_or_version_that_is_gone_are_refused(version):
    async def scenario(scene):
        if version == "1":
            await scene.store.delete_model("a")
            await scene.registry.refresh()
        adding = [scene.buffer.add(pending(model, 1, version=version if model == "a" else "1"), 0) for model in "ab"]
        return await ended(adding)

    assert played(scenario) == [GoneError, (1, False)]


def test_a_model_that_changes_all_the_time_ends_in_an_error_and_not_in_a_loop():
    async def scenario(scene):
        commit = scene.store.commit

        async def changed_first(commits):
            row = await scene.store.model("a")
            await scene.store.put_model("a", row.configuration, "api", row.epoch)
            return await commit(commits)

        scene.store.commit = changed_first
        return await ended([scene.buffer.add(pending("a", 1), 0)]), await scene.rows("a")

    assert played(scenario) == ([StoreUnavailableError], 0)


@pytest.mark.parametrize("limits", [Limits(rows_max=4), Limits(bytes_max=4_000)])
def test_a_full_buffer_lets_those_wait_who_ask_to(limits):
    async def scenario(scene):
        first = await scene.hold()
        adding = [asyncio.create_task(scene.buffer.add(pending("a", 1), 0)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(BufferFullError):
            scene.buffer.room()
        refused = scene.buffer.offer(pending("b", 2), 0)
        waiting = asyncio.create_task(scene.buffer.until_room())
        await asyncio.sleep(0)
        waits = not waiting.done()
        scene.store.gate.set()
        await asyncio.gather(first, *adding, waiting)
        return refused, waits, scene.watched.drops, scene.buffer.rows, scene.watched.waiting[-1]

    refused, waits, drops, rows, last = played(scenario, limits=limits)

    assert (refused, waits, drops) == (False, True, [("b", 2)])
    assert (rows, last) == (0, (0, 0))


def test_those_who_wait_for_room_when_the_service_stops_are_told_so():
    async def scenario(scene):
        first = await scene.hold()
        waiting = asyncio.create_task(scene.buffer.until_room())
        await asyncio.sleep(0)
        stopping = asyncio.create_task(scene.buffer.stop())
        await waiting
        with pytest.raises(StoreUnavailableError):
            scene.buffer.room()
        scene.store.gate.set()
        await stopping
        return (await first).accepted

    assert played(scenario, limits=Limits(rows_max=1)) == 1


def test_wide_rows_are_committed_in_smaller_groups():
    async def scenario(scene):
        first = await scene.hold()
        adding = [asyncio.create_task(scene.buffer.add(pending("a", 1), 20 << 20)) for _ in range(4)]
        await asyncio.sleep(0)
        scene.store.gate.set()
        await asyncio.gather(first, *adding)
        return scene.watched.commits

    assert played(scenario) == [1, 1, 1, 1, 1]


def lossy(store, *, known_for_s=300.0, monotonic_s=lambda: 0.0):
    """Let the answer of a store's next commit be lost; it knows the rows of a commit again, for so long."""
    inner, seen, lost = store.commit, {}, [True]

    async def commit(commits):
        found = []
        for one in commits:
            at_s, result = seen.get(one.rows_id, (None, None))
            if at_s is None or not one.rows_id or monotonic_s() - at_s >= known_for_s:
                (result,) = await inner([one])
                seen[one.rows_id] = monotonic_s(), result
            found.append(result)
        if lost:
            lost.clear()
            raise StoreUnavailableError("the answer was lost")
        return found

    store.commit = commit


def test_rows_that_may_have_been_counted_are_known_again_when_others_of_theirs_have_gone():
    async def scenario(scene):
        lossy(scene.store._store)
        assert scene.buffer.offer(pending("a", 5), 0)
        assert scene.buffer.offer(pending("a", 3, version="2"), 0)

        async def sent():
            return scene.watched.failures

        await until(sent)
        live = scene.registry.get("a")
        known = live.version
        object.__setattr__(live, "version", lambda name: None if name == "2" else known(name))

        async def told():
            return scene.watched.answers

        await until(told)
        return await scene.rows("a"), list(scene.watched.drops)

    assert played(scenario) == (5, [("a", 3)])


def test_rows_that_may_have_been_counted_are_known_again_when_those_of_another_model_break():
    async def scenario(scene):
        lossy(scene.store._store)
        for model, rows in (("a", 5), ("b", 3), ("b", 4)):
            assert scene.buffer.offer(pending(model, rows), 0)

        async def sent():
            return scene.watched.failures

        await until(sent)

        def breaks(_name):
            raise RuntimeError("cannot be counted any more")

        object.__setattr__(scene.registry.get("a"), "version", breaks)

        async def settled():
            return scene.buffer.rows == 0

        await until(settled)
        return await scene.rows("a"), await scene.rows("b"), scene.watched.drops

    assert played(scenario) == (5, 7, [("a", 5)])


def test_rows_that_were_kept_for_too_long_are_given_up_before_they_are_sent_again():
    now_s = [1_000.0]

    async def scenario(scene):
        lossy(scene.store._store, monotonic_s=lambda: now_s[0])
        assert scene.buffer.offer(pending("a", 5), 0)

        async def sent():
            return scene.watched.failures

        await until(sent)
        now_s[0] += 600  # the process was stopped for ten minutes
        scene.buffer._wake.set()

        async def given_up():
            return scene.watched.drops

        await until(given_up)
        return await scene.rows("a"), list(scene.watched.drops)

    assert played(scenario, monotonic_s=lambda: now_s[0]) == (5, [("a", 5)])


def test_rows_whose_key_may_be_forgotten_before_they_are_counted_are_dropped():
    now_s = [0.0]

    async def scenario(scene):
        scene.store.ill = True
        for rows, key in ((3, "first"), (2, None)):
            assert scene.buffer.offer(pending("a", rows, key), 0)

        async def tried():
            return scene.watched.failures

        await until(tried)
        now_s[0] = 50.0
        assert scene.buffer.offer(pending("a", 4, "later"), 0)
        assert scene.buffer.offer(pending("b", 8), 0)
        now_s[0] = 120.0
        scene.store.ill = False
        scene.buffer._wake.set()

        async def settled():
            return scene.buffer.rows == 0

        await until(settled)
        return scene.watched.drops, await scene.rows("a"), await scene.rows("b")

    kept = {"monotonic_s": lambda: now_s[0], "keyed_for_s": lambda: 100.0}
    assert played(scenario, **kept) == ([("a", 3)], 6, 8)


@pytest.mark.parametrize("error", [StoreUnavailableError("away"), RuntimeError("unreadable")])
def test_a_model_that_cannot_be_read_again_makes_no_other_count_twice(error):
    async def scenario(scene):
        inner = scene.store._store
        standing = await scene.hold()
        others = [asyncio.create_task(scene.buffer.add(pending(model, 5), 0)) for model in "ab"]
        assert scene.buffer.offer(pending("b", 7), 0)
        scene.buffer._wake.set()
        await asyncio.sleep(0)
        real, left = inner.model, [1]

        async def model(name):
            if left:
                left.clear()
                raise error
            return await real(name)

        inner.model = model
        epochs = await inner.epochs()
        await inner.put_model("a", b'{"lateness":"3m"}', "api", epochs["a"])
        scene.store.gate.set()
        answers = await ended([standing, *others])

        async def all_told():
            return sum(rows for model, rows, _ in scene.watched.answers if model == "b") == 12

        await until(all_told)
        return answers, await scene.rows("a"), await scene.rows("b")

    answers, in_a, in_b = played(scenario)

    assert in_b == 12
    assert answers[2] == (5, False)
    assert in_a == sum(answer[0] for answer in answers[:2] if isinstance(answer, tuple))


@pytest.mark.parametrize("known", [True, False])
def test_a_model_whose_part_of_the_store_is_away_costs_the_others_nothing_and_its_rows_are_sent_again(known):
    async def scenario(scene):
        if known:  # how far it is, and so that it is away is seen by its commit only
            await asyncio.gather(*(scene.buffer.add(pending(model, 1), 0) for model in "ab"))
        standing = await scene.hold()
        others = [asyncio.create_task(scene.buffer.add(pending(model, 5), 0)) for model in "ab"]
        assert scene.buffer.offer(pending("b", 7), 0)
        await asyncio.sleep(0)
        scene.store.away.add("b")
        scene.store.gate.set()
        answers = await ended([standing, *others])
        before = await scene.rows("b")
        scene.store.away.clear()

        async def all_there():
            return await scene.rows("b") == before + 7

        await until(all_there)
        return answers, await scene.rows("a"), before, scene.watched.failures, scene.watched.drops

    answers, in_a, in_b, failures, drops = played(scenario)

    assert answers == [(1, False), (5, False), StoreUnavailableError]
    assert (in_a, in_b) == (7, 1) if known else (6, 0)
    assert "commit" in failures
    assert drops == []


def ticketed(store, plan):
    """Let a store know the rows of a commit again; of each call `plan` says if it is refused, or done and its answer lost."""
    inner, seen = store.commit, {}

    async def commit(commits):
        how = plan.pop(0) if plan and commits else "done"
        if how == "refused":
            raise StoreUnavailableError("away")
        found = []
        for one in commits:
            result = seen.get(one.rows_id) or (await inner([one]))[0]
            if one.rows_id and result.status == "committed":
                seen[one.rows_id] = result
            found.append(result)
        if how == "lost":
            raise StoreUnavailableError("the answer was lost")
        return found

    store.commit = commit


def breaking(live, version):
    """Let rows of a version be such that cannot be counted."""
    known = live.version

    def found(name):
        if name == version:
            raise RuntimeError("cannot be counted")
        return known(name)

    object.__setattr__(live, "version", found)


async def all_settled(scene):
    async def settled():
        return scene.buffer.rows == 0

    await until(settled)
    return await scene.rows("a"), list(scene.watched.drops)


@pytest.mark.parametrize("plan", [["lost", "refused"], ["refused", "lost"], ["lost", "lost", "refused"], []], ids=repr)
def test_rows_that_one_of_their_group_has_parted_are_each_counted_once_when_the_store_goes_away_then(plan):
    async def scenario(scene):
        ticketed(scene.store._store, plan)
        breaking(scene.registry.get("a"), "9")
        for rows, version in ((5, "1"), (3, "1"), (1, "9"), (4, "1")):
            assert scene.buffer.offer(pending("a", rows, version=version), 0)
        return await all_settled(scene)

    assert played(scenario) == (12, [("a", 1)])


def test_rows_that_may_have_been_counted_together_are_not_parted():
    async def scenario(scene):
        ticketed(scene.store._store, ["lost"])
        for rows, version in ((5, "1"), (4, "1"), (3, "2")):
            assert scene.buffer.offer(pending("a", rows, version=version), 0)

        async def sent():
            return scene.watched.failures

        await until(sent)
        before = await scene.rows("a")
        breaking(scene.registry.get("a"), "2")
        return before, (await all_settled(scene))[0]

    before, after = played(scenario)

    assert before == after == 9


def slow_to_read(scene, models):
    """Let the reading of models take longer than a round waits, until the event is set."""
    inner, gate = scene.store._store, asyncio.Event()
    real = inner.model

    async def model(name):
        if name in models:
            await asyncio.sleep(0.15)
            await gate.wait()
        return await real(name)

    inner.model = model
    return gate


async def changed(scene, models):
    epochs = await scene.store.epochs()
    for name in models:
        await scene.store.put_model(name, b'{"lateness":"3m"}', "api", epochs[name])


@pytest.mark.parametrize("awaited", [True, False])
def test_rows_put_aside_come_back_when_the_round_that_put_them_aside_is_over(awaited):
    async def scenario(scene):
        gate = slow_to_read(scene, "ab")
        gate.set()
        await changed(scene, "ab")
        if awaited:
            asked = [asyncio.create_task(scene.buffer.add(pending(model, n), 0)) for model, n in (("a", 5), ("b", 7))]
            assert await ended(asked) == [(5, False), (7, False)]
        else:
            assert scene.buffer.offer(pending("a", 5), 0)
            assert scene.buffer.offer(pending("b", 7), 0)
        assert await all_settled(scene) == (5, [])
        return await scene.rows("b"), sorted(scene.watched.answers), min(scene.watched.waiting)

    assert played(scenario) == (7, [("a", 5, False), ("b", 7, False)], (0, 0))


def test_rows_that_come_while_others_of_their_model_come_back_are_counted_too():
    async def scenario(scene):
        gate = slow_to_read(scene, "a")
        ticketed(scene.store._store, [])
        await changed(scene, "ab")
        assert scene.buffer.offer(pending("a", 5), 0)
        assert scene.buffer.offer(pending("b", 7), 0)

        async def b_is_counted():
            return await scene.rows("b") == 7

        await until(b_is_counted)
        scene.store.gate.clear()
        assert scene.buffer.offer(pending("b", 2), 0)  # a round is under way
        before = scene.store.commits

        async def stands():
            return scene.store.commits > before

        await until(stands)
        gate.set()
        assert scene.buffer.offer(pending("a", 11), 0)
        scene.store.gate.set()
        return await all_settled(scene), await scene.rows("b")

    assert played(scenario) == ((16, []), 9)


def test_who_waits_for_a_model_that_is_never_read_is_refused_and_leaves_room(monkeypatch):
    monkeypatch.setattr("service.ingest.aside._PATIENCE_S", 0.2)

    async def scenario(scene):
        slow_to_read(scene, "a")
        await changed(scene, "a")
        asked = asyncio.create_task(scene.buffer.add(pending("a", 5), 0))
        assert await ended([asked]) == [StoreUnavailableError]
        refused = await all_settled(scene)
        assert scene.buffer.offer(pending("a", 3), 0)  # nobody waits for these: they wait on, to the end of the process
        await asyncio.wait_for(scene.buffer.stop(), 5)
        return refused, scene.watched.drops, scene.buffer.rows

    assert played(scenario) == ((0, []), [("a", 3)], 0)
