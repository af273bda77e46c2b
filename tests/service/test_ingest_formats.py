"""The same rows give the same counts, however they are sent."""

import asyncio
import gzip
import json

import pyarrow as pa
import pytest
import zstandard
from bodies import FORMATS, arrow_body, body_of, parquet_body
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import JSON, NDJSON, ROW, rows_of, served, serving

TYPES = {
    "row": "application/json",
    "rows": "application/json",
    "wrapped": "application/json",
    "columns": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
PACKED = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}
ROWS = rows_of(60)


def bodies_of(form, rows):
    """Bodies that together hold the rows."""
    match form:
        case "row":
            return [json.dumps(row).encode() for row in rows]
        case "wrapped":
            return [json.dumps({"rows": rows}).encode()]
        case _:
            return [body_of(form, rows)]


def headers_of(form, encoding="identity"):
    return {"content-type": TYPES[form]} | ({} if encoding == "identity" else {"content-encoding": encoding})


async def counted(api, sendings):
    """Counts after sending (form, encoding, rows); each must be taken whole."""
    for form, encoding, rows in sendings:
        for body in bodies_of(form, rows):
            answer = await api.send(PACKED[encoding](body), headers=headers_of(form, encoding))
            assert answer.status_code == 200, answer.text
            assert answer.json() | {"accepted": 0} == {
                "accepted": 0,
                "rejected": 0,
                "late": 0,
                "duplicate": False,
                "errors": [],
            }
    return await api.counts()


def counts_of_sendings(folder, sendings, **kept):
    async def scenario(api):
        await api.model()
        return await counted(api, sendings)

    return served(folder, scenario, **kept)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return counts_of_sendings(tmp_path_factory.mktemp("expected"), [("rows", "identity", ROWS)])


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("form", TYPES)
def test_every_format_and_encoding_gives_the_same_counts(tmp_path, expected, form, encoding, store):
    assert counts_of_sendings(tmp_path, [(form, encoding, ROWS)], store=store) == expected


@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_and_batching_and_format_change_no_count(tmp_path, expected, data):
    order = data.draw(st.permutations(range(len(ROWS))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(ROWS) - 1), max_size=6)))
    parts = [order[low:high] for low, high in zip([0, *cuts], [*cuts, len(ROWS)], strict=True)]
    sendings = [
        (data.draw(st.sampled_from(list(TYPES))), data.draw(st.sampled_from(list(PACKED))), [ROWS[i] for i in part])
        for part in parts
    ]

    assert counts_of_sendings(tmp_path, sendings) == expected


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_any_number_of_clients_at_a_time_gives_the_same_counts(tmp_path, expected, store):
    async def scenario(api):
        await api.model()
        parts = [ROWS[start : start + 3] for start in range(0, len(ROWS), 3)]
        forms = [list(TYPES)[number % len(TYPES)] for number in range(len(parts))]
        await asyncio.gather(
            *(counted(api, [(form, "identity", part)]) for form, part in zip(forms, parts, strict=True))
        )
        return await api.counts()

    assert served(tmp_path, scenario, store=store) == expected


def test_two_services_on_one_store_give_the_same_counts(tmp_path, expected):
    async def scenario():
        async with serving(tmp_path, store="sqlite") as one:
            await one.model()
            async with serving(tmp_path, store="sqlite") as other:
                for number, row in enumerate(ROWS):
                    answer = await (one if number % 2 else other).send(row)
                    assert answer.status_code == 200
                return await other.counts()

    assert asyncio.run(scenario()) == expected


def test_requests_and_responses_apart_give_the_counts_of_whole_rows(tmp_path, expected):
    async def scenario(api):
        await api.model()
        await api.send([{name: row[name] for name in row if name != "prediction"} for row in ROWS])
        await api.send([{"prediction": row["prediction"]} for row in ROWS])
        return await api.counts()

    halves = served(tmp_path, scenario)

    assert {pane: counts for pane, (_, counts) in halves.items()} == {
        pane: counts for pane, (_, counts) in expected.items()
    }


@pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
@pytest.mark.parametrize("form", ["rows", "ndjson", "csv", "arrow"])
def test_how_the_network_cuts_a_body_changes_nothing(tmp_path, expected, form, piece_bytes):
    (body,) = bodies_of(form, ROWS)

    async def pieces():
        for start in range(0, len(body), piece_bytes):
            yield body[start : start + piece_bytes]

    async def scenario(api):
        await api.model()
        answer = await api.send(pieces(), headers=headers_of(form))
        assert answer.status_code == 200, answer.text
        return await api.counts()

    assert served(tmp_path, scenario) == expected


