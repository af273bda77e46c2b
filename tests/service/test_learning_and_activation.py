"""Where references come from while rows come in, and how one takes the place of another without a gap."""

import asyncio

import numpy as np
import pytest
from running import DAY, HOUR, MINUTE, MONDAY, S, at, running, small_reference, small_rows, span_of, spread

from detectors.reference import reference_id
from service.errors import DeclarationError
from service.references.promotion import promote

BEGIN = at("2012-03-05")
OTHER = {"seed": 1}


def learning(**how):
    return {"learning": {"rows": 300} | how}


async def learned(site, model="m", version="1"):
    return (await site.store.references(model))[-1].id if not site.live(model).version(version).learning else None


# Learning


@running("memory", "sqlite")
async def test_a_declared_model_becomes_active_with_its_first_rows(site):
    await site.configure(**learning())
    await site.post_hours(BEGIN, 2, n=100)
    await site.tick(sweep=True)
    assert site.live().version("1").learning
    assert await site.evaluations() == []

    await site.post_hours(BEGIN + 2 * HOUR, 1, n=100)
    await site.tick()
    await site.post_hours(BEGIN + 3 * HOUR, 3, n=100)
    await site.tick()

    active = site.live().version("1").active
    assert [column.name for column in active.reference.columns] == ["c", "x", "y"]
    assert active.reference.rows == 300
    first, *_ = await site.evaluations("1h")
    assert (first["calibration"], first["verdict"], first["rows"]) == ("collecting", "stable", 100)
    assert first["window"]["start"] == "2012-03-05T03:00:00Z"


@running("memory", "sqlite")
async def test_learning_goes_on_where_it_was_when_the_process_is_replaced(site):
    await site.configure(**learning())
    for hour in range(6):
        await site.post_hours(BEGIN + hour * HOUR, 1, n=50, seed=hour)
        await site.tick(sweep=hour % 2 == 0)
        await site.restart()
    await site.tick()

    assert site.live().version("1").active.reference.rows == 300


@running()
async def test_what_is_learned_does_not_depend_on_how_the_rows_came(site):
    rows = small_rows(spread(BEGIN, BEGIN + 5 * HOUR, 300))
    await site.configure("a", **learning())
    await site.configure("b", **learning())
    await site.post(rows, model="a")
    for part in np.array_split(np.random.default_rng(0).permutation(300), 7):
        await site.post({name: values[part] for name, values in rows.items()}, model="b")
        await site.tick(sweep=True)
    await site.tick()

    assert await learned(site, "a") == await learned(site, "b") is not None


@running()
async def test_learning_by_a_span_of_time_ends_when_it_is_over_but_not_before_a_hundred_rows(site):
    await site.configure(**learning(rows=10_000, span="12h"))
    begin = BEGIN + 22 * HOUR + 30 * MINUTE
    await site.post(small_rows(spread(begin, begin + 11 * HOUR, 80)))
    await site.post(small_rows(spread(begin + 11 * HOUR, begin + 12 * HOUR - MINUTE, 40)))
    await site.tick()
    assert site.live().version("1").learning

    await site.post(small_rows([begin + 13 * HOUR]))
    await site.tick()

    assert site.live().version("1").active.reference.rows == 121


@running()
async def test_a_span_with_fewer_than_a_hundred_rows_is_not_learned_from(site):
    await site.configure(**learning(rows=10_000, span="1h"))
    await site.post(small_rows(spread(BEGIN, BEGIN + 9 * HOUR, 99)))
    await site.tick()
    assert site.live().version("1").learning

    await site.post(small_rows([BEGIN + 9 * HOUR]))
    await site.tick()

    assert not site.live().version("1").learning


