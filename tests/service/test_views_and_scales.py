"""The spans that are evaluated when a base window ends: scales, which decide, and views, which do not."""

from running import DAY, HOUR, MINUTE, MONDAY, at, running, small_reference, small_rows, span_of, spread

from service.domain.configuration import ModelConfiguration
from service.evaluation.closing import Closed, Silent, steps
from service.evaluation.spans import by_window, earliest_us, newest_panes, spans_at, sum_of, within
from service.ports import Pane
from service.registry.models import LiveModel, LiveReference, LiveVersion, Since
from service.storage import codec
from service.windows.grid import Grid

BEGIN = at("2012-03-05")


def model(**configuration):
    return LiveModel(model="m", epoch=1, owner="api", configuration=ModelConfiguration(**configuration), versions={})


def version():
    live = LiveReference(id="r", reference=small_reference())
    return LiveVersion(model="m", version="1", since=(Since(from_us=None, reference=live),))


def spans(end, **configuration):
    return [
        ((span.end_us - span.start_us) / HOUR, span.size, span.scale)
        for span in spans_at(model(**configuration), version(), at(end))
    ]


def pane(start_us, *counts, window_us=None, late=0):
    return Pane(
        start_us=start_us,
        window_start_us=start_us - start_us % HOUR if window_us is None else window_us,
        rows=sum(counts),
        late=late,
        payloads=tuple(codec.encode_sparse([1], [count], 3) for count in counts),
    )


def test_each_scale_is_due_every_quarter_of_its_length():
    ends = [f"2012-03-05T{hour:02}:00" for hour in range(24)]
    due = {
        size: [int(end[11:13]) for end in ends if size in {span[1] for span in spans(end)}]
        for size in ("1h", "6h", "1d")
    }

    assert due == {"1h": list(range(24)), "6h": list(range(24)), "1d": [0, 6, 12, 18]}


def test_spans_are_as_long_as_their_scales_say():
    assert spans("2012-03-05T06:00") == [(1, "1h", 1), (6, "6h", 6), (24, "1d", 24)]
    assert spans("2012-03-05T06:30", base_window="30m", scales=[1, 3]) == [(0.5, "30m", 1), (1.5, "90m", 3)]


def test_a_scale_of_days_has_as_many_days_where_clocks_change():
    found = spans("2012-03-12T04:00", base_window="1d", scales=[1, 7], time_zone="America/New_York", retention="60d")

    assert found == [(23, "1d", 1), (7 * 24 - 1, "7d", 7)]


def test_a_view_of_days_begins_at_midnight_where_clocks_change():
    (view,) = spans(
        "2012-03-12T04:00", base_window="1d", scales=[7], time_zone="America/New_York", views=[{"size": "2d"}]
    )[-1:]

    assert view == (47, "2d", None)


def test_a_scale_that_is_named_twice_is_evaluated_once():
    assert spans("2012-03-05T06:00", scales=[1, 1]) == [(1, "1h", 1)]


def test_a_view_with_the_size_of_a_scale_gives_way_to_it():
    assert spans("2012-03-05T06:00", scales=[1, 6], views=[{"size": "6h"}, {"size": "2h"}, {"size": "2h"}]) == [
        (1, "1h", 1),
        (6, "6h", 6),
        (2, "2h", None),
    ]


def test_what_is_read_reaches_as_far_back_as_the_longest_span():
    assert earliest_us(model(), BEGIN) == BEGIN - DAY
    assert earliest_us(model(views=[{"rows": 10, "max_age": "7d"}]), BEGIN) == BEGIN - 7 * DAY
    assert earliest_us(model(views=[{"size": "90m"}], scales=[1]), BEGIN) == BEGIN - 90 * MINUTE


def test_panes_within_a_span_are_those_that_start_in_it():
    panes = [pane(BEGIN + k * 5 * MINUTE, 1) for k in range(4)]

    assert within(panes, BEGIN + 5 * MINUTE, BEGIN + 15 * MINUTE) == panes[1:3]


def test_the_newest_panes_are_as_few_as_have_the_rows():
    panes = [pane(BEGIN + k * 5 * MINUTE, 10) for k in range(4)]

    assert newest_panes(panes, 11) == panes[2:]
    assert newest_panes(panes, 20) == panes[2:]
    assert newest_panes(panes, 41) == panes
    assert newest_panes([], 1) == []


