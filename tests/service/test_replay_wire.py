"""Rows of files as lines of requests: exact, in the order of time, the same whenever the log is."""

import csv
import json
from decimal import Decimal
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bodies import columns_in, decoded
from hypothesis import given
from hypothesis import strategies as st
from making import reference_of

from detectors.binning import Binner, ColumnValues, DictionaryValues, TextValues
from service.cli.chunks import LINE_BYTES_MAX, chunks_of, identity_of
from service.cli.log_order import Log, rows_in_order, survey
from service.cli.wire import Form, lines_of
from service.errors import DeclarationError, InputError
from service.formats import open_source
from service.ingest.decode import RowSchema

UTC = ZoneInfo("UTC")
NDJSON = Form(content_type="application/x-ndjson", head=b"")
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=5),
    st.just("\ud800"),
    st.binary(max_size=4),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([Decimal("1.50"), UUID(int=7), np.datetime64("2012-03-05T06:00"), np.datetime64("NaT")]),
)


def sent(columns, rows, **more):
    """Columns as they come out of the service's decoders."""
    arrived = {}
    for form, _, lines in lines_of(columns, rows, time_column="t", zoned=False, **more):
        kind = "csv" if form.content_type == "text/csv" else "ndjson"
        for part in decoded(kind, form.head + b"".join(lines), RowSchema.open()):
            arrived.setdefault("parts", []).append(columns_in(part))
    return arrived["parts"]


def bins_of(columns, parts, name, kind):
    """Bins that a column has in the file, and that it has when it has been sent."""
    numbers = np.array([0.0, 0.1, 1.0, 2.0**53, 1e300, -5.0])
    texts = np.array(["a", "true", "1", "0.5", "2012-03-05T06:00:00.000000", "1.50"], dtype=object)
    reference = reference_of({name: numbers if kind == "numeric" else texts}, kinds={name: kind})
    binner = Binner(reference.columns)
    there = np.concatenate([binner.bins(0, part[name]) for part in parts])
    return binner.bins(0, columns[name]).tolist(), there.tolist()


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
@given(cells=st.lists(CELLS, min_size=1, max_size=20))
def test_any_cell_falls_in_the_bin_that_it_has_in_the_file(kind, cells):
    if kind == "numeric":  # an array of an Arrow file holds no decimals, they are doubles there
        cells = [float(cell) if isinstance(cell, Decimal) else cell for cell in cells]
    columns = {"x": ColumnValues(values=np.fromiter(cells, dtype=object, count=len(cells)))}
    columns["t"] = ColumnValues(values=np.arange(len(cells)))

    here, there = bins_of(columns, sent(columns, len(cells)), "x", kind)

    assert here == there


TYPED = {
    "floats": np.array([0.1, np.nan, np.inf, -np.inf, 1e-320, -0.0]),
    "singles": np.array([0.5, np.nan, np.inf, -np.inf, 2.0**24, 1.0], dtype=np.float32),
    "integers": np.array([2**53 + 1, -(2**63), 0, 1, 7, 2**62]),
    "unsigned": np.array([2**64 - 1, 0, 1, 2, 3, 2**53 + 1], dtype=np.uint64),
    "booleans": np.array([True, False, True, True, False, True]),
    "times": np.array(["2012-03-05T06", "NaT", "1999", "2012", "2012", "2012"], dtype="datetime64[us]"),
    "spans": np.array([1, 2, "NaT", 3, 4, 5], dtype="timedelta64[s]"),
    "texts": np.array(["a", "b", "", "NA", "x\ny", '"'], dtype="U"),
}


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
@pytest.mark.parametrize("name", TYPED)
def test_arrays_of_every_type_count_as_they_do_in_the_file(kind, name):
    missing = np.array([False, False, False, False, False, True])
    columns = {name: ColumnValues(values=TYPED[name], missing=missing), "t": ColumnValues(values=np.arange(6))}

    here, there = bins_of(columns, sent(columns, 6), name, kind)

    assert here == there


def test_a_32_bit_float_is_sent_as_the_double_it_is():
    columns = {"x": ColumnValues(values=np.array([0.1], dtype=np.float32)), "t": ColumnValues(values=np.array([0]))}

    ((_, _, lines),) = lines_of(columns, 1, time_column="t", zoned=False)

    assert json.loads(lines[0])["x"] == float(np.float32(0.1))


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_dictionaries_count_as_they_do_in_the_file(kind):
    codes = np.array([0, 1, -1, 2, 0])
    columns = {"x": DictionaryValues(codes=codes, dictionary=["a", "1", "\u2028"]), "t": ColumnValues(values=codes)}

    here, there = bins_of(columns, sent(columns, 5), "x", kind)

    assert here == there