def test_the_formats_of_the_tests_are_those_of_the_service():
    assert set(TYPES) == {"row", "wrapped", *FORMATS}


def test_python_json_with_nan_counts_as_missing_and_infinity_as_out_of_range(tmp_path):
    async def scenario(api):
        await api.model()
        nan, null = [{**ROW, "temp": float("nan")}], [{**ROW, "temp": None}]
        answers = [await api.send(nan), await api.send(json.dumps({**ROW, "temp": float("inf")}).encode())]
        after = await api.counts()
        await api.send(null)
        await api.send(json.dumps({**ROW, "temp": 1e308}).encode())
        (rows, counts), (all_rows, all_counts) = *after.values(), *(await api.counts()).values()
        return [answer.json() for answer in answers], rows, counts, all_rows, all_counts

    answers, rows, counts, all_rows, all_counts = served(tmp_path, scenario)

    assert [answer["accepted"] for answer in answers] == [1, 1]
    assert [answer["errors"] for answer in answers] == [[], []]
    assert (all_rows, list(all_counts)) == (2 * rows, [2 * count for count in counts])


def test_a_large_csv_and_a_large_parquet_body_count_every_row_once(tmp_path):
    n = 40_000
    columns = {
        "temp": [i / n for i in range(n)],
        "hour": [i % 24 for i in range(n)],
        "weather": [("clear", "mist", "rain")[i % 3] for i in range(n)],
        "prediction": [float(i % 7) for i in range(n)],
    }
    table = pa.table(columns)
    csv = b"temp,hour,weather,prediction\n" + b"".join(
        b"%r,%d,%s,%r\n" % (t, h, w.encode(), p) for t, h, w, p in zip(*columns.values(), strict=True)
    )

    async def scenario(api):
        await api.model()
        found = []
        for form, body in (
            ("csv", csv),
            ("parquet", parquet_body(table, row_group_size=9_000)),
            ("arrow", arrow_body(table, chunk_rows=7_000)),
            (
                "ndjson",
                b"\n".join(
                    json.dumps(dict(zip(columns, row, strict=True))).encode()
                    for row in zip(*columns.values(), strict=True)
                ),
            ),
        ):
            before = await api.counts()
            answer = await api.send(body, headers=headers_of(form))
            assert answer.json()["accepted"] == n, (form, answer.text)
            ((pane, (rows, counts)),) = (await api.counts()).items()
            old_rows, old_counts = before.get(pane, (0, (0,) * len(counts)))
            found.append((rows - old_rows, [new - old for new, old in zip(counts, old_counts, strict=True)]))
        return found

    csv_found, parquet_found, arrow_found, ndjson_found = served(tmp_path, scenario)

    assert csv_found[0] == n
    assert csv_found == parquet_found == arrow_found == ndjson_found


def test_a_content_type_may_carry_parameters(tmp_path):
    async def scenario(api):
        await api.model()
        return [
            (await api.send(body, headers={"content-type": kind})).status_code
            for body, kind in (
                (json.dumps(ROW).encode(), "application/json; charset=utf-8"),
                (json.dumps(ROW).encode(), "Application/JSON"),
                (json.dumps(ROW).encode(), "application/jsonl"),
                (b"temp,hour,weather,prediction\n1,2,mist,3\n", "text/csv; header=present"),
            )
        ]

    assert served(tmp_path, scenario) == [200, 200, 200, 200]


def test_a_model_that_learns_takes_every_format_alike(tmp_path):
    rows = rows_of(30)

    async def scenario(api):
        learned = {}
        for form in TYPES:
            await api.client.put(f"/v1/models/{form}", json={})
            for body in bodies_of(form, rows):
                answer = await api.send(body, model=form, headers=headers_of(form))
                assert answer.json()["accepted"] in {1, 30}, answer.text
            learned[form] = await api.rows(form)
        return learned

    assert served(tmp_path, scenario) == dict.fromkeys(TYPES, 30)


def test_ndjson_and_json_are_told_apart_by_their_type_alone(tmp_path):
    body = json.dumps([ROW, ROW]).encode()

    async def scenario(api):
        await api.model()
        return (await api.send(body, headers=JSON)).json(), (await api.send(body, headers=NDJSON)).json()

    as_json, as_ndjson = served(tmp_path, scenario)

    assert as_json["accepted"] == 2
    assert (as_ndjson["accepted"], as_ndjson["errors"]) == (0, [{"row": 1, "column": None, "reason": "not an object"}])
