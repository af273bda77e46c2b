import csv
import gzip
import io
import json
import os
import sys
import tracemalloc
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather

from detectors.binning import ColumnValues, DictionaryValues, TextValues
from service.errors import InputError
from service.formats import csv as csv_reader
from service.formats import open_source

FEW_EXAMPLES = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data, mtime=0) if path.name.endswith(".gz") else data)
    return path


def plain(values):
    """Values as Python objects, None for missing, `...` for absent."""
    match values:
        case TextValues():
            cells = list(values.cells)
        case DictionaryValues():
            cells = [values.dictionary[code] if code >= 0 else None for code in values.codes.tolist()]
        case ColumnValues():
            cells = values.values.tolist()
            if values.missing is not None:
                cells = [None if gone else cell for cell, gone in zip(cells, values.missing.tolist(), strict=True)]
    if values.absent is not None:
        cells = [... if gone else cell for cell, gone in zip(cells, values.absent.tolist(), strict=True)]
    return cells


def table(source, columns=None):
    """All rows of a source as lists by column; rows of batches that lack a column are `...`."""
    batches = list(source.batches(columns))
    names = dict.fromkeys(name for batch in batches for name in batch.columns)
    return {
        name: [
            cell
            for batch in batches
            for cell in (plain(batch.columns[name]) if name in batch.columns else [...] * batch.rows)
        ]
        for name in names
    }


def read(*paths, columns=None):
    return table(open_source(paths), columns)


def counts(path):
    batches = list(open_source([path]).batches())
    return sum(batch.rows for batch in batches), sum(batch.rejected for batch in batches)


def parquet_of(arrow_table, **options):
    sink = io.BytesIO()
    pq.write_table(arrow_table, sink, **options)
    return sink.getvalue()


def ipc_of(arrow_table, opener=pa.ipc.new_file, **options):
    sink = io.BytesIO()
    with opener(sink, arrow_table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(arrow_table)
    return sink.getvalue()


ROWS = [{"x": i / 4, "kind": "ab"[i % 2], "n": i} for i in range(50)]
ARROW = pa.Table.from_pylist(ROWS)
CSV = "x,kind,n\n" + "".join(f"{row['x']},{row['kind']},{row['n']}\n" for row in ROWS)
NDJSON = "".join(json.dumps(row) + "\n" for row in ROWS)
FORMATS = {
    "a.csv": CSV,
    "a.csv.gz": CSV,
    "a.ndjson": NDJSON,
    "a.jsonl": NDJSON,
    "a.ndjson.gz": NDJSON,
    "a.jsonl.gz": NDJSON,
    "A.PARQUET": parquet_of(ARROW),
    "a.pq": parquet_of(ARROW, row_group_size=7),
    "a.arrow": ipc_of(ARROW),
    "a.ipc": ipc_of(ARROW, pa.ipc.new_stream),
    "a.arrows": ipc_of(ARROW, pa.ipc.new_stream, compression="zstd"),
    "a.feather": ipc_of(ARROW, compression="lz4"),
}


# Files and folders


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path, name):
    source = open_source([written(tmp_path / name, FORMATS[name])])

    for columns in (None, ["n", "x"], ["kind", "not there"], []):
        expected = {key: [row[key] for row in ROWS] for key in ("x", "kind", "n") if columns is None or key in columns}
        found = table(source, columns)
        if ".csv" in name:
            expected = {key: [str(cell) for cell in cells] for key, cells in expected.items()}
        assert found == expected
        assert sum(batch.rows for batch in source.batches(columns)) == len(ROWS)


@pytest.mark.parametrize("name", FORMATS)
def test_progress_never_goes_back_and_ends_at_the_size(tmp_path, name):
    source = open_source([written(tmp_path / str(i) / name, FORMATS[name]) for i in range(2)])
    steps = []

    for _ in source.batches(on_progress=steps.append):
        pass

    assert steps == sorted(steps)
    assert steps[-1] == source.size_bytes == 2 * (tmp_path / "0" / name).stat().st_size