@running()
async def test_a_model_with_nothing_but_identifiers_is_not_learned_and_the_service_goes_on(site):
    await site.configure("ids", learning={"rows": 100})
    await site.configure()
    await site.activate()
    times = spread(BEGIN, BEGIN + 2 * HOUR, 200)
    await site.post({"at": times, "id": np.arange(200)}, model="ids")
    await site.post(small_rows(times))

    await site.tick()
    await site.tick()

    assert site.live("ids").version("1").learning
    assert len(await site.evaluations("1h")) == 1
    assert any("learning_rows{" in line and 'model="ids"' in line for line in await site.metrics())


@running()
async def test_learning_is_tried_again_when_there_are_twice_as_many_rows(site):
    await site.configure(learning={"rows": 100})
    times = spread(BEGIN, BEGIN + 2 * HOUR, 200)
    await site.post({"at": times, "id": np.arange(200)})
    await site.tick()

    await site.post({"at": times[:199], "id": np.arange(200, 399), "x": np.arange(199) % 7.0})
    await site.tick()
    assert site.live().version("1").learning
    await site.post({"at": times[:1], "x": np.ones(1)})
    await site.tick()

    assert [column.name for column in site.live().version("1").active.reference.columns] == ["x"]


@running("memory", "sqlite")
async def test_a_reference_that_is_uploaded_while_a_version_learns_stays(site):
    await site.configure(**learning())
    await site.post_hours(BEGIN, 3, n=100)
    stale = site.live()

    uploaded = await site.activate()
    await site.service.ticks._learning.advance(stale, stale.version("1"))
    await site.tick()
    await site.post_hours(BEGIN + 3 * HOUR, 3, n=100)
    await site.tick(sweep=True)

    assert [since.reference.id for since in site.live().version("1").since] == [uploaded]
    assert (await site.counted(uploaded))[1] == 300
    assert [one["rows"] for one in await site.evaluations("1h")] == [100, 100]
    assert {one["calibration"] for one in await site.evaluations()} == {"iid"}


@running()
async def test_two_processes_that_learn_at_once_make_one_reference(site):
    await site.configure(**learning())
    other = await site.start()
    await site.post_hours(BEGIN, 3, n=100)
    await other.service.registry.refresh()

    await asyncio.gather(
        *(each.service.ticks._learning.advance(each.live(), each.live().version("1")) for each in (site, other))
    )

    (activation,) = (await site.store.model("m")).activations
    assert activation.from_us is None


@running()
async def test_sketches_of_what_was_learned_do_no_harm_afterwards(site):
    await site.configure(**learning(), retention="2d", fold_after="1h")
    await site.post_hours(BEGIN, 3, n=100)
    await site.tick()

    for day in range(6):
        await site.post_hours(BEGIN + 4 * HOUR + day * DAY, 24, n=5)
        await site.tick(sweep=True)

    progress = await site.progress()
    assert progress.dirty == {}
    assert progress.oldest_us >= progress.newest_us - 3 * DAY
    assert {one["revision"] for one in await site.evaluations()} == {1}


@running()
async def test_rows_of_several_versions_are_learned_apart(site):
    await site.configure(default_version="2", **learning(rows=100, versions=["1", "2"]))
    await site.post(small_rows(spread(BEGIN, BEGIN + HOUR, 100)), version="1")
    await site.post(small_rows(spread(BEGIN, BEGIN + HOUR, 99)))

    await site.tick()

    assert not site.live().version("1").learning
    assert site.live().version("2").learning


# Activation


@running("memory", "sqlite")
async def test_rows_from_before_the_switch_are_counted_by_the_old_reference_and_those_after_it_by_the_new(site):
    await site.configure()
    old = await site.activate()
    site.clock.us = MONDAY + 30 * MINUTE
    await site.post(small_rows(spread(MONDAY, MONDAY + 30 * MINUTE, 60)))

    new = await site.activate(small_reference(**OTHER))
    site.clock.us = MONDAY + HOUR
    await site.post(small_rows(spread(MONDAY, MONDAY + HOUR, 60)))

    assert (await site.counted(old))[1] == 60 + 30
    assert (await site.counted(new))[1] == 30


