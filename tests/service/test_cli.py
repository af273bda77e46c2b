"""The command line as a user meets it: output, exit codes, errors."""

import csv
import gzip
import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from service.cli import check as check_module
from service.cli import tables
from service.cli.main import cli
from service.evaluation.counting import WindowCounts
from service.registry.reference_file import read_reference

BIKES = Path(str(files("service.demo"))) / "bike_hourly.csv.gz"
COLUMNS = BIKES.parent / "columns.yaml"


def rows_of(n, shift=0.0, seed=0, **more):
    rng = np.random.default_rng(seed)
    times = (np.datetime64("2012-03-05T00:00:00") + np.arange(n) * np.timedelta64(1, "m")).astype(str)
    columns = {
        "timestamp": times,
        "temp": rng.normal(shift, 1, n).round(4),
        "plan": rng.choice(["free", "gold"], n),
        "score": rng.random(n).round(4),
    }
    return columns | {name: [value] * n for name, value in more.items()}


def write(path, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


@pytest.fixture
def reference(run, tmp_path):
    path = tmp_path / "ref.json"
    train = write(tmp_path / "train.csv", rows_of(5000))
    code, out, _ = run("reference", "build", train, "--model", "m", "--version", "1", "--outputs", "score", "-o", path)
    assert code == 0, out
    return path


def test_building_prints_what_was_found(run, tmp_path):
    train = write(tmp_path / "train.csv", rows_of(300, note="x", id=0) | {"id": range(300)})

    code, out, err = run("reference", "build", train, "--model", "m", "--version", "1", "-o", tmp_path / "r.json.gz")

    assert code == 0
    assert re.search(r"timestamp +time +guess: called timestamp", out)
    assert re.search(r"temp +input +numeric +\d+ +10 +0.0% +guess: numbers", out)
    assert re.search(r"plan +input +categorical +4 +3 +0.0% +guess: text, 2 distinct", out)
    assert "looks like an identifier: integers that only grow" in out
    assert "column 'note' has a single value" in out
    assert "Calibration: iid" in out
    assert "can be overridden" in out
    assert read_reference(tmp_path / "r.json.gz").rows == 300
    assert err == ""


def test_building_warns_of_what_was_left_out(run, tmp_path):
    columns = rows_of(200, empty="")
    columns["temp"] = ["x" if i < 5 else i % 50 for i in range(200)]
    columns["timestamp"] = ["never", *columns["timestamp"][1:]]
    train = write(tmp_path / "train.csv", columns)
    declared = tmp_path / "columns.yaml"
    declared.write_text("columns:\n  empty: {kind: numeric}\n  temp: {kind: numeric}\n")

    code, out, _ = run(
        "reference", "build", train, "--model", "m", "--version", "1", "--columns", declared, "-o", tmp_path / "r"
    )

    assert code == 0
    assert "1 rows could not be read" in out
    assert "column 'temp': 4 values are not of its kind" in out
    assert "column 'empty' has no value" in out
    assert "declared; warning: 2.5% of the values are not numbers" in out


def test_building_without_times_or_from_a_sample_says_so(run, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    train = write(tmp_path / "t.csv", {"x": rng.random(17_000), "c": [f"{i % 9000}" for i in range(17_000)]})
    declared = tmp_path / "columns.yaml"
    declared.write_text("columns: {c: {kind: categorical}}\n")
    monkeypatch.setattr("service.references.build.sample_rows_for", lambda _n, _bytes: 5000)
    monkeypatch.setattr("detectors.reference.survey.CATEGORIES_KEPT", 4000)

    _, out, _ = run(
        "reference", "build", train, "--model", "m", "--version", "1", "--columns", declared, "-o", tmp_path / "r"
    )

    assert "no time column" in out
    assert "column 'x': points come from a uniform sample of 5,000 rows" in out
    assert "column 'c': more categories than are kept" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "a b"], "--model"),
        (["--version", ""], "--version"),
        (["--window", "7h"], "divides a day"),
        (["--window", "1mo"], "not a duration"),
        (["--since", "yesterday"], "not a time"),
        (["--outputs", "nothing"], "'nothing'"),
        (["--ignore", "nothing"], "'nothing'"),
        (["--since", "2013-01-01", "--until", "2012-01-01"], "not before"),
        (["--columns", "none.yaml"], "cannot be read"),
        (["-o", "none/r.json"], "does not exist"),
    ],
)
def test_wrong_usage_of_build_leaves_with_2(run, tmp_path, options, message):
    train = write(tmp_path / "train.csv", rows_of(50))
    base = ["reference", "build", train, "--model", "m", "--version", "1", "-o", tmp_path / "r"]

    code, _, err = run(*base, *options)

    assert code == 2
    assert message in err


