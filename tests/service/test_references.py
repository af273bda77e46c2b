"""Declarations, inference, building from files, and the reference file."""

import gzip
import json
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from making import reference_of
from pyarrow import parquet

from detectors.binning import ColumnValues, DictionaryValues, TextValues
from detectors.reference import reference_id, to_form
from service.domain import Batch
from service.domain.durations import zone_of
from service.errors import DeclarationError, InputError, UnusableReferenceError
from service.formats import open_source
from service.references.build import BuildRequest, build_reference
from service.references.declare import Declarations, read_declarations
from service.references.infer import Overrides, infer
from service.registry import reference_file as file_module
from service.registry.reference_file import read_reference, reference_bytes, reference_of_bytes, write_reference

RNG = np.random.default_rng(0)


def declared(tmp_path, text):
    path = tmp_path / "columns.yaml"
    path.write_text(text)
    return read_declarations(path)


# columns.yaml


def test_declarations_are_read(tmp_path):
    found = declared(
        tmp_path, "time_zone: Europe/Paris\nresolution: 64\ncolumns:\n  t: {role: time}\n  x: {kind: numeric}\n"
    )

    assert found.time_zone == "Europe/Paris"
    assert found.resolution == 64
    assert found.time_column == "t"
    assert found.columns["x"].kind == "numeric"
    assert found.columns["x"].role is None
    assert declared(tmp_path, "") == Declarations()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("columns: [1", "not YAML, line 1"),
        ("\x00", "not YAML"),
        ("columns:\n  x: {kind: number}", "columns.x.kind"),
        ("columns:\n  x: {rolle: input}", "columns.x.rolle"),
        ("column: {}", "column: extra"),
        ("- 1", "document"),
        ("resolution: 8", "resolution"),
        ("time_zone: Mars/Base", "IANA"),
        ("time_zone: ../etc/passwd", "IANA"),
        ("columns:\n  x: {role: input}\n  x: {role: output}", "repeats a key, line 3"),
        ("a: [{b: 1, b: 2}]", "repeats a key, line 1"),
        ("columns:\n  x: {role: time}\n  y: {role: time}", "more than one"),
    ],
)
def test_faulty_declarations_are_named_by_place(tmp_path, text, message):
    with pytest.raises(DeclarationError, match=message):
        declared(tmp_path, text)