@running("memory", "sqlite")
async def test_a_scale_whose_span_crosses_an_activation_is_undecided_until_it_has_refilled(site):
    await site.configure(scales=[1, 4])
    await site.activate()
    begin = MONDAY
    for hour in range(16):
        site.clock.us = begin + (hour + 1) * HOUR
        await site.post(small_rows(spread(begin + hour * HOUR, begin + (hour + 1) * HOUR, 60)))
        if hour == 7:
            site.clock.us += 3 * MINUTE
            await site.tick()
            new = await site.activate(small_reference(**OTHER))
    await site.go_to(site.clock.us + 3 * MINUTE)

    by_size = {size: [(one["reason"], one["rows"]) for one in await site.evaluations(size)] for size in ("1h", "4h")}
    assert by_size["1h"][:8] == [(None, 60)] * 8
    assert by_size["1h"][8] == ("refilling", 57)
    assert by_size["1h"][9:] == [(None, 60)] * 7
    assert [reason for reason, _ in by_size["4h"]] == ["refilling"] * 3 + [None] * 5 + ["refilling"] * 4 + [None] * 4
    assert [one["reference_id"] == new for one in await site.evaluations("1h")] == [False] * 8 + [True] * 8


@running("memory", "sqlite")
async def test_posts_while_a_reference_is_activated_lose_nothing(site):
    await site.configure()
    other = await site.start()
    old = await site.activate()
    await other.service.registry.refresh()
    site.clock.us = MONDAY + HOUR

    async def post(process, number):
        times = [MONDAY + (number * 7 + k) * MINUTE % HOUR for k in range(5)]
        for _ in range(number % 3):
            await asyncio.sleep(0)
        return await process.post(small_rows(times, seed=number))

    async def activate():
        return [
            await site.activate(small_reference(seed=seed), from_us=MONDAY + 15 * seed * MINUTE) for seed in (1, 2, 3)
        ]

    *answers, identities = await asyncio.gather(
        *(post(process, number) for number in range(40) for process in (site, other)), activate()
    )

    counted = [(await site.counted(reference))[1] for reference in (old, *identities)]
    assert sum(answer.accepted for answer in answers) == 400
    assert sum(counted) == 400


@running("memory", "sqlite")
async def test_two_processes_ingest_while_one_activates_and_nothing_is_counted_or_told_twice(site):
    site.targets = {"pager": {"url": "https://example.com/hook"}}
    await site.restart()
    other = await site.start()
    await site.configure(notify=["pager"], scales=[1])
    old = await site.activate()
    await other.service.registry.refresh()
    for hour in range(8):
        begin = MONDAY + hour * HOUR
        site.clock.us = begin + HOUR
        shift = 3.0 if hour >= 5 else 0.0
        await asyncio.gather(
            site.post(small_rows(spread(begin, begin + HOUR, 60), shift=shift)),
            other.post(small_rows(spread(begin, begin + HOUR, 60), shift=shift)),
            *([site.activate(small_reference(**OTHER))] if hour == 3 else []),
        )
        site.clock.us += 3 * MINUTE
        await asyncio.gather(*(each.service.ticks._job.advance(each.live()) for each in (site, other)))
        await other.service.registry.refresh()
        await asyncio.gather(*(each.service.ticks._job.advance(each.live()) for each in (site, other)))

    new = site.live().version("1").active.id
    rows = [(await site.counted(reference))[1] for reference in (old, new)]
    assert sum(rows) == 8 * 120
    assert [one["rows"] for one in await site.evaluations("1h")][5:] == [120] * 3
    assert {one["revision"] for one in await site.evaluations()} == {1}
    assert len(await site.decisions()) == 8
    assert len(await site.episodes()) == 1
    assert [notice["kind"] for notice in await site.notices()] == ["drift.firing"]