def test_check_leaves_with_0_when_stable(run, reference, tmp_path):
    code, out, _ = run("check", write(tmp_path / "now.csv", rows_of(1000, seed=1)), "--reference", reference)

    assert code == 0
    assert re.search(r"temp +stable", out)
    assert "Verdict: stable" in out
    assert "Calibration calibrated" in out


def test_check_leaves_with_1_when_drifted_and_names_what_moved(run, reference, tmp_path):
    code, out, _ = run("check", write(tmp_path / "now.csv", rows_of(1000, 0.5, seed=1)), "--reference", reference)

    assert code == 1
    assert re.search(r"temp +drifted .*\(up\)", out)
    assert out.index("temp") < out.index("score")
    assert "Verdict: drifted" in out


def test_check_leaves_with_3_when_undecided(run, reference, tmp_path):
    now = write(tmp_path / "now.csv", rows_of(9))

    code, out, _ = run("check", now, "--reference", reference)

    assert code == 3
    assert "Verdict: undecided (too few rows)" in out
    assert run("check", now, "--reference", reference, "--fail-on", "never")[0] == 0


def test_fail_on_never_turns_1_into_0(run, reference, tmp_path):
    now = write(tmp_path / "now.csv", rows_of(1000, 0.5))

    assert run("check", now, "--reference", reference, "--fail-on", "never")[0] == 0


def test_a_span_without_rows_is_undecided(run, reference, tmp_path):
    now = write(tmp_path / "now.csv", rows_of(100))

    code, out, _ = run("check", now, "--reference", reference, "--since", "2030-01-01", "--window", "1h")

    assert code == 3
    assert "no rows" in out


def test_json_is_exactly_one_document(run, reference, tmp_path):
    now = write(tmp_path / "now.csv", rows_of(150, 1.0, extra="?"))

    code, out, err = run("check", now, "--reference", reference, "--json", "--window", "1h")

    document = json.loads(out)
    assert code == 1
    assert document["format"] == "driftline.check/1"
    assert [e["window"]["start"] for e in document["evaluations"]] == [f"2012-03-05T0{h}:00:00Z" for h in range(3)]
    assert [e["rows"] for e in document["evaluations"]] == [60, 60, 30]
    assert document["evaluations"][0]["columns"]["score"]["role"] == "output"
    assert "Ignored, not in the reference: extra" in err


def test_windows_are_printed_a_line_each(run, reference, tmp_path):
    now = write(tmp_path / "now.csv", rows_of(190, 0.9))

    code, out, _ = run("check", now, "--reference", reference, "--window", "1h")

    assert code == 1
    assert re.search(r"2012-03-05 00:00 to 2012-03-05 01:00 +60 +drifted +1/3 +temp [\d.]+ up", out)
    assert re.search(r"2012-03-05 03:00 to 2012-03-05 04:00 +10 +undecided +0/3 +too few rows", out)
    assert "4 windows: 3 drifted, 1 undecided" in out
    assert "Never drifted: plan, score" in out


def test_unreadable_rows_and_missing_columns_are_reported(run, reference, tmp_path):
    columns = rows_of(200)
    columns["timestamp"] = ["?", *columns["timestamp"][1:]]
    del columns["temp"]

    code, out, err = run("check", write(tmp_path / "now.csv", columns), "--reference", reference)

    assert code == 1
    assert "1 rows could not be read" in err
    assert re.search(r"temp +drifted.* 100.0% +missing now 100.0% .up.", out)