def test_folders_are_read_in_order_of_names_without_what_engines_keep_there(tmp_path):
    for name in ("b.csv", "a/2.csv", "a/10.csv", "_SUCCESS", ".a.csv.crc", "_delta_log/1.json", ".git/x"):
        written(tmp_path / "data" / name, f"x\n{name}\n")

    source = open_source([tmp_path / "data"])

    assert [file.name for file in source.files] == ["a/10.csv", "a/2.csv", "b.csv"]
    assert {file.format for file in source.files} == {"csv"}
    assert table(source) == {"x": ["a/10.csv", "a/2.csv", "b.csv"]}


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path):
    paths = [written(tmp_path / folder / "x.csv", "x\n1\n") for folder in "ab"]

    assert [file.name for file in open_source(paths).files] == [str(path) for path in paths]


def test_columns_may_differ_between_files(tmp_path):
    written(tmp_path / "1.csv", "a,b\n1,2\n")
    written(tmp_path / "2.ndjson", '{"b": 3, "c": 4}\n')

    assert read(tmp_path) == {"a": ["1", ...], "b": ["2", 3], "c": [..., 4]}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: [], "no data"),
        (lambda folder: [folder / "gone.csv"], "gone.csv: no such file"),
        (lambda folder: [folder], "holds no data files"),
        (lambda folder: [written(folder / "data.xlsx", "")], "data.xlsx: not a known format; wanted .parquet"),
        (lambda folder: [written(folder / "README", "").parent], "README: not a known format"),
        (lambda folder: [written(folder / "x.gz", "")], "x.gz: not a known format"),
        (lambda folder: [written(folder / "x.parquet.gz", "")], "x.parquet.gz: not a known format"),
        (lambda folder: [written(folder / "x.csv", "a\n"), folder / "x.csv"], "the same file as"),
        (lambda folder: [folder, written(folder / "x.csv", "a\n")], "the same file as"),
    ],
)
def test_paths_that_mean_no_data_are_refused_by_name(tmp_path, make, said):
    with pytest.raises(InputError, match=said):
        open_source(make(tmp_path))


def test_a_folder_linked_into_itself_is_refused(tmp_path):
    written(tmp_path / "x.csv", "a\n1\n")
    (tmp_path / "loop").symlink_to(tmp_path)

    with pytest.raises(InputError, match="a link to a folder above it"):
        open_source([tmp_path])


def test_links_are_followed_and_broken_ones_refused(tmp_path):
    target = written(tmp_path / "cache" / "x.csv", "a\n1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").symlink_to(target)

    assert read(tmp_path / "data") == {"a": ["1"]}

    target.unlink()
    with pytest.raises(InputError, match=r"x.csv: No such file"):
        open_source([tmp_path / "data"])


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")

    with pytest.raises(InputError, match="not a regular file"):
        open_source([tmp_path / "pipe.csv"])


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow"])
def test_a_file_that_went_or_changed_is_refused(tmp_path, name):
    path = written(tmp_path / name, b"x\n1\n")
    source = open_source([path])

    written(path, b"x\n1\n2\n")
    with pytest.raises(InputError, match="changed while it was read"):
        list(source.batches())

    path.unlink()
    with pytest.raises(InputError, match="No such file"):
        list(source.batches())


def test_a_file_that_goes_between_look_and_open_is_refused(tmp_path):
    source = open_source([written(tmp_path / "a.csv", "x\n1\n")])
    (file,) = source.files
    file.path.unlink()

    with pytest.raises(InputError, match="No such file"):
        list(csv_reader.read_csv(file, None))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_off_anywhere_gives_its_first_rows_or_an_input_error(tmp_path, name):
    whole = written(tmp_path / name, FORMATS[name]).read_bytes()
    path = tmp_path / name

    for size in sorted({*range(0, len(whole), 1 + len(whole) // 150), *range(max(0, len(whole) - 12), len(whole))}):
        path.write_bytes(whole[:size])
        try:
            found = read(path)
        except InputError:
            continue
        assert all(len(cells) <= len(ROWS) for cells in found.values())


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
@FEW_EXAMPLES
def test_a_file_with_wrong_bytes_gives_rows_or_an_input_error(tmp_path, name, data):
    path = written(tmp_path / name, FORMATS[name])
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)

    with suppress(InputError):
        read(path)


@pytest.mark.parametrize("name", FORMATS)
@given(content=st.binary(max_size=200))
@FEW_EXAMPLES
def test_random_bytes_give_rows_or_an_input_error(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)

    with suppress(InputError):
        read(path)


# CSV


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=2)
    )
)
@FEW_EXAMPLES
def test_csv_reads_what_the_csv_module_writes(tmp_path, rows):
    with (tmp_path / "x.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["a", "b"], *rows])

    expected = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]} if rows else {}
    assert read(tmp_path / "x.csv") == expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv_of_every_common_dress_is_read(tmp_path, delimiter, bom, end):
    text = bom + end + f"a{delimiter}b{end}1{delimiter}é{end}{end}3{delimiter}"

    assert read(written(tmp_path / "x.csv", text)) == {"a": ["1", "3"], "b": ["é", ""]}


