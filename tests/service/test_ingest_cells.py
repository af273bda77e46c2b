"""Cells of a wrong type, columns that nobody knows, and columns that break: counted, named, and no harm to the others."""

import asyncio
import math

import numpy as np
import pytest
from serving import NDJSON, ROW, encoded, rows_of, served, until
from test_ingest_formats import TYPES, bodies_of, headers_of

from detectors.binning import ColumnValues, DictionaryValues
from service.ingest.decode import DecodedColumns, DecodedRows
from service.ingest.pending import Pending

INVALID = "wrong type for its column; counted as invalid"
WRONG = ["planted-secret", [], {}, [1], {"planted-secret": 1}]


def invalid_counts(api, counts):
    """Counts of the bins for invalid cells, by column."""
    live = api.service.registry.get("m").version(None).active
    layout = live.binner.layout
    places = layout.offsets[:-1] + layout.value_bins + 1
    ((_, vector),) = counts.values()
    return dict(
        zip([column.name for column in live.reference.columns], [vector[place] for place in places], strict=True)
    )


@pytest.mark.parametrize("value", WRONG)
def test_a_cell_of_a_wrong_type_is_counted_as_invalid_and_named_without_its_value(tmp_path, value):
    async def scenario(api):
        await api.model()
        answer = await api.send([ROW, {**ROW, "temp": value}, ROW])
        return answer, invalid_counts(api, await api.counts()), api.log

    answer, invalid, log = served(tmp_path, scenario)

    assert answer.json() == {
        "accepted": 3,
        "rejected": 0,
        "late": 0,
        "duplicate": False,
        "errors": [{"row": 2, "column": "temp", "reason": INVALID}],
    }
    assert invalid == {"temp": 1, "hour": 0, "weather": 0, "prediction": 0}
    assert "planted-secret" not in answer.text + log


@pytest.mark.parametrize("value", [True, False, 0, -0.0, 5e-324, 1e308, 2**63, 2**64, -(2**64), 10**300, 10**400, None])
def test_every_number_json_can_write_has_a_bin(tmp_path, value):
    async def scenario(api):
        await api.model()
        answer = await api.send([{**ROW, "temp": value, "hour": value}, ROW])
        return answer.json(), await api.counts()

    answer, counts = served(tmp_path, scenario)

    assert (answer["accepted"], answer["errors"]) == (2, [])
    assert [sum(vector) for _, vector in counts.values()] == [8]


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("form", ["rows", "ndjson"])
def test_tokens_of_python_are_numbers(tmp_path, token, form):
    body = encoded(ROW).replace(b"0.5", token.encode())

    async def scenario(api):
        await api.model()
        return (await api.send(body, headers=headers_of(form))).json()

    assert served(tmp_path, scenario)["accepted"] == 1


def test_of_many_errors_the_first_ten_are_named_and_all_are_counted(tmp_path):
    rows = [{**ROW, "temp": "x", "hour": []} if n % 2 else (n if n % 10 == 0 else ROW) for n in range(100)]

    async def scenario(api):
        await api.model()
        answer = await api.send(rows)
        stream = await api.send(b"\n".join(map(encoded, rows * 30)), headers=NDJSON)
        return answer.json(), stream.json()

    answer, stream = served(tmp_path, scenario)

    for found, times in ((answer, 1), (stream, 30)):
        assert (found["accepted"], found["rejected"]) == (90 * times, 10 * times)
        assert [(error["row"], error["column"]) for error in found["errors"]] == [
            (1, None),
            (2, "hour"),
            (2, "temp"),
            (4, "hour"),
            (4, "temp"),
            (6, "hour"),
            (6, "temp"),
            (8, "hour"),
            (8, "temp"),
            (10, "hour"),
        ]


@pytest.mark.parametrize("form", [form for form in TYPES if form != "row"])
def test_columns_that_the_reference_does_not_know_are_named_once(tmp_path, form):
    (body,) = bodies_of(form, [{**row, "extra": 1, "other": "x"} for row in rows_of(20)])

    async def scenario(api):
        await api.model()
        answers = [(await api.send(body, headers=headers_of(form))).json() for _ in range(3)]
        return answers, await api.counts(), api.log, (await api.client.get("/metrics")).text

    answers, counts, log, metrics = served(tmp_path, scenario)

    assert [answer["ignored"] for answer in answers] == [["extra", "other"]] * 3
    assert log.count("column ignored") == 2
    assert 'driftline_ignored_cells_total{model="m"} 120.0' in metrics
    assert [rows for rows, _ in counts.values()] == [60]