def test_panes_of_a_base_window_become_one_and_lose_nothing():
    panes = [pane(BEGIN, 1, 2), pane(BEGIN + 5 * MINUTE, 3, late=2), pane(BEGIN + HOUR, 4)]

    first, second = by_window(panes)

    assert (first.start_us, first.rows, first.late, len(first.payloads)) == (BEGIN, 6, 2, 1)
    assert (second.start_us, second.rows, second.payloads) == (BEGIN + HOUR, 4, panes[2].payloads)
    assert sum_of([first, second], 3).tolist() == sum_of(panes, 3).tolist() == [0, 10, 0]


GRID = Grid(pane_s=300, base_s=3600, time_zone=model().grid.time_zone)


def due(starts, from_us, until_us):
    rows = {BEGIN + start * HOUR: 1 for start in starts}
    found = steps(GRID, rows, None if from_us is None else BEGIN + from_us * HOUR, BEGIN + until_us * HOUR)
    return [(type(step), (step.start_us - BEGIN) // HOUR, (step.end_us - BEGIN) // HOUR) for step in found]


def test_windows_with_rows_and_the_stretches_between_them_become_due_in_order():
    assert due([3, 1, 6], 0, 6) == [
        (Silent, 0, 1),
        (Closed, 1, 2),
        (Silent, 2, 3),
        (Closed, 3, 4),
        (Silent, 4, 6),
    ]


def test_a_version_begins_with_its_first_rows_and_not_with_silence():
    assert due([3], None, 5) == [(Closed, 3, 4), (Silent, 4, 5)]
    assert due([], None, 5) == []


def test_what_was_dealt_with_or_is_open_is_not_due():
    assert due([1, 2, 5], 2, 5) == [(Closed, 2, 3), (Silent, 3, 5)]
    assert due([1], 2, 2) == []


# A running service


@running()
async def test_scales_are_refilling_until_they_are_full(site):
    await site.configure()
    await site.activate()
    await site.post_hours(BEGIN, 50)
    await site.tick()

    reasons = {size: [one["reason"] for one in await site.evaluations(size)] for size in ("1h", "6h", "1d")}

    assert reasons["1h"] == [None] * 49
    assert reasons["6h"] == ["refilling"] * 5 + [None] * 44
    assert reasons["1d"] == ["refilling"] * 3 + [None] * 5


@running("memory", "sqlite")
async def test_a_scale_is_full_from_then_on_whatever_gaps_there_are_and_whatever_was_swept(site):
    """Business hours, weeks apart: counts of the first have long gone when the last are evaluated."""
    await site.configure(retention="2d", fold_after="1d")
    await site.activate()
    for week in range(4):
        for day in range(2):
            await site.post_hours(BEGIN + (7 * week + day) * DAY + 9 * HOUR, 3)
            await site.tick(sweep=True)
            await site.tick(sweep=True)

    refilling = [one["window"]["end"][:13] for one in await site.evaluations() if one["reason"] == "refilling"]

    assert {end[:10] for end in refilling} == {"2012-03-05"}
    assert len([one for one in await site.evaluations("6h") if one["rows"] == 180]) >= 3


@running()
async def test_drift_on_a_scale_decides_though_the_base_window_has_too_few_rows(site):
    await site.configure(policy={"resolve_after": 1})
    await site.activate()
    await site.post_hours(BEGIN, 30, n=10)
    await site.post_hours(BEGIN + 30 * HOUR, 9, n=10, shift=1.5)
    await site.tick()

    (episode,) = await site.episodes()
    assert {(one["verdict"], one["reason"]) for one in await site.evaluations("1h")} == {("undecided", "too_few_rows")}
    assert at("2012-03-06T06:00") < at(episode["opened_at"][:-1]) <= at("2012-03-06T12:00")
    assert {one["verdict"] for one in await site.decisions()} == {"undecided", "stable", "drifted"}


@running()
async def test_views_are_shown_and_have_no_say(site):
    await site.configure(scales=[1], views=[{"size": "30m"}, {"rows": 25, "max_age": "3h"}], policy={"rows_min": 40})
    await site.activate()
    for hour in range(4):
        await site.post_hours(BEGIN + hour * HOUR, 1, n=36, shift=3.0)
    await site.tick()

    by_size = {size: [(one["rows"], one["scale"]) for one in await site.evaluations(size)] for size in ("1h", "30m")}

    assert by_size == {"1h": [(36, 1)] * 3, "30m": [(18, None)] * 3}
    assert [(one["rows"], span_of(one)[:2]) for one in await site.evaluations("25rows")] == [
        (27, ("2012-03-05T00:15:00Z", "2012-03-05T01:00:00Z")),
        (27, ("2012-03-05T01:15:00Z", "2012-03-05T02:00:00Z")),
        (27, ("2012-03-05T02:15:00Z", "2012-03-05T03:00:00Z")),
    ]
    assert {one["verdict"] for one in await site.decisions()} == {"undecided"}
    assert await site.episodes() == []


@running()
async def test_a_view_that_has_drifted_opens_no_episode(site):
    await site.configure(scales=[1], views=[{"size": "1d"}])
    await site.activate()
    await site.post_hours(BEGIN, 24, n=20, shift=3.0)
    await site.tick()

    assert "drifted" in {one["verdict"] for one in await site.evaluations("1d")}
    assert await site.episodes() == []


@running()
async def test_a_view_of_the_newest_rows_goes_no_further_back_than_its_age(site):
    await site.configure(scales=[1], views=[{"rows": 1000, "max_age": "2h"}])
    await site.activate()
    await site.post_hours(BEGIN, 5)
    await site.tick()

    assert [one["rows"] for one in await site.evaluations("1000rows")] == [60, 120, 120, 120]


@running("memory", "sqlite")
async def test_fine_views_are_evaluated_from_fine_panes_in_the_fastest_replay(site):
    """Panes are folded into base windows after two days: not before the view of half an hour has seen them."""
    await site.configure(scales=[1], views=[{"size": "30m"}], fold_after="1h")
    await site.activate()
    await site.post_hours(BEGIN, 48, n=12)
    await site.service.ticks.sweep()
    await site.service.ticks.sweep()

    await site.tick(sweep=True)

    assert {one["rows"] for one in await site.evaluations("30m")} == {6}


# Retention


@running("memory", "sqlite")
async def test_what_is_older_than_the_retention_is_swept_but_not_before_it_was_evaluated(site):
    await site.configure(retention="2d", fold_after="1d")
    reference_id = await site.activate()
    await site.post_hours(BEGIN, 5 * 24, n=5)
    for _ in range(3):
        await site.service.ticks.sweep()
    assert (await site.counted(reference_id))[1] == 600

    await site.tick(sweep=True)
    await site.service.ticks.sweep()

    newest_us = (await site.progress()).newest_us
    assert [one["rows"] for one in await site.evaluations("1h")] == [5] * 119
    assert (await site.counted(reference_id, last_us=newest_us - 2 * DAY - HOUR))[1] == 0
    assert (await site.counted(reference_id, newest_us - 2 * DAY))[1] == 2 * 24 * 5


@running("memory", "sqlite")
async def test_evaluations_of_a_replayed_year_are_kept_though_it_is_long_ago(site):
    await site.configure(scales=[1])
    await site.activate()
    await site.post(small_rows(spread(at("2010-03-05"), at("2011-03-05"), 100)))

    await site.tick(sweep=True)
    await site.service.ticks.sweep()

    assert sum(one["rows"] for one in await site.evaluations("1h")) == 99
    assert len(await site.decisions()) == 99


@running()
async def test_evaluations_are_dropped_when_they_are_old_by_the_time_of_their_rows(site):
    await site.configure(scales=[1])
    await site.activate()
    await site.post(small_rows(spread(at("2009-03-05"), at("2011-03-05"), 100)))

    await site.tick(sweep=True)
    await site.tick(sweep=True)

    ends = [at(one["window"]["end"][:-1]) for one in await site.evaluations("1h")]
    assert (await site.progress()).newest_us - 400 * DAY <= min(ends) < at("2010-02-05")
    assert len(ends) > 50


@running()
async def test_rows_that_are_too_old_or_in_the_future_are_refused_and_counted(site):
    await site.configure(retention="3d")
    reference_id = await site.activate()
    await site.post_hours(MONDAY - 2 * HOUR, 2)
    newest_us = (await site.progress()).newest_us

    answer = await site.post(
        small_rows([newest_us - 3 * DAY - 1, newest_us - 3 * DAY, site.clock.us + MINUTE, site.clock.us + MINUTE + 1])
    )

    assert (answer.accepted, answer.rejected, answer.late) == (2, 2, 1)
    assert answer.reasons == {"too_old": 1, "future": 1}
    assert [error.row for error in answer.errors] == [1, 4]
    assert (await site.counted(reference_id))[1] == 122
    assert any('reason="too_old"' in line and line.endswith(" 1.0") for line in await site.metrics())