def test_csv_of_one_column_needs_no_delimiter(tmp_path):
    assert read(written(tmp_path / "x.csv", "a b\n1\n2")) == {"a b": ["1", "2"]}


def test_csv_rows_with_another_number_of_cells_are_rejected_and_counted(tmp_path):
    path = written(tmp_path / "x.csv", "a,b\n1,2\n3\n\n4,5,6\n7,8\n")

    assert counts(path) == (2, 2)
    assert read(path) == {"a": ["1", "7"], "b": ["2", "8"]}


def test_csv_without_one_readable_row_is_refused_with_the_line(tmp_path):
    path = written(tmp_path / "x.csv", "a,b\n\n1\n2\n")

    with pytest.raises(InputError, match=r"x.csv: no row can be read: 1 cells where the header has 2, from line 2"):
        read(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no header"),
        (b"\n \n", "no header"),
        (b"\xef\xbb\xbf", "no header"),
        (b"a,b,a\n1,2,3\n", "line 1: the header names 'a' twice"),
        (b"\n\na,a\n", "line 3: the header names 'a' twice"),
        (b"a,b\n1,2\n1,\xff\n3,4\n", "line 3: not UTF-8"),
        (b"a,b\n" + b"1,2\n" * 5_000 + b"1,\xe9\n" + b"3,4\n" * 5_000, "line 5002: not UTF-8"),
        (b"a,b\n1,\xc3", "line 2: not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1: a NUL byte"),
        (b"a,b\n1,2\n1,\0\n", "line 3: a NUL byte"),
        (b"a,b\n1,2\n1," + b"x" * 200_000 + b"\n", "line 3: field larger than field limit"),
        (b'a,b\n1,2\n1,"' + b"x\n" * 100_000, "field larger than field limit"),
        (b"a" * 10_000_001, "line 1: longer than 10,000,000 bytes"),
        (b"a,b\n" + b"1," * 6_000_000, "line 2: longer than 10,000,000 bytes"),
    ],
)
def test_csv_that_is_none_is_refused_with_the_line(tmp_path, content, said):
    path = written(tmp_path / "x.csv", content)

    with pytest.raises(InputError, match=said):
        read(path)


def test_csv_with_only_a_header_has_no_rows(tmp_path):
    assert list(open_source([written(tmp_path / "x.csv", "a,b\n")]).batches()) == []


def test_csv_batches_have_bounded_rows_cells_and_bytes(tmp_path):
    narrow = written(tmp_path / "1.csv", "a\n" + "1\n" * 40_000)
    wide = written(
        tmp_path / "2.csv", "\n".join([",".join(f"c{i}" for i in range(3_000))] + [",".join("1" * 3_000)] * 800)
    )
    long = written(tmp_path / "3.csv", "a\n" + ("x" * 100_000 + "\n") * 1_000)

    assert max(batch.rows for batch in open_source([narrow]).batches()) == 16_384
    assert max(batch.rows * len(batch.columns) for batch in open_source([wide]).batches()) <= 1 << 20
    assert max(batch.rows for batch in open_source([long]).batches()) <= 400


def test_gzip_that_is_none_or_has_a_tail_of_something_else_is_refused(tmp_path):
    path = tmp_path / "x.csv.gz"

    for content in (b"a,b\n1,2\n", gzip.compress(b"a\n1\n") + b"tail"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"x.csv.gz: not a gzip stream"):
            read(path)


def test_gzip_of_several_members_is_read_to_the_end(tmp_path):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(b"a\n1\n") + gzip.compress(b"2\n"))

    assert read(path) == {"a": ["1", "2"]}


# NDJSON

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), json_values)), st.none() | st.sets(st.sampled_from("abd")))
@FEW_EXAMPLES
def test_ndjson_reads_what_the_standard_library_writes(tmp_path, rows, columns):
    path = written(tmp_path / "x.ndjson", "".join(json.dumps(row) + "\n" for row in rows))
    names = {name for row in rows for name in row if columns is None or name in columns}

    found = read(path, columns=columns)

    assert repr(found) == repr({name: [row.get(name, ...) for row in rows] for name in found})
    assert found.keys() == names