def test_hostile_names_are_printed_as_they_are(run, tmp_path):
    names = ["[bold]", "[/]", "a,b", "x\u202e", "[link=http://x]y", "\u00fc"]
    past = {name: np.random.default_rng(0).random(400) for name in names} | {"c": ["[red]", "[/red]"] * 200}
    reference, train = tmp_path / "r", write(tmp_path / "t.csv", past)

    code, out, _ = run("reference", "build", train, "--model", "m", "--version", "1", "-o", reference)
    assert code == 0
    assert all(name in out for name in names[:3])
    for name in names:
        past[name] = past[name] + 0.5
    now = write(tmp_path / "n.csv", past | {"c": ["[red]"] * 400, "timestamp": ["2012-01-01", "2012-01-02"] * 200})
    for window in ("all", "1d"):
        code, out, _ = run("check", now, "--reference", reference, "--window", window)
        assert code == 1
        assert "[bold]" in out
        assert "\u202e" not in out


def test_text_in_a_numeric_column_is_invalid_and_harms_no_other(run, reference, tmp_path):
    columns = rows_of(500, seed=3)
    columns["temp"] = ["broken"] * 500

    code, out, _ = run("check", write(tmp_path / "now.csv", columns), "--reference", reference)

    assert code == 1
    assert re.search(r"temp +drifted .*invalid now 100.0% .up.", out)
    assert re.search(r"score +stable", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv", "--reference", "REF"], "none.csv"),
        (["NOW", "--reference", "none.json"], "cannot be read"),
        (["NOW", "--reference", "NOW"], "not a Driftline reference"),
        (["NOW", "--reference", "REF", "--window", "30m"], "whole multiple"),
        (["NOW", "--reference", "REF", "--window", "x"], "not a duration"),
        (["NOW", "--reference", "REF", "--since", "x"], "not a time"),
        (["NOW", "--reference", "REF", "--time-column", "at"], "no time column in the data: wanted 'at'"),
        (["NOW", "--reference", "REF", "--fail-on", "x"], "--fail-on"),
        (["NOW", "--reference", "REF", "--time-column", "temp"], "monitors"),
        (["NOW", "--reference", "REF", "--since", "2013-01-01", "--until", "2012-01-01"], "not before"),
        (["NOW", "--reference", "/dev/zero"], "not a regular file"),
        (["NOW"], "--reference"),
        ([], "DATA"),
    ],
)
def test_wrong_usage_of_check_leaves_with_2(run, reference, tmp_path, arguments, message):
    now = write(tmp_path / "now.csv", rows_of(100))
    names = {"REF": reference, "NOW": now}

    code, out, err = run("check", *(names.get(a, a) for a in arguments))

    assert (code, out) == (2, "")
    assert message in err


def test_without_times_in_the_data_only_windows_need_them(run, reference, tmp_path):
    columns = rows_of(300, seed=2)
    del columns["timestamp"]
    now = write(tmp_path / "now.csv", columns)

    assert run("check", now, "--reference", reference)[0] == 0
    code, _, err = run("check", now, "--reference", reference, "--window", "1h")
    assert (code, "no time column" in err) == (2, True)


def test_a_crash_leaves_with_70_and_does_not_look_like_drift(run, reference, tmp_path, monkeypatch):
    def crash(*_args, **_kept):
        raise ZeroDivisionError

    monkeypatch.setattr(check_module, "check_data", crash)

    code, _, err = run("check", write(tmp_path / "now.csv", rows_of(100)), "--reference", reference)

    assert code == 70
    assert "internal error" in err


def test_an_interrupt_ends_quietly(run, reference, tmp_path, monkeypatch):
    def leave(*_args, **_kept):
        raise KeyboardInterrupt

    monkeypatch.setattr(check_module, "check_data", leave)

    code, out, err = run("check", write(tmp_path / "now.csv", rows_of(100)), "--reference", reference)

    assert (code, out, err) == (130, "", "interrupted\n")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_behind_the_output_is_no_internal_error(reference, tmp_path, options):
    now = write(tmp_path / "now.csv", rows_of(300))
    command = [sys.executable, "-m", "service", "check", now, "--reference", reference, *options]

    with open("/dev/full", "w") as full:  # noqa: PTH123
        left = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert left.returncode == 2
    assert "No space left" in left.stderr
    assert "Traceback" not in left.stderr


def test_help_and_version_need_no_numbers():
    code = "import sys; from service.cli.main import cli; cli.main(['--help'], standalone_mode=False); print('numpy' in sys.modules)"

    out = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert "reference  Build references" in out
    assert out.strip().endswith("False")
    assert "driftline" in subprocess.check_output([sys.executable, "-m", "service", "--version"], text=True)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_has_gone_does_not_look_like_drift(reference, tmp_path, options):
    now = write(tmp_path / "now.csv", rows_of(3000, 0.5))
    command = [sys.executable, "-m", "service", "check", now, "--reference", reference, *options]

    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.close()

    assert process.wait() == 2