def test_a_declaration_that_cannot_be_read_is_an_input_error(tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")

    for name in ("none.yaml", "bytes.yaml"):
        with pytest.raises(InputError, match="cannot be read"):
            read_declarations(tmp_path / name)


def test_zones_are_iana_names():
    assert zone_of("America/New_York").key == "America/New_York"


# Inference


def objects(*values):
    array = np.empty(len(values), dtype=np.object_)
    array[:] = values
    return ColumnValues(values=array)


def inferred(columns, declarations=None, **overrides):
    rows = {
        values.values.shape[0] if isinstance(values, ColumnValues) else len(getattr(values, "cells", values))
        for values in columns.values()
        if not isinstance(values, DictionaryValues)
    }
    head = [Batch(rows=max(rows, default=0), columns=columns)]
    findings = infer(head, declarations or Declarations(), Overrides(**overrides))
    return {finding.name: finding for finding in findings}


def as_text(values):
    return TextValues(cells=list(map(str, values)))


@pytest.mark.parametrize(
    ("values", "kind", "note"),
    [
        (ColumnValues(values=RNG.standard_normal(100)), "numeric", "numbers"),
        (ColumnValues(values=RNG.integers(0, 9, 100)), "numeric", "numbers"),
        (ColumnValues(values=np.array([True, False] * 50)), "categorical", "booleans"),
        (ColumnValues(values=np.array(["a", "b"] * 50)), "categorical", "text, 2 distinct"),
        (as_text(RNG.standard_normal(100)), "numeric", "numbers"),
        (as_text(["True", "false"] * 50), "categorical", "booleans"),
        (TextValues(cells=["1", "", "NA", "2"] * 30), "numeric", "numbers"),
        (TextValues(cells=["NA", "EU", "US", ""] * 30), "categorical", "text, 3 distinct"),
        (TextValues(cells=[*map(str, range(97, 0, -1)), "x", "y"]), "numeric", "2.0% other values count as invalid"),
        (TextValues(cells=["1", "x"] * 50), "categorical", "mixed with 50% numbers"),
        (objects(*[1.5, None, 2, True] * 25), "numeric", "numbers"),
        (objects(*["a", None] * 50), "categorical", "text, 1 distinct"),
        (objects(*[[1, 2]] * 100), None, "lists or objects"),
        (objects(*[None] * 100), None, "no value in the first 100 rows"),
        (ColumnValues(values=np.full(100, np.nan)), None, "no value"),
        (TextValues(cells=[""] * 100), None, "no value"),
        (ColumnValues(values=np.array(["2012-01-01"] * 100, dtype="M8[s]")), None, "times"),
        (as_text(f"user-{i}" for i in range(100)), None, "looks like an identifier: 100%"),
        (as_text(f"user-{i}" for i in range(40)), "categorical", "40 distinct"),
        (ColumnValues(values=np.arange(100)), None, "integers that only grow"),
        (as_text(range(100)), None, "integers that only grow"),
        (ColumnValues(values=np.arange(100)[::-1].copy()), "numeric", "numbers"),
        (ColumnValues(values=np.repeat(np.arange(50), 2)), "numeric", "numbers"),
        (ColumnValues(values=np.sort(RNG.random(100))), "numeric", "numbers"),
        (DictionaryValues(codes=np.arange(100) % 3 - 1, dictionary=["a", "b"]), "categorical", "2 distinct"),
        (DictionaryValues(codes=np.arange(100) % 3 - 1, dictionary=[1.5, None]), "numeric", "numbers"),
    ],
)
def test_kinds_are_guessed_and_the_reason_is_given(values, kind, note):
    steady = ColumnValues(values=RNG.standard_normal(100))

    found = inferred({"x": values, "steady": steady})["x"]

    assert found.kind == kind
    assert note in found.note
    assert not found.declared
    assert found.role == ("ignore" if kind is None else "input")


def test_declarations_are_obeyed_against_every_guess():
    columns = {"id": as_text(range(100)), "n": as_text(RNG.integers(0, 3, 100)), "e": TextValues(cells=[""] * 100)}
    declarations = Declarations.model_validate(
        {"columns": {"id": {"role": "input"}, "n": {"kind": "categorical"}, "e": {"kind": "numeric"}}}
    )

    found = inferred(columns, declarations)

    assert (found["id"].kind, found["id"].role) == ("numeric", "input")
    assert found["n"].kind == "categorical"
    assert found["e"].kind == "numeric"
    assert "no value" in found["e"].note


def test_a_declared_kind_that_does_not_fit_is_warned_about():
    declarations = Declarations.model_validate({"columns": {"x": {"kind": "numeric"}, "y": {"role": "input"}}})

    found = inferred(
        {"x": TextValues(cells=["a", "1"] * 50), "y": as_text(f"u{i}" for i in range(99)), "z": as_text([1])},
        declarations,
    )

    assert "50.0% of the values are not numbers" in found["x"].note
    assert found["y"].kind == "categorical"


def test_roles_that_are_not_monitored_have_no_kind():
    declarations = Declarations.model_validate({"columns": {"y": {"role": "label"}, "k": {"role": "id"}}})
    columns = dict.fromkeys("xyk", ColumnValues(values=RNG.random(10)))

    found = inferred(columns, declarations, ignore=[])

    assert [found[name].kind for name in "xyk"] == ["numeric", None, None]
    assert found["y"].role == "label"


def test_a_column_called_timestamp_is_the_time_unless_another_is_named():
    columns = {"timestamp": as_text(["2012-01-01"] * 3), "at": as_text(["2012-01-01"] * 3), "x": as_text([1, 2, 3])}
    declarations = Declarations.model_validate({"columns": {"timestamp": {"role": "time"}}})

    assert inferred(columns)["timestamp"].role == "time"
    for found in (inferred(columns, time_column="at"), inferred(columns, declarations, time_column="at")):
        assert (found["at"].role, found["timestamp"].role) == ("time", "ignore")


def test_outputs_and_ignored_columns_are_named_on_the_command_line():
    columns = dict.fromkeys("xyz", ColumnValues(values=RNG.random(10)))

    found = inferred(columns, outputs=["y"], ignore=["z"])

    assert [found[name].role for name in "xyz"] == ["input", "output", "ignore"]


def test_names_that_the_data_does_not_have_are_refused():
    with pytest.raises(DeclarationError, match="'score'"):
        inferred({"x": as_text([1, 2])}, outputs=["score"])


def test_unsigned_integers_in_any_order_are_no_identifiers():
    values = np.random.default_rng(0).integers(0, 2**63, 200, dtype=np.uint64) * np.uint64(2)

    assert inferred({"x": ColumnValues(values=values)})["x"].kind == "numeric"


def test_decimal_commas_are_hinted_at():
    found = inferred({"x": as_text(f"1.{i:03},5" for i in range(100)), "y": as_text([1, 2])})["x"]

    assert "decimal commas" in found.note


def test_names_that_are_no_text_are_left_out():
    found = inferred({"\ud800": as_text([1, 2]), "y": as_text([1, 2])})

    assert found["\ud800"].note == "the name is not Unicode text"


def test_endless_columns_are_refused(monkeypatch):
    monkeypatch.setattr("service.references.infer.COLUMNS_MAX", 3)

    with pytest.raises(InputError, match="4 columns"):
        inferred({name: as_text([1]) for name in "abcd"})


def test_nothing_to_monitor_is_refused_with_the_reasons():
    with pytest.raises(DeclarationError, match="no column left to monitor.*identifier"):
        inferred({"id": as_text(range(100))})
    with pytest.raises(InputError, match="no row"):
        inferred({})


def test_endless_names_are_left_out():
    found = inferred({"n" * 300: as_text([1]), "x": as_text([1])})

    assert [finding.kind for finding in found.values()] == [None, "numeric"]


# Building


def built(paths, declarations=None, **kept):
    facts = {"model": "m", "version": "1", "created_at": "2026-01-01T00:00:00Z", "provenance": {}}
    request = BuildRequest(declarations=declarations or Declarations(), **(facts | kept))
    stages = []
    made = build_reference(open_source(paths), request, lambda stage, done: stages.append((stage, done)))
    replaying = set() if made.reference.replay is None else {"replaying"}
    assert {stage for stage, _ in stages} == {"surveying", "counting"} | replaying
    return made


def table(n=2000):
    rng = np.random.default_rng(1)
    return {
        "timestamp": (np.datetime64("2012-03-10") + np.arange(n) * np.timedelta64(5, "m")).astype(str).tolist(),
        "x": rng.standard_normal(n).tolist(),
        "n": rng.integers(0, 5, n).tolist(),
        "c": rng.choice(["a", "b", "ü"], n).tolist(),
        "b": rng.choice([True, False], n).tolist(),
    }


def written(folder, columns, form):
    path = folder / f"data.{form}"
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if form == "ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "parquet":
        parquet.write_table(pa.table(columns), path, row_group_size=300)
    elif form == "arrow":
        with pa.ipc.new_file(path, pa.table(columns).schema) as writer:
            writer.write_table(pa.table(columns), max_chunksize=170)
    else:
        lines = [",".join(columns), *(",".join(map(repr_of, row.values())) for row in rows)]
        text = "\n".join(lines) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if form == "csv.gz" else text.encode())
    return path