def test_a_column_that_an_event_lacks_is_not_sent():
    absent = np.array([True, False])
    columns = {
        "x": ColumnValues(values=np.array([None, 1], dtype=object), absent=absent),
        "t": ColumnValues(values=np.array([1, 2])),
    }

    ((_, _, lines),) = lines_of(columns, 2, time_column="t", zoned=False)

    assert [json.loads(line) for line in lines] == [{"t": 1}, {"x": 1, "t": 2}]


@pytest.mark.parametrize(
    ("zoned", "written"), [(True, "2012-03-05T06:00:00.000000Z"), (False, "2012-03-05T06:00:00.000000")]
)
def test_the_time_is_an_instant_only_where_it_is_one(zoned, written):
    columns = {"t": ColumnValues(values=np.array(["2012-03-05T06"], dtype="datetime64[us]"))}

    ((_, _, lines),) = lines_of(columns, 1, time_column="t", zoned=zoned)

    assert json.loads(lines[0]) == {"t": written}


@given(
    cells=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6), min_size=1)
)
def test_cells_of_csv_arrive_as_they_were(cells):
    columns = {"t": TextValues(cells=["2012-03-05"] * len(cells)), 'x, "y"': TextValues(cells=cells)}

    parts = sent(columns, len(cells))

    assert [cell for part in parts for cell in part['x, "y"'].cells] == cells


# The order of a log