@running()
async def test_an_activation_in_a_replay_begins_with_its_next_row(site):
    await site.configure()
    old = await site.activate()
    await site.post(small_rows(spread(BEGIN, BEGIN + HOUR, 60)))
    newest_us = (await site.progress()).newest_us

    new = await site.activate(small_reference(**OTHER))
    await site.post(small_rows([newest_us, newest_us + 1, newest_us + 2]))

    assert [since.from_us for since in site.live().version("1").since] == [None, newest_us + 1]
    assert [(await site.counted(reference))[1] for reference in (old, new)] == [61, 2]


@running()
async def test_rows_whose_clock_is_fast_are_before_an_activation_that_comes_after_them(site):
    await site.configure(scales=[1])
    old = await site.activate()
    site.clock.us = MONDAY + HOUR
    await site.post(small_rows([MONDAY + HOUR + 30 * S]))

    new = await site.activate(small_reference(**OTHER))
    await site.post(small_rows([MONDAY + HOUR + 31 * S]))
    await site.go_to(MONDAY + 2 * HOUR + 3 * MINUTE)

    assert [(await site.counted(reference))[1] for reference in (old, new)] == [1, 1]
    (window,) = await site.evaluations("1h")
    assert (window["reason"], window["rows"]) == ("refilling", 1)


@running()
async def test_a_reference_that_counted_nothing_is_replaced_for_all_times(site):
    await site.configure()
    await site.activate()
    new = await site.activate(small_reference(**OTHER))

    await site.post(small_rows(spread(BEGIN, BEGIN + HOUR, 60)))

    assert (await site.counted(new))[1] == 60


@running()
async def test_the_reference_that_is_active_is_not_activated_again(site):
    await site.configure()
    await site.activate()
    epoch = site.live().epoch

    await site.activate()

    assert site.live().epoch == epoch


@running()
async def test_an_activation_closes_the_episode_also_while_the_source_is_silent(site):
    site.targets = {"pager": {"url": "https://example.com/hook"}}
    await site.restart()
    await site.configure(notify=["pager"], scales=[1])
    await site.activate()
    site.clock.us = MONDAY + HOUR
    await site.post(small_rows(spread(MONDAY, MONDAY + HOUR, 60), shift=3.0))
    await site.go_to(MONDAY + HOUR + 3 * MINUTE)
    assert [one["state"] for one in await site.episodes()] == ["open"]

    await site.activate(small_reference(**OTHER))
    await site.go_to(MONDAY + 3 * HOUR + 3 * MINUTE, step_us=20 * MINUTE)

    assert [(one["state"], one["resolution"]) for one in await site.episodes()] == [("resolved", "reference_changed")]
    assert [notice["kind"] for notice in await site.notices()] == ["drift.firing", "drift.resolved"]


@running("memory", "sqlite")
async def test_a_stretch_of_silence_across_an_activation_stays_one_record(site):
    await site.configure(scales=[1])
    old = await site.activate()
    site.clock.us = MONDAY + HOUR
    await site.post(small_rows(spread(MONDAY, MONDAY + HOUR, 60)))
    await site.go_to(MONDAY + 4 * HOUR, step_us=20 * MINUTE)

    new = await site.activate(small_reference(**OTHER))
    await site.go_to(MONDAY + 8 * HOUR, step_us=20 * MINUTE)
    assert [span_of(one)[:2] for one in await site.evaluations("1h")][1:] == [
        ("2026-03-02T01:00:00Z", "2026-03-02T07:00:00Z")
    ]
    await site.post(small_rows([MONDAY + 5 * HOUR, MONDAY + HOUR]))
    await site.tick()

    assert [(*span_of(one)[:2], one["reference_id"]) for one in await site.evaluations("1h")][1:] == [
        ("2026-03-02T01:00:00Z", "2026-03-02T02:00:00Z", old),
        ("2026-03-02T02:00:00Z", "2026-03-02T05:00:00Z", old),
        ("2026-03-02T05:00:00Z", "2026-03-02T06:00:00Z", new),
        ("2026-03-02T06:00:00Z", "2026-03-02T07:00:00Z", new),
    ]