def test_columns_that_are_declared_to_be_no_inputs_are_neither_counted_nor_ignored(tmp_path):
    configuration = {"columns": {"id": {"role": "id"}, "label": {"role": "label"}, "skip": {"role": "ignore"}}}

    async def scenario(api):
        await api.model(configuration=configuration)
        return (await api.send({**ROW, "id": 1, "label": 2, "skip": 3, "more": 4})).json()

    assert served(tmp_path, scenario)["ignored"] == ["more"]


def test_of_very_many_unknown_columns_ten_are_named(tmp_path):
    async def scenario(api):
        await api.model()
        return (await api.send(ROW | {f"x{n:04}": n for n in range(2_000)})).json()

    answer = served(tmp_path, scenario)

    assert answer["accepted"] == 1
    assert len(answer["ignored"]) == 10


POISON = [
    "\ud800",
    "a\0b",
    "\0",
    "",
    " ",
    "\u202e",
    "x" * 5_000,
    "é" * 3_000,
    "NaN",
    "null",
    "1e999",
    "\ufeff",
    float("nan"),
    math.inf,
    10**400,
    -(10**4_299),
    2**64,
    True,
    None,
    [],
    {},
    [[[[]]]],
    {"a": {"b": [None]}},
]


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("form", ["rows", "columns", "ndjson"])
def test_no_value_of_a_column_costs_the_others_their_rows(tmp_path, form, learning, store):
    rows = [{**ROW, name: value} for value in POISON for name in ("temp", "weather")]

    async def scenario(api):
        if learning:
            await api.client.put("/v1/models/m", json={})
        else:
            await api.model()
        for row in rows:
            for body in bodies_of(form, [row, ROW]):
                answer = await api.send(body, headers=headers_of(form))
                # JSON in Python's form of a lone surrogate is not UTF-8 text: that body is refused, and only that.
                assert answer.status_code in {200, 400}, answer.text
                assert answer.status_code == 200 or row["temp"] == "\ud800" or row["weather"] == "\ud800"
        together = await asyncio.gather(*(api.send([row]) for row in rows))
        return {answer.status_code for answer in together}, (await api.send(ROW)).json(), api.log

    statuses, answer, log = served(tmp_path, scenario, store=store)

    assert statuses <= {200, 400}
    assert answer == {"accepted": 1, "rejected": 0, "late": 0, "duplicate": False, "errors": []}
    assert "rows could not be counted" not in log


@pytest.mark.parametrize("column", ["temp", "weather"])
def test_a_column_that_breaks_is_counted_as_invalid_and_the_others_as_they_are(tmp_path, column):
    columns = {name: ColumnValues(values=np.array([ROW[name]] * 3, dtype=object)) for name in ROW}
    # Codes beyond their dictionary, which no decoder gives.
    columns[column] = DictionaryValues(codes=np.array([0, 7, 0]), dictionary=[ROW[column]])
    decoded = DecodedColumns(rows=3, columns=columns, numbers=[1, 2, 3])

    async def scenario(api):
        await api.model()
        pending = Pending(model="m", version="1", decoded=decoded, received_us=api.clock.us)
        answer = await api.service.buffer.add(pending, 0)
        return answer, invalid_counts(api, await api.counts())

    answer, invalid = served(tmp_path, scenario)

    assert answer.accepted == 3
    assert [(error.row, error.column) for error in answer.errors] == [(1, column), (2, column), (3, column)]
    assert {name: n for name, n in invalid.items() if n} == {column: 3}


def test_a_request_that_breaks_costs_only_itself(tmp_path):
    broken = DecodedRows(names=("temp",), cells=[(1.0,), 5], numbers=[1, 2])  # a row that is none: no decoder gives it

    async def scenario(api):
        await api.model()
        before = api.store.commits
        api.store.gate.clear()
        first = asyncio.create_task(api.send(ROW))

        async def first_stands_before_the_gate():
            return api.store.commits > before

        async def all_wait():
            return api.service.buffer.rows == 8

        await until(first_stands_before_the_gate)
        pending = Pending(model="m", version="1", decoded=broken, received_us=api.clock.us)
        adding = asyncio.create_task(api.service.buffer.add(pending, 0))
        others = [asyncio.create_task(api.send({"temp": n})) for n in range(5)]
        await until(all_wait)
        api.store.gate.set()
        await asyncio.wait([first, adding, *others])
        return adding.exception(), [(await task).status_code for task in (first, *others)], await api.rows(), api.log

    error, statuses, rows, log = served(tmp_path, scenario)

    assert error is not None
    assert (statuses, rows) == ([200] * 6, 6)
    assert log.count("rows could not be counted") == 1