def written(folder: Path, name, rows):
    path = folder / name
    if name.endswith(".csv"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def log_of(*paths, **more):
    kept = {"time_column": "t", "sent_as": "t", "time_zone": UTC} | more
    return Log(source=open_source(list(paths)), **kept)


def rows_of(log, **more):
    surveyed = survey(log, lambda _: None)
    return surveyed, list(rows_in_order(log, surveyed, **more))


def values_in(lines, name="x"):
    return [json.loads(line)[name] for _, form, line in lines if form == NDJSON]


def test_files_in_order_are_streamed_as_they_are(tmp_path):
    late = written(tmp_path, "a.ndjson", [{"t": 30 + i, "x": i} for i in range(3)])
    early = written(tmp_path, "b.ndjson", [{"t": 10 + i, "x": 10 + i} for i in range(3)])

    surveyed, lines = rows_of(log_of(late, early), run_bytes=1)

    assert surveyed.in_order
    assert values_in(lines) == [10, 11, 12, 0, 1, 2]
    assert [time_us for time_us, _, _ in lines] == [t * 1_000_000 for t in (10, 11, 12, 30, 31, 32)]


@pytest.mark.parametrize("run_bytes", [1, 200, 10_000, 1 << 20])
def test_a_log_out_of_order_is_sorted_in_runs_and_keeps_the_order_of_equal_times(tmp_path, run_bytes):
    times = np.random.default_rng(1).integers(0, 50, 500).tolist()
    path = written(tmp_path, "a.ndjson", [{"t": t, "x": i} for i, t in enumerate(times)])

    surveyed, lines = rows_of(log_of(path), run_bytes=run_bytes)

    assert not surveyed.in_order
    assert values_in(lines) == sorted(range(500), key=lambda i: times[i])


def test_runs_larger_than_what_is_read_at_a_time_are_merged_whole(tmp_path):
    times = np.random.default_rng(2).permutation(500).tolist()
    path = written(tmp_path, "a.ndjson", [{"t": t, "x": t, "pad": "." * (t * 7)} for t in times])

    _, lines = rows_of(log_of(path), run_bytes=300_000)

    assert values_in(lines) == list(range(500))


def test_overlapping_files_of_several_formats_are_merged(tmp_path):
    one = written(tmp_path, "a.csv", [{"t": t, "x": t} for t in range(0, 20, 2)])
    two = written(tmp_path, "b.parquet", [{"t": t, "x": t} for t in range(1, 20, 2)])

    surveyed, lines = rows_of(log_of(one, two))

    assert not surveyed.in_order
    assert [time_us // 1_000_000 for time_us, _, _ in lines] == list(range(20))
    assert {form.content_type for _, form, _ in lines} == {"text/csv", "application/x-ndjson"}


def test_only_rows_with_a_readable_time_in_the_span_are_taken(tmp_path):
    times = [5, "never", None, 6, 7, True]
    path = written(tmp_path, "a.ndjson", [{"t": t, "x": i} for i, t in enumerate(times)] + [{"x": 9}])
    with path.open("a") as file:
        file.write("no json\n")

    surveyed, lines = rows_of(log_of(path, since_us=6_000_000, until_us=7_000_000))

    assert (surveyed.rows, surveyed.rejected) == (1, 5)
    assert (surveyed.first_us, surveyed.last_us) == (6_000_000, 6_000_000)
    assert values_in(lines) == [3]


def test_times_before_1970_are_times(tmp_path):
    path = written(tmp_path, "a.ndjson", [{"t": t, "x": t} for t in (-3, -2, 5)])

    surveyed, lines = rows_of(log_of(path))

    assert (surveyed.in_order, surveyed.first_us) == (True, -3_000_000)
    assert values_in(lines) == [-3, -2, 5]


def test_the_time_goes_by_the_name_that_the_service_has_for_it(tmp_path):
    paths = [written(tmp_path, name, [{"when": 1, "x": 2}]) for name in ("a.ndjson", "b.csv")]

    _, lines = rows_of(log_of(*paths, time_column="when", sent_as="timestamp"))

    assert json.loads(lines[0][2]) == {"timestamp": 1, "x": 2}
    assert lines[1][1].head == b"timestamp,x\r\n"


def test_a_column_that_already_has_the_name_of_the_time_is_refused(tmp_path):
    log = log_of(written(tmp_path, "a.ndjson", [{"when": 1, "timestamp": 2}]), time_column="when", sent_as="timestamp")

    with pytest.raises(DeclarationError, match="beside 'when'"):
        rows_of(log)


def test_a_log_without_times_is_refused(tmp_path):
    path = written(tmp_path, "a.ndjson", [{"x": 1}])

    with pytest.raises(DeclarationError, match="--time-column"):
        rows_of(log_of(path))
    with pytest.raises(InputError, match="none is in the span"):
        rows_of(log_of(path, time_column="x", until_us=0))
    with pytest.raises(InputError, match="1 have no readable time"):
        rows_of(log_of(written(tmp_path, "b.ndjson", [{"t": "?"}])))


def test_no_room_to_sort_is_said(tmp_path):
    path = written(tmp_path, "a.ndjson", [{"t": 2}, {"t": 1}])

    with pytest.raises(InputError, match="TMPDIR.*No such file"):
        rows_of(log_of(path), folder=tmp_path / "no")


# Chunks


def chunked(log):
    _, lines = rows_of(log)
    return [chunk for _, chunk in chunks_of(iter(lines), identity_of(log, lambda _: None))]


def test_chunks_and_their_keys_are_the_same_whenever_the_log_is(tmp_path):
    path = written(tmp_path, "a.ndjson", [{"t": t, "x": t} for t in range(2500)])
    copy = tmp_path / "elsewhere"
    copy.mkdir()

    chunks = chunked(log_of(path))

    assert [chunk.rows for chunk in chunks] == [1000, 1000, 500]
    assert len({chunk.key for chunk in chunks}) == 3
    assert all(len(chunk.key) <= 128 for chunk in chunks)
    assert chunks == chunked(log_of(path.rename(copy / "b.ndjson")))


def test_another_span_or_content_has_other_keys(tmp_path):
    path = written(tmp_path, "a.ndjson", [{"t": t} for t in range(10)])
    before = chunked(log_of(path))[0].key

    span = chunked(log_of(path, since_us=0))[0].key
    path.write_text(path.read_text().replace("9", "8"))

    assert len({before, span, chunked(log_of(path))[0].key}) == 3


def test_a_request_holds_one_form_and_a_megabyte():
    csv_form = Form(content_type="text/csv", head=b"t\r\n")
    lines = [(0, NDJSON, b"1" * 600_000), (1, NDJSON, b"2" * 600_000), (2, csv_form, b"3\r\n"), (3, NDJSON, b"4")]

    chunks = list(chunks_of(iter(lines), "i"))

    assert [(chunk.content_type, chunk.body[:4], last_us) for last_us, chunk in chunks] == [
        ("application/x-ndjson", b"1111", 0),
        ("application/x-ndjson", b"2222", 1),
        ("text/csv", b"t\r\n3", 2),
        ("application/x-ndjson", b"4", 3),
    ]


def test_nothing_makes_no_request():
    assert list(chunks_of(iter([(0, NDJSON, b"1" * (LINE_BYTES_MAX + 1))]), "i")) == []


def test_a_file_that_has_gone_is_told(tmp_path):
    path = written(tmp_path, "a.ndjson", [{"t": 1}])
    log = log_of(path)
    path.unlink()

    with pytest.raises(InputError, match="No such file"):
        identity_of(log, lambda _: None)


def test_cells_of_csv_beside_other_columns_go_as_text():
    columns = {"t": ColumnValues(values=np.array([1])), "x": TextValues(cells=["1.50"])}

    ((form, _, lines),) = lines_of(columns, 1, time_column="t", zoned=False)

    assert form == NDJSON
    assert lines == [b'{"t":1,"x":"1.50"}\n']


def test_a_row_that_would_cost_its_request_is_left_out():
    left_out = []
    lines = [(0, NDJSON, b"1"), (1, NDJSON, b"2" * (LINE_BYTES_MAX + 1)), (2, NDJSON, b"3")]

    ((_, chunk),) = chunks_of(iter(lines), "i", lambda: left_out.append(1))

    assert (chunk.body, chunk.rows, len(left_out)) == (b"13", 2, 1)
