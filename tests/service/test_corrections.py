"""Rows that come late: where they are counted, what is evaluated again, and what that may change."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from running import DAY, HOUR, MINUTE, MONDAY, TARGET, at, run, running, small_rows, span_of, spread, timeless

from service.domain import Evaluation, Window
from service.evaluation.corrections import Stretch, corrected, silent_parts
from service.ports import EvaluationRow

BEGIN = at("2012-03-05")


def row(start=0, end=1, *, verdict="stable", revision=1, reference_id="r", rows=1):
    return EvaluationRow(
        model="m",
        version="1",
        reference_id=reference_id,
        size="1h",
        start_us=start,
        end_us=end,
        verdict=verdict,
        rows=rows,
        revision=revision,
        document=b"{}",
    )


def evaluation(verdict="stable", start=0):
    return Evaluation(
        model="m",
        version="1",
        segment=None,
        reference_id="r",
        window=Window(start_us=start, end_us=1, size="1h"),
        evaluated_at="",
        revision=1,
        provisional=False,
        rows=1,
        late_rows=0,
        verdict=verdict,
        reason=None,
        calibration="iid",
        calibration_advice=None,
        false_alarms_per_30d=None,
        budget_per_30d=None,
        scale=1,
        tier=None,
        season=None,
        replayed_false_alarms_per_30d=None,
        columns={},
    )


def test_a_correction_has_the_revision_after_the_one_it_replaces():
    assert corrected(evaluation(), []).evaluation.revision == 1
    assert corrected(evaluation(), [row(revision=4)]).evaluation.revision == 5
    assert corrected(evaluation(), [row(start=-1, revision=4), row(reference_id="s")]).evaluation.revision == 1


def test_a_correction_is_newly_drifted_only_if_the_window_was_not_before():
    assert corrected(evaluation("drifted"), [row()]).newly_drifted
    assert not corrected(evaluation("drifted"), [row(verdict="drifted")]).newly_drifted
    assert not corrected(evaluation("stable"), [row()]).newly_drifted


def test_a_stretch_of_silence_is_torn_at_every_window_that_has_rows_now():
    def left(*starts):
        return [(part.start_us, part.end_us) for part in silent_parts([Stretch(start_us=2, end_us=8)], starts)]

    assert left() == [(2, 8)]
    assert left((4, 5)) == [(2, 4), (5, 8)]
    assert left((2, 3), (7, 8)) == [(3, 7)]
    assert left((1, 2), (3, 4), (4, 5), (8, 9)) == [(2, 3), (5, 8)]
    assert left(*((start, start + 1) for start in range(2, 8))) == []


# A running service


@running("memory", "sqlite")
async def test_a_late_row_goes_to_its_pane_and_every_evaluation_that_it_touches_is_made_again(site):
    await site.configure()
    reference_id = await site.activate()
    await site.post_hours(BEGIN, 60)
    await site.tick()
    late_us = BEGIN + 30 * HOUR + 7 * MINUTE
    window = BEGIN + 30 * HOUR

    answer = await site.post(small_rows([late_us, late_us]))
    await site.tick()

    assert (answer.accepted, answer.late) == (2, 2)
    assert await site.late(window, window + 5 * MINUTE) == 0
    assert await site.late(window + 5 * MINUTE, window + 10 * MINUTE) == 2
    assert (await site.counted(reference_id, window, window + HOUR))[1] == 62
    again = {
        (one["window"]["size"], one["window"]["end"][8:13]): (one["revision"], one["rows"], one["late_rows"])
        for one in await site.evaluations()
        if one["revision"] > 1
    }
    assert again == {
        ("1h", "06T07"): (2, 62, 2),
        **{("6h", f"06T{hour:02}"): (2, 362, 2) for hour in range(7, 13)},
        **{("1d", end): (2, 24 * 60 + 2, 2) for end in ("06T12", "06T18", "07T00", "07T06")},
    }


@running()
async def test_rows_that_are_late_but_whose_window_is_open_are_counted_as_late_and_correct_nothing(site):
    await site.configure()
    await site.activate()
    await site.post(small_rows(spread(BEGIN, BEGIN + 30 * MINUTE, 60)))
    answer = await site.post(small_rows([BEGIN + 20 * MINUTE]))
    await site.post_hours(BEGIN + HOUR, 1)

    await site.tick()

    first = await site.evaluation(BEGIN)
    assert answer.late == 1
    assert (first["revision"], first["rows"], first["late_rows"]) == (1, 61, 1)


@running()
async def test_a_correction_may_open_an_episode_that_the_first_look_missed(site):
    site.targets = TARGET
    await site.restart()
    await site.configure(notify=["pager"], scales=[1])
    await site.activate()
    await site.post_hours(BEGIN, 5)
    await site.tick()
    assert await site.episodes() == []

    await site.post(small_rows(spread(BEGIN + 2 * HOUR, BEGIN + 3 * HOUR, 200), shift=3.0))
    await site.tick()

    (episode,) = await site.episodes()
    assert (episode["opened_at"], episode["state"]) == ("2012-03-05T03:00:00Z", "open")
    assert [notice["kind"] for notice in await site.notices()] == ["drift.firing"]
    assert [one["correction"] for one in await site.decisions()] == [False] * 4 + [True]


@running()
async def test_a_correction_never_closes_retracts_or_renumbers_an_episode(site):
    site.targets = TARGET
    await site.restart()
    await site.configure(notify=["pager"], scales=[1], policy={"resolve_after": 1, "cool_down": "1h"})
    await site.activate()
    await site.post_hours(BEGIN, 2)
    await site.post_hours(BEGIN + 2 * HOUR, 2, shift=0.5, n=100)
    await site.tick()
    (before,) = await site.episodes()
    sent, decided = await site.notices(), await site.decisions()
    assert before["state"] == "open"

    await site.post(small_rows(spread(BEGIN + 2 * HOUR, BEGIN + 3 * HOUR, 20_000)))
    await site.tick()

    assert (await site.evaluation(BEGIN + 2 * HOUR))["verdict"] == "stable"
    assert await site.episodes() == [before]
    assert (await site.notices(), await site.decisions()) == (sent, decided)


@running()
async def test_a_window_that_had_drifted_before_is_not_decided_again_when_more_rows_come(site):
    await site.configure(scales=[1])
    await site.activate()
    await site.post_hours(BEGIN, 3, shift=3.0)
    await site.tick()
    decided = await site.decisions()

    await site.post(small_rows([BEGIN + MINUTE]))
    await site.tick()

    assert (await site.evaluation(BEGIN))["revision"] == 2
    assert await site.decisions() == decided


@running("memory", "sqlite")
async def test_late_rows_tear_a_record_of_silence_wherever_they_fall(site):
    await site.configure(scales=[1])
    await site.activate()
    await site.post_hours(BEGIN, 1)
    await site.post_hours(BEGIN + 20 * HOUR, 2)
    await site.tick()

    hours = [1, 5, 6, 10, 19]
    for hour in hours[:3]:
        await site.post(small_rows([BEGIN + hour * HOUR]))
    await site.tick()
    for hour in hours[3:]:
        await site.post(small_rows([BEGIN + hour * HOUR]))
    await site.tick()

    assert [(one["window"]["start"][11:13], one["window"]["end"][11:13]) for one in await site.evaluations("1h")] == [
        ("00", "01"),
        ("01", "02"),
        ("02", "05"),
        ("05", "06"),
        ("06", "07"),
        ("07", "10"),
        ("10", "11"),
        ("11", "19"),
        ("19", "20"),
        ("20", "21"),
    ]
    assert [one["rows"] for one in await site.evaluations("1h") if one["reason"] != "silent"] == [60, 1, 1, 1, 1, 1, 60]


@running()
async def test_a_stretch_between_a_row_from_before_the_first_and_the_first_is_recorded_as_silent(site):
    await site.configure(scales=[1, 6])
    await site.activate()
    await site.post_hours(BEGIN + 20 * HOUR, 3)
    await site.tick()
    assert (await site.evaluation(BEGIN + 16 * HOUR, "6h"))["reason"] == "refilling"

    await site.post(small_rows(spread(BEGIN + 10 * HOUR, BEGIN + 11 * HOUR, 60)))
    await site.tick()

    assert [span_of(one) for one in await site.evaluations("1h")][:2] == [
        ("2012-03-05T10:00:00Z", "2012-03-05T11:00:00Z", "stable", None),
        ("2012-03-05T11:00:00Z", "2012-03-05T20:00:00Z", "undecided", "silent"),
    ]
    assert (await site.evaluation(BEGIN + 16 * HOUR, "6h"))["reason"] is None
    assert (await site.evaluation(BEGIN + 5 * HOUR, "6h"))["reason"] == "refilling"


@running()
async def test_a_longer_window_is_not_evaluated_again_from_the_half_of_its_counts_that_is_kept(site):
    await site.configure(retention="2d", fold_after="1d")
    await site.activate()
    await site.post_hours(BEGIN, 4 * 24)
    await site.tick(sweep=True)
    await site.tick(sweep=True)
    kept_us = (await site.progress()).newest_us - 2 * DAY
    before = {key(one): one["rows"] for one in await site.evaluations()}

    answer = await site.post(small_rows([kept_us, kept_us + 5 * HOUR]))
    await site.tick(sweep=True)

    assert (answer.accepted, answer.late) == (2, 2)
    again = {key(one): one["rows"] for one in await site.evaluations() if one["revision"] > 1}
    assert again
    assert all(rows - before[which] in {1, 2} for which, rows in again.items())
    assert {size for size, _ in again} == {"1h", "6h", "1d"}


def key(document):
    return document["window"]["size"], document["window"]["start"]


# Order and batches


HOURS = 10
SPARSE = [0, 0, 1, 3, 4, 4, 8]
"""Hours that have rows, of the first that are within the retention."""


def rows_of_hours(hours):
    rng = np.random.default_rng(7)
    times = np.concatenate([BEGIN + hour * HOUR + rng.integers(0, HOUR, 40) for hour in hours])
    return small_rows(times, seed=3)


ALL = rows_of_hours(SPARSE)
TOTAL = len(ALL["at"])


def some_of(rows, which):
    return {name: values[which] for name, values in rows.items()}


async def lived(site, batches, ticks):
    await site.configure(scales=[1, 2, 4])
    reference_id = await site.activate()
    for number, batch in enumerate(batches):
        await site.post(some_of(ALL, batch))
        if number in ticks:
            await site.tick(sweep=True)
    await site.post_hours(BEGIN + 9 * HOUR, 3)
    for _ in range(3):
        await site.tick(sweep=True)
    documents = [
        {name: value for name, value in timeless(one).items() if name not in {"revision", "late_rows"}}
        for one in await site.evaluations()
    ]
    return await site.counted(reference_id), sorted(documents, key=lambda one: (one["window"]["start"], key(one)))


@settings(max_examples=12)
@given(order=st.permutations(range(14)), ticks=st.sets(st.integers(0, 13)))
def test_the_same_rows_in_any_order_and_batches_give_the_same_counts_and_verdicts(order, ticks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("order")
    parts = np.array_split(np.arange(TOTAL), 14)

    at_once = run(lambda site: lived(site, [np.arange(TOTAL)], ()), folder)
    bit_by_bit = run(lambda site: lived(site, [parts[number] for number in order], ticks), folder)

    assert bit_by_bit[0] == at_once[0]
    assert bit_by_bit[1] == at_once[1]


@running()
async def test_requests_and_responses_as_separate_events_give_the_counts_of_whole_rows(site):
    rows = some_of(ALL, np.arange(60))
    whole = [
        {"at": int(t), "x": float(x), "c": c, "y": float(y)}
        for t, x, c, y in zip(rows["at"], rows["x"], rows["c"], rows["y"], strict=True)
    ]
    for model in ("m", "apart"):
        await site.configure(model)
        reference_id = await site.activate(model=model)

    await site.post(whole)
    for row_ in whole:
        response = {"at": row_["at"], "y": row_.pop("y")}
        await site.post([row_, response], model="apart")

    together, rows_together = await site.counted(reference_id)
    apart, rows_apart = await site.counted(reference_id, model="apart")
    assert apart == together
    assert (rows_together, rows_apart) == (60, 120)


@running()
async def test_live_rows_that_wait_for_the_clock_are_in_the_window_of_their_own_time(site):
    await site.configure()
    reference_id = await site.activate()
    site.clock.us = MONDAY + HOUR
    times = [MONDAY, MONDAY + HOUR - 1, MONDAY + HOUR]

    await site.post(small_rows(times))

    assert [(await site.counted(reference_id, a, a + HOUR))[1] for a in (MONDAY, MONDAY + HOUR)] == [2, 1]