def test_many_ignored_columns_are_counted_not_listed(run, reference, tmp_path):
    columns = rows_of(100) | {f"more{i:02}": range(100) for i in range(14)}

    _, _, err = run("check", write(tmp_path / "now.csv", columns), "--reference", reference)

    assert "more09 and 4 more" in err


def test_a_column_that_could_not_be_counted_says_so(run, reference, tmp_path, monkeypatch):
    monkeypatch.setattr("service.cli.checking.WindowCounts.__init__", _broken(WindowCounts.__init__))

    _, out, _ = run("check", write(tmp_path / "now.csv", rows_of(100)), "--reference", reference)

    assert re.search(r"temp +undecided .*could not be counted", out)


def _broken(healthy):
    def init(self, reference):
        healthy(self, reference)
        self.errors = {"temp": "could not be counted (X)"}

    return init


def test_the_training_data_is_not_overwritten(run, tmp_path):
    train = write(tmp_path / "train.csv", rows_of(50))

    code, _, err = run("reference", "build", train, "--model", "m", "--version", "1", "-o", train)

    assert (code, "names a file of the training data" in err) == (2, True)


def test_data_of_another_model_is_refused(run, reference, tmp_path):
    code, _, err = run("check", write(tmp_path / "now.csv", {"other": range(50)}), "--reference", reference)

    assert (code, "no column of the reference" in err) == (2, True)


def test_windows_without_rows_are_shown_as_undecided(run, reference, tmp_path):
    columns = rows_of(200)
    keep = [i for i in range(200) if not 60 <= i < 120]
    now = write(tmp_path / "now.csv", {name: [values[i] for i in keep] for name, values in columns.items()})

    _, out, _ = run("check", now, "--reference", reference, "--window", "1h")

    assert re.search(r"2012-03-05 01:00 to 2012-03-05 02:00 +0 +undecided +0/3 +no rows", out)
    assert "4 windows" in out


def test_more_windows_than_anybody_reads_are_refused(run, reference, tmp_path, monkeypatch):
    monkeypatch.setattr("service.cli.checking.WINDOWS_MAX", 2)

    code, _, err = run("check", write(tmp_path / "now.csv", rows_of(200)), "--reference", reference, "--window", "1h")

    assert (code, "more than 2 windows" in err) == (2, True)


def test_windows_centuries_apart_are_not_filled(run, reference, tmp_path):
    columns = rows_of(100)
    columns["timestamp"] = [*["1912-01-01"] * 50, *["2012-01-01"] * 50]

    _, out, _ = run("check", write(tmp_path / "now.csv", columns), "--reference", reference, "--window", "1h")

    assert "2 windows" in out


def test_a_file_that_lacks_the_time_is_read_without_it_where_no_times_are_asked_for(run, reference, tmp_path):
    folder = tmp_path / "now"
    folder.mkdir()
    write(folder / "a.csv", rows_of(300, seed=1))
    columns = rows_of(300, seed=2)
    del columns["timestamp"]
    write(folder / "b.csv", columns)

    code, out, _ = run("check", folder, "--reference", reference, "--json")
    assert (code, json.loads(out)["evaluations"][0]["rows"]) == (0, 600)
    _, out, err = run("check", folder, "--reference", reference, "--window", "1d", "--json")
    assert json.loads(out)["evaluations"][0]["rows"] == 300
    assert "300 rows could not be read" in err


def test_the_timestamp_of_the_data_is_the_time_only_if_it_was_for_the_reference(run, tmp_path):
    declared, path = tmp_path / "c.yaml", tmp_path / "r.json"
    declared.write_text("columns: {timestamp: {kind: numeric}}\n")
    data = write(tmp_path / "d.csv", {"timestamp": np.random.default_rng(0).random(500).round(3)})
    assert run("reference", "build", data, "--model", "m", "--version", "1", "--columns", declared, "-o", path)[0] == 0

    assert run("check", data, "--reference", path)[0] == 0
    assert run("check", data, "--reference", path, "--window", "1h")[0] == 2