def test_ndjson_lines_that_are_no_objects_are_rejected_and_counted(tmp_path):
    lines = [b'{"a": 1}', b"[1]", b"3", b"", b"  ", b"{", b'{"a": \xff}', b"[" * 100_000, b'{"a": NaN}\r', b"9" * 5_000]
    path = written(tmp_path / "x.ndjson", b"\n".join(lines))

    assert counts(path) == (2, 6)
    assert repr(read(path)) == "{'a': [1, nan]}"


def test_ndjson_takes_the_tokens_that_python_writes_and_numbers_of_any_size(tmp_path):
    path = written(
        tmp_path / "x.jsonl",
        '{"a": NaN, "b": -Infinity, "c": 1e999, "d": 123456789012345678901234567890, "e": "\\ud800"}',
    )

    assert (
        repr(read(path))
        == "{'a': [nan], 'b': [-inf], 'c': [inf], 'd': [123456789012345678901234567890], 'e': ['\\ud800']}"
    )


def test_ndjson_has_the_last_value_of_a_repeated_key(tmp_path):
    assert read(written(tmp_path / "x.jsonl", '{"a": 1, "a": 2}\n{"a": NaN, "a": 3}')) == {"a": [2, 3]}


def test_ndjson_with_a_byte_order_mark_is_read(tmp_path):
    assert read(written(tmp_path / "x.jsonl", '\ufeff{"a": 1}')) == {"a": [1]}


def test_ndjson_rows_without_keys_are_rows(tmp_path):
    assert counts(written(tmp_path / "x.jsonl", "{}\n{}\n")) == (2, 0)


def test_ndjson_columns_that_come_and_go_are_absent_where_they_are_not(tmp_path):
    rows = [{"a": i} for i in range(600)] + [{"b": i} for i in range(600)] + [{"a": i, "b": None} for i in range(600)]
    path = written(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)))

    assert read(path) == {name: [row.get(name, ...) for row in rows] for name in "ab"}
    assert read(path, columns=["b"]) == {"b": [row.get("b", ...) for row in rows]}


def test_ndjson_columns_that_every_row_has_have_no_mask(tmp_path):
    (batch,) = open_source([written(tmp_path / "x.jsonl", '{"a": 1, "b": [1, 2]}\n{"a": 2, "b": [3, 4]}')]).batches()

    assert batch.columns["a"].absent is None
    assert batch.columns["b"].values.shape == (2,)


def test_ndjson_without_one_object_is_refused_with_the_line(tmp_path):
    path = written(tmp_path / "x.jsonl", "\n\n[\n" + "1,\n" * 400_000 + "]\n")

    with pytest.raises(InputError, match=r"x.jsonl: line 3: not a JSON object, nor is any other line"):
        read(path)


def test_ndjson_blocks_without_rows_are_counted(tmp_path):
    path = written(tmp_path / "x.jsonl", '{"a": 1}\n' + "x\n" * 550_000)

    assert counts(path) == (1, 550_000)


def test_ndjson_lines_of_any_length_up_to_the_limit_are_read(tmp_path):
    limit = 10_000_000
    line = b'{"a": "' + b"x" * (limit - 9) + b'"}'
    first = b'{"a": 1}\n'

    assert [len(str(cell)) for cell in read(written(tmp_path / "x.jsonl", first + line + b"\n" + first))["a"]] == [
        1,
        limit - 9,
        1,
    ]
    for end in (b" ", b" \n", b" \n" + first):
        with pytest.raises(InputError, match="line 2: longer than 10,000,000 bytes"):
            read(written(tmp_path / "x.jsonl", first + line + end))


def test_ndjson_rows_that_share_no_keys_do_not_become_a_huge_table(tmp_path):
    path = written(tmp_path / "x.jsonl", "".join(f'{{"k{i}":1}}\n' for i in range(20_000)))

    batches = list(open_source([path]).batches())

    assert sum(batch.rows for batch in batches) == 20_000
    assert max(batch.rows * len(batch.columns) for batch in batches) <= 1 << 21


def test_ndjson_rows_of_very_many_different_keys_come_in_small_batches(tmp_path):
    rows = [{f"k{i}_{j}": 1 for j in range(20)} for i in range(600)]
    path = written(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)))

    batches = list(open_source([path]).batches())

    assert sum(batch.rows for batch in batches) == 600
    assert max(batch.rows * len(batch.columns) for batch in batches) <= 1 << 21