def repr_of(value):
    return value if isinstance(value, str) else repr(value)


FORMATS = ["csv", "csv.gz", "ndjson", "parquet", "arrow"]


def test_the_same_rows_give_the_same_reference_in_every_format(tmp_path):
    references = [built([written(tmp_path, table(), form)]).reference for form in FORMATS]

    assert len({reference_id(reference) for reference in references}) == 1
    assert references[0].rows == 2000
    assert references[0].blocks.rows.sum() == 2000


def test_one_file_or_many_give_the_same_reference(tmp_path):
    columns = table()
    (tmp_path / "many").mkdir()
    for part in range(4):
        folder = tmp_path / "many" / str(part)
        folder.mkdir()
        written(
            folder, {name: values[part * 500 : part * 500 + 500] for name, values in columns.items()}, FORMATS[part]
        )

    one, many = built([written(tmp_path, columns, "csv")]), built([tmp_path / "many"])

    assert reference_id(one.reference) == reference_id(many.reference)


def test_provenance_counts_the_rows_of_each_file(tmp_path):
    path = written(tmp_path, table(100), "csv")

    made = built([path], provenance={"files": [{"name": "data.csv", "sha256": "0"}], "git_commit": "1"}).reference

    assert made.provenance == {"files": [{"name": "data.csv", "sha256": "0", "rows": 100}], "git_commit": "1"}


