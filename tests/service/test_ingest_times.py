"""Event times: which rows are refused for theirs, and where the others are counted."""

import numpy as np
import pytest
from bodies import body_of
from making import reference_of
from serving import NOW_US, REFERENCE_TYPE, ROW, served
from test_ingest_formats import headers_of

from service.registry.reference_file import reference_bytes

S, HOUR_US, DAY_US = 1_000_000, 3_600_000_000, 86_400_000_000
DECLARED = {"columns": {"at": {"role": "time"}}}
NO_TIME = "no time, though the column is declared to be the time"
NOT_A_TIME = "not a time; wanted RFC 3339 or seconds since the epoch"
FUTURE = "later than now: more than the clock skew allowed"
TOO_OLD = "older than the retention"


def at(text):
    return {**ROW, "at": text}


def sent(folder, rows, *, configuration=DECLARED, before=(), form="rows", **kept):
    """Answer to rows, and the panes that they were counted in."""

    async def scenario(api):
        await api.model(configuration=configuration)
        for earlier in before:
            assert (await api.send(earlier)).json()["rejected"] == 0
        answer = await api.send(body_of(form, rows), headers=headers_of(form))
        return answer.json(), {start: n for start, (n, _) in (await api.counts()).items()}

    return served(folder, scenario, **kept)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, NOT_A_TIME),
        ("", NOT_A_TIME),
        ("planted-secret", NOT_A_TIME),
        ("20260302", TOO_OLD),
        (True, NOT_A_TIME),
        ([], NOT_A_TIME),
        ({"a": 1}, NOT_A_TIME),
        ("2026-02-30T00:00:00Z", NOT_A_TIME),
        ("2026-03-02T12:00:00+99:00", NOT_A_TIME),
        (1e300, NOT_A_TIME),
        (10**30, NOT_A_TIME),
        (-(10**30), NOT_A_TIME),
        (2**64, NOT_A_TIME),
        ("9999-12-31T23:59:59Z", FUTURE),
        ("2100-01-01T00:00:00Z", FUTURE),
        (4_102_444_800, FUTURE),
        ("2026-03-02T12:01:01Z", FUTURE),
        ("1970-01-01T00:00:00Z", TOO_OLD),
        (0, TOO_OLD),
        ("0001-01-01T00:00:00Z", TOO_OLD),
        ("2026-01-26T11:59:59Z", TOO_OLD),
    ],
)
def test_a_row_without_a_time_in_range_is_rejected_with_its_reason(tmp_path, value, reason):
    rows = [at("2026-03-02T12:00:00Z"), at(value), at("2026-03-02T11:59:59Z")]

    answer, panes = sent(tmp_path, rows, before=[at("2026-03-02T12:00:00Z")])

    assert (answer["accepted"], answer["rejected"]) == (2, 1)
    assert answer["errors"] == [{"row": 2, "column": "at", "reason": reason}]
    assert sum(panes.values()) == 3


@pytest.mark.parametrize("rows", [[ROW], [ROW, at("2026-03-02T12:00:00Z"), ROW]])
def test_a_row_that_lacks_the_declared_time_is_rejected(tmp_path, rows):
    answer, _ = sent(tmp_path, rows)

    assert answer["rejected"] == sum("at" not in row for row in rows)
    assert {error["reason"] for error in answer["errors"]} == {NO_TIME}
    assert [error["row"] for error in answer["errors"]] == [n for n, row in enumerate(rows, 1) if "at" not in row]


@pytest.mark.parametrize("form", ["rows", "columns", "ndjson", "csv", "arrow", "parquet"])
@pytest.mark.parametrize(
    "values",
    [
        ["2026-03-02T11:00:00Z", "2026-03-02T10:59:59.999999Z", "2100-01-01T00:00:00Z"],
        ["2026-03-02 12:00:00+01:00", "2026-03-02 11:59:59.999999+01:00", "2100-01-01 00:00:00+00:00"],
        [1_772_449_200, 1_772_449_199, 4_102_444_800],
        [1_772_449_200.0, 1_772_449_199.5, 4_102_444_800.25],
        [1_772_449_200_000, 1_772_449_199_999, 4_102_444_800_000],
    ],
    ids=["zulu", "offset", "seconds", "fractions", "milliseconds"],
)
def test_times_are_read_alike_in_every_format(tmp_path, form, values):
    answer, panes = sent(tmp_path, [at(value) for value in values], form=form)

    assert panes == {NOW_US - HOUR_US: 1, NOW_US - HOUR_US - 300 * S: 1}
    assert (answer["accepted"], answer["errors"]) == (2, [{"row": 3, "column": "at", "reason": FUTURE}])


def test_times_without_a_zone_are_of_the_time_zone_of_the_model(tmp_path):
    configuration = {**DECLARED, "time_zone": "America/New_York"}

    _, panes = sent(tmp_path, [at("2026-03-02T06:00:00")], configuration=configuration)

    assert panes == {NOW_US - HOUR_US: 1}