# Parquet and Arrow

NAIVE = datetime(2012, 3, 5, 6, 7, 8, 910)
ARRAYS = {
    "float64": pa.array([1.5, None, float("nan"), -0.0]),
    "float32": pa.array([1.5, None, 2.5, 3.0], pa.float32()),
    "float16": pa.array([1.5, None, 2.5, 3.0], pa.float16()),
    "int64": pa.array([2**63 - 1, None, -(2**63), 2**53 + 1]),
    "uint64": pa.array([2**64 - 1, None, 0, 1], pa.uint64()),
    "int8": pa.array([1, 2, 3, -128], pa.int8()),
    "bool": pa.array([True, None, False, True]),
    "bool_full": pa.array([True, False, False, True]),
    "string": pa.array(["a", None, "é", ""]),
    "large_string": pa.array(["a", None, "é", ""], pa.large_string()),
    "dictionary": pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 0], pa.int8()), pa.array(["a", "b"])),
    "uint_dictionary": pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 0], pa.uint8()), pa.array(["a", "b"])),
    "integer_dictionary": pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 0]), pa.array([2**60 + 1, 7])),
    "decimal": pa.array([Decimal("1.25"), None, Decimal("-3.50"), Decimal(0)]),
    "binary": pa.array([b"a", None, b"\xff", b""]),
    "list": pa.array([[1], None, [], [2, 3]]),
    "struct": pa.array([{"a": 1}, None, {"a": 2}, {"a": None}]),
    "time": pa.array([NAIVE.time(), None, NAIVE.time(), NAIVE.time()]),
}  # fmt: skip
IPC_ARRAYS = {
    "null_in_dictionary": pa.DictionaryArray.from_arrays(
        pa.array([0, None, 1, 2], pa.int8()), pa.array(["a", None, "b"])
    ),
    "string_view": pa.array(["a", None, "é", ""], pa.string_view()),
    "run_ends": pa.RunEndEncodedArray.from_arrays(pa.array([1, 4], pa.int32()), pa.array([5, None])),
    "float_run_ends": pa.RunEndEncodedArray.from_arrays(pa.array([1, 4], pa.int32()), pa.array([5.5, 6])),
    "extension": pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0, 1], pa.int8())),
}


def as_missing(cells):
    return [None if cell is None or repr(cell) == "nan" else cell for cell in cells]


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("suffix", ["parquet", "arrow", "arrows"])
def test_arrow_columns_are_what_pyarrow_says(tmp_path, name, suffix):
    arrow_table = pa.table({"c": ARRAYS[name]})
    content = (
        parquet_of(arrow_table)
        if suffix == "parquet"
        else ipc_of(arrow_table, pa.ipc.new_file if suffix == "arrow" else pa.ipc.new_stream)
    )

    found = read(written(tmp_path / f"x.{suffix}", content))["c"]

    assert as_missing(found) == as_missing(ARRAYS[name].to_pylist())


@pytest.mark.parametrize("name", IPC_ARRAYS)
def test_arrow_columns_that_parquet_has_not_are_what_pyarrow_says(tmp_path, name):
    found = read(written(tmp_path / "x.arrow", ipc_of(pa.table({"c": IPC_ARRAYS[name]}))))["c"]

    assert as_missing(found) == as_missing(IPC_ARRAYS[name].to_pylist())


@pytest.mark.parametrize("name", ["int64", "uint64", "int8"])
def test_integers_stay_integers_also_beside_nulls(tmp_path, name):
    (batch,) = open_source([written(tmp_path / "x.parquet", parquet_of(pa.table({"c": ARRAYS[name]})))]).batches()

    assert batch.columns["c"].values.dtype == np.dtype(name)
    assert (batch.columns["c"].missing is None) == (ARRAYS[name].null_count == 0)


def test_text_is_codes_and_a_dictionary(tmp_path):
    (batch,) = open_source(
        [written(tmp_path / "x.parquet", parquet_of(pa.table({"c": ["a", "b", "a", None] * 100})))]
    ).batches()

    assert isinstance(batch.columns["c"], DictionaryValues)
    assert sorted(batch.columns["c"].dictionary) == ["a", "b"]


