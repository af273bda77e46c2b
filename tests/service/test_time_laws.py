"""Whatever comes in whatever order, while the process is restarted and the store is swept: every base window has the rows
that were acknowledged for it, and one record that says so.

The model beside it is plain: a count of rows a base window.
"""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from running import DAY, HOUR, MINUTE, MONDAY, Site, at, small_reference, small_rows

RETENTION = 2 * DAY
CONFIGURATION = {"scales": [1, 3], "retention": "2d", "fold_after": "6h"}


class Traffic(RuleBasedStateMachine):
    """A source, live or replayed, whose rows come on time, late, and too late."""

    @initialize(live=st.booleans(), kind=st.sampled_from(["memory", "memory", "sqlite"]))
    def begin(self, live, kind):
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.live = live
        self.begin_us = MONDAY if live else at("2012-03-05")
        self.place_us = self.begin_us
        self.site = Site(kind, Path(self.folder.name), MONDAY)
        self.expected = Counter()
        self.newest_us = None
        self.until_us = None
        self.references = []
        self.run(self._begin())

    async def _begin(self):
        await self.site.__aenter__()
        await self.site.configure(**CONFIGURATION)
        self.references.append(await self.site.activate())

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def teardown(self):
        if hasattr(self, "loop"):
            self.run(self._end())
            self.loop.close()
            self.folder.cleanup()

    async def _end(self):
        try:
            for _ in range(4):
                await self.site.tick(sweep=True)
            await self._compare()
        finally:
            await self.site.__aexit__()

    # what happens

    @rule(hours=st.integers(0, 30), minutes=st.integers(0, 59), n=st.integers(1, 5))
    def rows_come_on_time(self, hours, minutes, n):
        self.place_us += hours * HOUR + minutes * MINUTE
        if self.live:
            self.site.clock.us = max(self.site.clock.us, self.place_us)
        self._post([self.place_us - k * MINUTE for k in range(n)])

    @precondition(lambda self: self.newest_us is not None)
    @rule(ages=st.lists(st.integers(0, 60 * 60), min_size=1, max_size=4))
    def rows_come_late(self, ages):
        self._post([self.newest_us - age * MINUTE for age in ages])

    @precondition(lambda self: self.live)
    @rule(minutes=st.integers(1, 300))
    def nothing_comes(self, minutes):
        self.site.clock.us += minutes * MINUTE
        self.place_us = max(self.place_us, self.site.clock.us)

    @rule(sweep=st.booleans())
    def it_ticks(self, sweep):
        self.run(self.site.tick(sweep=sweep))

    @rule()
    def it_is_swept(self):
        self.run(self.site.service.ticks.sweep())

    @rule()
    def it_is_restarted(self):
        self.run(self.site.restart())

    @rule(seed=st.integers(0, 2))
    def a_reference_is_activated(self, seed):
        self.references.append(self.run(self.site.activate(small_reference(seed=seed))))

    def _post(self, times_us):
        kept = [time for time in times_us if self.newest_us is None or time >= self.newest_us - RETENTION]
        answer = self.run(self.site.post(small_rows(times_us)))

        assert (answer.accepted, answer.rejected) == (len(kept), len(times_us) - len(kept))
        self.expected.update(time - time % HOUR for time in kept)
        self.newest_us = max([*kept, self.newest_us or kept[0]])

    # what has to be true

    @invariant()
    def evaluation_goes_on_and_never_back(self):
        if not hasattr(self, "site"):
            return
        progress = self.run(self.site.progress())
        if progress is not None and progress.evaluated_until_us is not None:
            assert self.until_us is None or progress.evaluated_until_us >= self.until_us
            self.until_us = progress.evaluated_until_us

    async def _compare(self):
        progress = await self.site.progress()
        if progress is None:
            return
        assert (progress.newest_us, progress.dirty) == (self.newest_us, {})
        kept_us = self.newest_us - RETENTION
        counted = Counter()
        for reference in set(self.references):
            series = self.site.live().version("1").series(reference)
            counted.update(dict(await self.site.store.rows_by_window(series, kept_us, 1 << 62)))
        assert counted == Counter({start: n for start, n in self.expected.items() if start >= kept_us})
        if progress.evaluated_until_us is not None:
            await self._compare_evaluations(progress.evaluated_until_us, kept_us)

    async def _compare_evaluations(self, until_us, kept_us):
        windows = [
            (at(w["start"][:-1]), at(w["end"][:-1]), one)
            for one in await self.site.evaluations("1h")
            if (w := one["window"])
        ]
        # Without gaps, without overlaps, up to where evaluation is.
        assert [end for _, end, _ in windows[:-1]] == [start for start, _, _ in windows[1:]]
        assert windows[-1][1] == until_us
        for start, end, one in windows:
            if one["reason"] == "silent":
                assert not any(start <= window < end for window in self.expected if window >= kept_us)
            elif start >= kept_us and one["reason"] != "refilling":
                assert (end - start, one["rows"]) == (HOUR, self.expected[start])
        first_looks = [one["window"]["end"] for one in await self.site.decisions() if not one["correction"]]
        assert first_looks == sorted(set(first_looks))


Traffic.TestCase.settings = settings(
    max_examples=15, stateful_step_count=15, suppress_health_check=[HealthCheck.too_slow]
)
TestTraffic = Traffic.TestCase