@pytest.mark.parametrize(("skew", "accepted"), [("1m", 2), ("1h", 3), ("1s", 1)])
def test_how_far_in_the_future_a_row_may_lie_is_a_setting(tmp_path, skew, accepted):
    rows = [at("2026-03-02T12:00:00Z"), at("2026-03-02T12:01:00Z"), at("2026-03-02T13:00:00Z")]

    answer, _ = sent(tmp_path, rows, configuration={**DECLARED, "clock_skew": skew})

    assert (answer["accepted"], answer["rejected"]) == (accepted, 3 - accepted)


def test_a_year_of_logs_in_one_body_is_a_year_though_it_is_more_than_the_retention(tmp_path):
    rows = [at(f"2025-{month:02}-01T00:00:00Z") for month in range(1, 13)]

    answer, panes = sent(tmp_path, rows, configuration={**DECLARED, "retention": "7d"})

    assert (answer["accepted"], len(panes)) == (12, 12)


def test_rows_of_1970_are_counted_where_they_lie_when_nothing_newer_has_come(tmp_path):
    answer, panes = sent(tmp_path, [at(0), at("1970-01-01T00:04:59Z")])

    assert (answer["accepted"], panes) == (2, {0: 2})


def test_a_time_at_the_beginning_of_all_times_is_refused_lest_its_windows_begin_before(tmp_path):
    async def scenario(api):
        await api.model(configuration={**DECLARED, "retention": "3650d", "base_window": "7d", "scales": [1, 500]})
        answers = [await api.send(at(f"{year:04}-06-01T00:00:00Z")) for year in (1, 100, 150, 2020)]
        for _ in range(3):
            await api.service.ticks.evaluate()
        return [answer.json()["accepted"] for answer in answers], api.log

    accepted, log = served(tmp_path, scenario)

    assert accepted == [0, 0, 1, 1]
    assert "evaluation failed" not in log


def test_late_rows_go_to_their_pane_and_are_told_of(tmp_path):
    rows = [at("2026-03-02T11:57:59Z"), at("2026-03-02T11:58:00Z"), at("2026-03-01T12:00:00Z")]

    answer, panes = sent(tmp_path, rows, before=[at("2026-03-02T12:00:00Z")])

    assert (answer["accepted"], answer["late"]) == (3, 2)
    assert panes[NOW_US - DAY_US] == 1


def test_a_time_column_that_was_only_found_need_not_be_in_the_traffic(tmp_path):
    starts = NOW_US // S - 86_400 * 40 + np.arange(800) * 3_600
    document = reference_bytes(
        reference_of({"temp": np.linspace(0, 1, 800)}, blocks=starts // 3_600 * 3_600, time_column="at"),
        compressed=True,
    )

    async def scenario(api):
        await api.client.post("/v1/models/m/references", content=document, headers={"content-type": REFERENCE_TYPE})
        answers = [await api.send({"temp": 0.5}), await api.send({"temp": 0.5, "at": "2026-03-02T10:00:00Z"})]
        wrong = await api.send({"temp": 0.5, "at": "never"})
        return [answer.json() for answer in answers], wrong.json(), await api.counts()

    answers, wrong, panes = served(tmp_path, scenario)

    assert [(answer["accepted"], answer.get("ignored")) for answer in answers] == [(1, None)] * 2
    assert wrong["errors"] == [{"row": 1, "column": "at", "reason": NOT_A_TIME}]
    assert {start: n for start, (n, _) in panes.items()} == {NOW_US: 1, NOW_US - 2 * HOUR_US: 1}


def test_rows_without_a_time_are_of_when_they_were_received(tmp_path):
    answer, panes = sent(tmp_path, [ROW, ROW], configuration={})

    assert (answer["accepted"], panes) == (2, {NOW_US: 2})


def test_rejected_rows_are_counted_by_reason(tmp_path):
    async def scenario(api):
        await api.model(configuration=DECLARED)
        await api.send([at("2026-03-02T12:00:00Z")])
        await api.send([at("x"), at("2100-01-01"), at(0), at(1), ROW, 5])
        return (await api.client.get("/metrics")).text

    text = served(tmp_path, scenario)

    found = {
        line.split('reason="')[1].split('"')[0]: float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith("driftline_rows_rejected_total{")
    }
    assert found == {"unreadable_time": 1, "future": 1, "too_old": 2, "no_time": 1, "unreadable": 1}


def test_learning_obeys_the_same_times(tmp_path):
    async def scenario(api):
        await api.client.put("/v1/models/m", json=DECLARED)
        answer = await api.send([at("2026-03-02T12:00:00Z"), at("2100-01-01"), at("x"), ROW])
        return answer.json(), await api.rows()

    answer, rows = served(tmp_path, scenario)

    assert (answer["accepted"], answer["rejected"], rows) == (1, 3, 1)
    assert [error["reason"] for error in answer["errors"]] == [FUTURE, NOT_A_TIME, NO_TIME]