def test_a_column_of_nulls_is_nan(tmp_path):
    (batch,) = open_source([written(tmp_path / "x.parquet", parquet_of(pa.table({"c": pa.nulls(3)})))]).batches()

    assert batch.columns["c"].values.dtype == np.float64
    assert np.isnan(batch.columns["c"].values).all()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamps_are_microseconds_and_say_whether_they_are_instants(tmp_path, unit, zone):
    moments = pa.array([NAIVE.replace(microsecond=0), None], pa.timestamp("us")).cast(pa.timestamp(unit))
    moments = (
        moments if zone is None else moments.cast(pa.timestamp(unit)).view(pa.int64()).view(pa.timestamp(unit, zone))
    )
    coded = moments.dictionary_encode()

    (batch,) = open_source(
        [written(tmp_path / "x.arrow", ipc_of(pa.table({"t": moments, "d": coded, "n": [1, 2]})))]
    ).batches()

    assert batch.zoned == (set() if zone is None else {"t", "d"})
    for name in "td":
        assert batch.columns[name].values.dtype == "datetime64[us]"
        assert batch.columns[name].values.tolist() == [NAIVE.replace(microsecond=0), None]


@pytest.mark.parametrize("type_", [pa.date32(), pa.date64()])
def test_dates_are_wall_clock_midnights(tmp_path, type_):
    dates = pa.array([date(2012, 3, 5), None], type_)

    (batch,) = open_source([written(tmp_path / "x.arrow", ipc_of(pa.table({"d": dates})))]).batches()

    assert batch.zoned == frozenset()
    assert batch.columns["d"].values.tolist() == [datetime(2012, 3, 5), None]


def test_timestamps_beyond_microseconds_are_no_times(tmp_path):
    far = pa.array([2**62, -(2**62), 0], pa.int64()).view(pa.timestamp("s"))
    fine = pa.array([1_999, -1, 0], pa.int64()).view(pa.timestamp("ns"))

    (batch,) = open_source([written(tmp_path / "x.arrow", ipc_of(pa.table({"far": far, "fine": fine})))]).batches()

    assert np.isnat(batch.columns["far"].values).tolist() == [True, True, False]
    assert batch.columns["fine"].values.view(np.int64).tolist() == [1, -1, 0]


def test_durations_are_timedeltas(tmp_path):
    (batch,) = open_source(
        [written(tmp_path / "x.arrow", ipc_of(pa.table({"d": pa.array([timedelta(1), None])})))]
    ).batches()

    assert batch.columns["d"].values.dtype.kind == "m"


def test_values_that_python_cannot_hold_do_not_spoil_the_file(tmp_path):
    times = pa.array([[1_330_927_200_000_000_001], None], pa.list_(pa.timestamp("ns")))

    assert read(written(tmp_path / "x.arrow", ipc_of(pa.table({"t": times, "n": [1, 2]})))) == {
        "t": [(), None],
        "n": [1, 2],
    }


def test_arrays_outlive_the_file_they_came_from(tmp_path):
    n = 300_000
    path = written(tmp_path / "x.arrow", ipc_of(pa.table({"x": np.arange(n, dtype=np.float64)})))

    batches = list(open_source([path]).batches())
    path.unlink()

    assert max(batch.rows for batch in batches) == 65_536
    assert np.concatenate([batch.columns["x"].values for batch in batches]).tolist() == list(range(n))


def test_text_is_the_same_across_row_groups_pages_and_dictionaries(tmp_path):
    rng = np.random.default_rng(7)
    n = 150_000
    columns = {
        "few": rng.choice(["clear", "rain", "snow"], n).tolist(),
        "drifting": [f"v{i // 1_000}" for i in range(n)],
        "unique": [f"id-{i}" for i in range(n)],
    }
    path = written(tmp_path / "x.parquet", parquet_of(pa.table(columns), row_group_size=40_000))

    assert read(path) == columns
    assert read(path, columns=["drifting"]) == {"drifting": columns["drifting"]}


def test_wide_parquet_and_long_values_come_in_small_batches(tmp_path):
    wide = written(tmp_path / "1.parquet", parquet_of(pa.table({f"c{i}": np.zeros(3_000) for i in range(2_000)})))
    long = written(
        tmp_path / "2.parquet",
        parquet_of(pa.table({"c": ["x" * 1_000_000 + str(i) for i in range(150)]}), compression="snappy"),
    )

    assert max(batch.rows * len(batch.columns) for batch in open_source([wide]).batches()) <= 1 << 22
    assert max(batch.rows for batch in open_source([long]).batches()) <= 70