def test_spans_windows_and_time_zones_are_respected(tmp_path):
    path = written(tmp_path, table(), "csv")
    zone = ZoneInfo("America/New_York")
    midnights = [int(datetime(2012, 3, day, tzinfo=zone).timestamp()) for day in (11, 12)]

    made = built(
        [path],
        Declarations(time_zone=zone.key),
        since_us=midnights[0] * 10**6,
        until_us=midnights[1] * 10**6,
        window="1d",
    ).reference

    assert made.rows == 288  # the clocks went forward that day, and the log writes on through the hour that was not
    assert made.blocks.starts_s.tolist() == midnights[:1]
    assert (made.window, made.time_zone, made.time_column) == ("1d", zone.key, "timestamp")


def test_rows_without_a_readable_time_are_counted_and_left_out(tmp_path):
    columns = table(100)
    columns["timestamp"][7] = "yesterday"

    made = built([written(tmp_path, columns, "csv")])

    assert (made.reference.rows, made.rejected) == (99, 1)


def test_a_span_without_rows_or_without_times_is_refused(tmp_path):
    columns = table(100)
    path = written(tmp_path, columns, "csv")

    with pytest.raises(InputError, match="no row to learn from"):
        built([path], since_us=10**18)
    del columns["timestamp"]
    with pytest.raises(DeclarationError, match="--since"):
        built([written(tmp_path, columns, "csv")], since_us=0)


def test_a_file_without_the_time_column_gives_no_rows(tmp_path):
    columns = table(100)
    written(tmp_path, columns, "csv")
    del columns["timestamp"]
    written(tmp_path, columns, "ndjson")

    made = built([tmp_path])

    assert (made.reference.rows, made.rejected) == (100, 100)


def test_only_unreadable_times_say_so(tmp_path):
    columns = table(5) | {"timestamp": ["never"] * 5}

    with pytest.raises(InputError, match="5 could not be read"):
        built([written(tmp_path, columns, "csv")])


def test_data_that_does_not_fit_is_sampled_and_the_file_says_so(tmp_path):
    rng = np.random.default_rng(2)
    columns = {"x": rng.standard_normal(40_000), "n": rng.integers(0, 9, 40_000)}
    path = written(tmp_path, columns, "parquet")

    made = built([path], sample_bytes=1).reference

    assert made.exact.tolist() == [False, True]
    assert to_form(made)["columns"][0]["exact"] is False
    assert made.sample_rows == 1 << 14
    assert reference_id(made) == reference_id(built([path], sample_bytes=1).reference)


def test_only_the_head_of_long_data_is_looked_at_for_guesses(tmp_path, monkeypatch):
    monkeypatch.setattr("service.references.build.HEAD_ROWS", 10)
    for name, values in (("1.csv", ["1", "2"] * 200), ("2.csv", ["x", "y"] * 200)):
        (tmp_path / name).write_text("\n".join(["n", *values]) + "\n")

    made = built([tmp_path]).reference

    assert made.columns[0].kind == "numeric"
    assert made.counts[made.layout.invalid[0]] == 400