def test_narrow_terminals_keep_room_for_the_explanation(run, reference, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    _, out, _ = run("check", write(tmp_path / "now.csv", rows_of(500, 0.5)), "--reference", reference)

    assert " ks " not in out.splitlines()[1]
    assert max(map(len, out.splitlines())) <= 80


def test_hostile_text_reaches_the_terminal_without_control_characters(run, tmp_path):
    code, _, err = run("check", tmp_path / "x\x1b[31m.csv", "--reference", tmp_path / "none")

    assert code == 2
    assert "\x1b" not in err


def test_unknown_commands_leave_with_2(run):
    assert run("nothing")[0] == 2


def test_commands_are_listed_in_the_help_as_they_are_known(run):
    _, out, _ = run("--help")

    assert re.findall(r"^  (\w+) +\w", out.partition("Commands:")[2], re.MULTILINE) == cli.list_commands(None)


def test_the_command_line_starts_without_heavy_libraries(tmp_path):
    code = "import sys, service.cli.check, service.cli.reference; print([m for m in ('scipy.stats', 'pandas', 'pyarrow') if m in sys.modules])"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_long_lists_of_drifted_columns_are_cut(run, tmp_path):
    rng = np.random.default_rng(0)
    past = {f"c{i}": rng.random(500) for i in range(7)}
    reference, train = tmp_path / "r", write(tmp_path / "t.csv", past)
    run("reference", "build", train, "--model", "m", "--version", "1", "-o", reference)
    now = {name: values + 1 for name, values in past.items()} | {"timestamp": ["2012-01-01", "2012-01-02"] * 250}

    _, out, _ = run("check", write(tmp_path / "n.csv", now), "--reference", reference, "--window", "1d")

    assert f"and {7 - tables._NAMED_MAX} more" in out


# The demo data and its story


@pytest.fixture(scope="module")
def bikes():
    with gzip.open(BIKES, "rt") as file:
        return list(csv.DictReader(file))


def test_the_rare_category_does_no_harm_even_where_it_is_unseen(run, tmp_path, bikes):
    """heavy_precipitation is one row in January 2011; without it the category is new on 9 January 2012."""
    reference = tmp_path / "r.json"
    base = ["reference", "build", BIKES, "--model", "bikes", "--version", "1", "--columns", COLUMNS, "--window", "1d"]
    assert run(*base, "--since", "2011-02-01", "--until", "2012-01-01", "-o", reference)[0] == 0
    assert "heavy_precipitation" not in read_reference(reference).columns[5].categories

    _, out, _ = run(
        "check", BIKES, "--reference", reference, "--since", "2012-01-09", "--until", "2012-01-16", "--json"
    )

    weather = json.loads(out)["evaluations"][0]["columns"]["weather"]
    rare = sum(r["weather"] == "heavy_precipitation" for r in bikes if "2012-01-09" <= r["timestamp"] < "2012-01-16")
    assert weather["unseen_ratio"] == pytest.approx(rare / weather["rows"])
    assert rare == 1
    assert weather["pvalues"]["unseen"] > 0.01
    assert weather["evidence"] != "unseen"


def test_the_gap_of_sandy_is_judged_on_the_rows_it_has(run, tmp_path, bikes):
    reference = tmp_path / "r.json"
    base = ["reference", "build", BIKES, "--model", "bikes", "--version", "1", "--columns", COLUMNS]
    assert run(*base, "--since", "2011-10-01", "--until", "2011-12-01", "-o", reference)[0] == 0

    _, out, _ = run(
        "check",
        BIKES,
        "--reference",
        reference,
        "--since",
        "2012-10-28",
        "--until",
        "2012-11-01",
        "--window",
        "1d",
        "--json",
    )

    rows = {e["window"]["start"][:10]: e for e in json.loads(out)["evaluations"]}
    expected = {day: sum(r["timestamp"].startswith(day) for r in bikes) for day in rows}
    assert {day: e["rows"] for day, e in rows.items()} == expected
    assert rows["2012-10-29"]["rows"] == 1
    assert (rows["2012-10-29"]["verdict"], rows["2012-10-29"]["reason"]) == ("undecided", "too_few_rows")


def test_the_demo_data_carries_its_licence():
    text = (BIKES.parent / "DATA.md").read_text()

    assert "CC BY 4.0" in text
    assert "10.1007/s13748-013-0040-3" in text