def test_names_with_dots_are_names(tmp_path):
    path = written(tmp_path / "x.parquet", parquet_of(pa.table({"a": [1], "a.b": [2]})))

    assert read(path, columns=["a"]) == {"a": [1]}
    assert read(path, columns=["a.b"]) == {"a.b": [2]}


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_arrow_files_with_a_name_twice_are_refused(tmp_path, suffix):
    arrow_table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    path = written(tmp_path / f"x.{suffix}", parquet_of(arrow_table) if suffix == "parquet" else ipc_of(arrow_table))

    with pytest.raises(InputError, match="has the columns 'a' twice"):
        read(path)


def test_arrow_files_without_rows_have_no_rows(tmp_path):
    empty = ARROW.slice(0, 0)
    for name, content in {
        "x.parquet": parquet_of(empty),
        "x.arrow": ipc_of(empty),
        "x.arrows": ipc_of(empty, pa.ipc.new_stream),
    }.items():
        assert counts(written(tmp_path / name, content)) == (0, 0)
    no_groups = io.BytesIO()
    pq.ParquetWriter(no_groups, ARROW.schema).close()
    assert counts(written(tmp_path / "y.parquet", no_groups.getvalue())) == (0, 0)


def test_feather_of_version_1_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="Feather of version 1"):
        read(written(tmp_path / "x.feather", b"FEA1" + bytes(100)))


def test_text_that_is_not_utf8_is_refused_and_not_shown(tmp_path):
    broken = pa.array([b"secret\xff"]).view(pa.string())

    for name, content in {
        "x.parquet": parquet_of(pa.table({"c": broken})),
        "x.arrow": ipc_of(pa.table({"c": broken})),
    }.items():
        with pytest.raises(InputError, match=name) as refused:
            read(written(tmp_path / name, content))
        assert "secret" not in str(refused.value)


def test_a_missing_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("x.parquet", "x.arrow"):
        with pytest.raises(InputError, match=r"pip install 'driftline\[arrow\]'"):
            read(written(tmp_path / name, b""))


@pytest.mark.parametrize("name", ["x.csv", "x.ndjson"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
    line = "1.25,clear\n" if name == "x.csv" else '{"a": 1.25, "b": "clear"}\n'
    path = written(tmp_path / name, ("a,b\n" if name == "x.csv" else "") + line * 400_000)

    tracemalloc.start()
    try:
        for _ in open_source([path]).batches():
            pass
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 25_000_000


def test_utc_instants_in_parquet_are_the_instants_pyarrow_says(tmp_path):
    moment = datetime(2012, 3, 11, 7, 30, tzinfo=UTC)
    (batch,) = open_source([written(tmp_path / "x.parquet", parquet_of(pa.table({"t": [moment]})))]).batches()

    assert batch.zoned == {"t"}
    assert batch.columns["t"].values.tolist() == [moment.replace(tzinfo=None)]


def test_feather_as_pandas_writes_it_is_read(tmp_path):
    feather.write_feather(ARROW, tmp_path / "x.feather")

    assert read(tmp_path / "x.feather") == ARROW.to_pydict()


def test_a_quote_that_is_never_closed_is_refused_with_its_line(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,c\n" + "1,a\n" * 500 + '1,"SECRET\n' + "9,b\n" * 1500)

    with pytest.raises(InputError, match="quote from line .* is not closed") as refused:
        read(path)
    assert "SECRET" not in str(refused.value)


def test_text_behind_a_closing_quote_costs_its_row_alone(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text('x,c\n1,a\n2,"b"b\n3,c\n')

    batches = list(open_source([path]).batches())

    assert sum(batch.rows for batch in batches) == 2
    assert sum(batch.rejected for batch in batches) == 1


def test_blank_lines_of_a_single_column_are_empty_cells(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x\n1\n\n2\n\n")

    (batch,) = open_source([path]).batches()

    assert list(batch.columns["x"].cells) == ["1", "", "2", ""]


def test_file_names_that_are_not_utf_8_are_shown_with_a_replacement(tmp_path):
    path = tmp_path / "b\udcff.csv"
    path.write_text("x\n1\n")

    assert open_source([path]).files[0].name == "b\N{REPLACEMENT CHARACTER}.csv"