# The file


@pytest.mark.parametrize("name", ["r.json", "r.json.gz"])
def test_a_reference_file_comes_back_bit_for_bit(tmp_path, name):
    reference = reference_of(
        {"x": RNG.standard_normal(500), "c": RNG.choice(["a", "ü"], 500)}, blocks=np.arange(500) // 9
    )
    path = tmp_path / name

    write_reference(reference, path)

    again = read_reference(path)
    assert path.read_bytes() == reference_bytes(again, compressed=name.endswith("gz"))
    assert to_form(again) == to_form(reference)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_reference_cut_off_anywhere_is_refused():
    reference = reference_of({"x": np.arange(30.0)})
    for compressed in (False, True):
        data = reference_bytes(reference, compressed=compressed)
        for end in range(0, len(data) - 1, 7):
            with pytest.raises(UnusableReferenceError, match="r.json"):
                reference_of_bytes(data[:end], "r.json")


def test_a_flipped_byte_is_refused():
    data = reference_bytes(reference_of({"x": np.arange(30.0)}), compressed=False)
    form = json.loads(data)
    refused = 0
    for place in range(0, len(data), 5):
        flipped = bytearray(data)
        flipped[place] ^= 1
        try:
            again = reference_of_bytes(bytes(flipped), "r.json")
        except UnusableReferenceError:
            refused += 1
        else:  # names, times and means are not part of the identity
            assert to_form(again)["id"] == form["id"]
    assert refused > 100


def test_foreign_files_are_refused():
    for data in (b"", b"PAR1", b"[]", b"{}", b"\xff\xfe", b"[" * 100_000, b"\x1f\x8bnot gzip at all"):
        with pytest.raises(UnusableReferenceError):
            reference_of_bytes(data, "r.json")


def test_what_follows_a_compressed_reference_is_refused():
    data = reference_bytes(reference_of({"x": np.arange(30.0)}), compressed=True)

    with pytest.raises(UnusableReferenceError, match="gzip"):
        reference_of_bytes(data + b"more", "r.json.gz")


def test_windows_and_zones_that_mean_nothing_are_refused():
    form = json.loads(reference_bytes(reference_of({"x": np.arange(30.0)}), compressed=False))

    for key, value in (("window", "0s"), ("time_zone", "Mars/Base")):
        with pytest.raises(UnusableReferenceError, match="r.json"):
            reference_of_bytes(json.dumps(form | {key: value}).encode(), "r.json")


def test_a_reference_larger_than_any_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(file_module, "_INFLATED_MAX_BYTES", 10)
    (tmp_path / "r.json").write_bytes(b" " * 11)

    with pytest.raises(UnusableReferenceError, match="larger"):
        read_reference(tmp_path / "r.json")


def test_surrogates_in_values_are_invalid_and_do_not_stop_a_build(tmp_path):
    path = tmp_path / "data.ndjson"
    path.write_text("".join(json.dumps({"c": ["a", "\ud800", "b"][i % 3], "x": i % 7}) + "\n" for i in range(300)))

    made = built([path]).reference
    write_reference(made, tmp_path / "r.json")

    assert made.counts[made.layout.invalid[0]] == 100


def test_a_gzip_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(file_module, "_INFLATED_MAX_BYTES", 1000)

    with pytest.raises(UnusableReferenceError, match="gzip"):
        reference_of_bytes(gzip.compress(b" " * 100_000), "r.json.gz")


def test_files_that_cannot_be_read_or_written_say_so(tmp_path):
    with pytest.raises(UnusableReferenceError, match="cannot be read"):
        read_reference(tmp_path / "none.json")
    with pytest.raises(UnusableReferenceError, match="cannot be written"):
        write_reference(reference_of({"x": np.arange(3.0)}), tmp_path / "no folder" / "r.json")
    (tmp_path / "taken").mkdir()
    with pytest.raises(UnusableReferenceError, match="cannot be written"):
        write_reference(reference_of({"x": np.arange(3.0)}), tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