@running()
async def test_a_model_that_changes_in_the_middle_of_a_replay_is_evaluated_by_its_new_configuration(site):
    await site.configure(scales=[1])
    await site.activate()
    await site.post_hours(BEGIN, 60, n=5)
    job, first = site.service.ticks._job, []

    class Changing:
        """A store in which the model has been changed right after its first record."""

        def __getattr__(self, name):
            return getattr(site.store, name)

        async def record(self, record):
            written = await site.store.record(record)
            if not first:
                first.append(written)
                live = site.live()
                document = live.configuration.model_copy(update={"scales": (1, 6)}).model_dump_json().encode()
                await site.store.put_model("m", document, "api", live.epoch)
            return written

    job._store = Changing()
    await site.tick()

    assert first == [True]
    assert len(await site.evaluations("1h")) == 59
    assert len(await site.evaluations("6h")) == 35


# Promotion


async def promoted(site, since_us, until_us, **how):
    live = site.live()
    return await promote(
        site.store, live, live.version("1"), since_us=since_us, until_us=until_us, as_version="1", **how
    )


@running("memory", "sqlite")
async def test_a_span_of_stored_traffic_becomes_a_reference_and_counts_from_then_on(site):
    await site.configure(scales=[1])
    await site.activate()
    for hour in range(30):
        await site.post_hours(BEGIN + hour * HOUR, 1, shift=1.0, seed=hour)
    await site.tick(sweep=True)
    assert {one["verdict"] for one in await site.evaluations("1h")} == {"drifted"}

    reference = await promoted(site, BEGIN + 3 * HOUR, BEGIN + 29 * HOUR)
    new = await site.activate(reference)
    for hour in range(30, 40):
        await site.post_hours(BEGIN + hour * HOUR, 1, shift=1.0, seed=hour)
    await site.tick()

    assert (reference.rows, reference.blocks.starts_s.size) == (26 * 60, 26)
    assert reference.provenance["promoted"]["since"] == "2012-03-05T03:00:00Z"
    verdicts = {one["window"]["start"][8:13]: one["verdict"] for one in await site.evaluations("1h")}
    assert {verdict for start, verdict in verdicts.items() if start > "06T06"} == {"stable"}
    assert site.live().version("1").active.id == new == reference_id(reference)


@running()
async def test_a_span_is_promoted_in_whole_base_windows(site):
    await site.configure()
    await site.activate()
    await site.post_hours(BEGIN, 5)

    reference = await promoted(site, BEGIN + 90 * MINUTE, BEGIN + 150 * MINUTE)

    assert reference.rows == 120


@running()
async def test_a_span_that_is_empty_or_was_counted_by_several_references_is_not_promoted(site):
    await site.configure()
    first = small_reference()
    await site.activate(first)
    await site.post_hours(BEGIN, 2)
    await site.activate(small_reference(**OTHER))
    await site.post_hours(BEGIN + 2 * HOUR, 2)
    await site.activate(first)
    await site.post_hours(BEGIN + 4 * HOUR, 2)

    for since_us, until_us in (
        (BEGIN, BEGIN + 6 * HOUR),
        (BEGIN, BEGIN + 3 * HOUR),
        (BEGIN + HOUR, BEGIN),
        (BEGIN + 20 * HOUR, BEGIN + 21 * HOUR),
    ):
        with pytest.raises(DeclarationError):
            await promoted(site, since_us, until_us)
    assert (await promoted(site, BEGIN, BEGIN + HOUR)).rows == 60


@running()
async def test_a_version_that_learns_has_nothing_to_promote(site):
    await site.configure(**learning())
    await site.post_hours(BEGIN, 2)

    with pytest.raises(DeclarationError):
        await promoted(site, BEGIN, BEGIN + HOUR)
