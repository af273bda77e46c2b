"""`driftline backtest` as a user meets it: output, exit codes, errors."""

import csv
import json
import re

import numpy as np
import pytest


def rows_of(hours, shift=0.0, seed=0, first="2012-03-05", n=40, **more):
    rng = np.random.default_rng(seed)
    rows = hours * n
    times = np.datetime64(f"{first}T00:00:00") + np.arange(rows) * np.timedelta64(3600 // n, "s")
    columns = {
        "timestamp": times.astype(str),
        "temp": rng.normal(shift, 1, rows).round(4),
        "plan": rng.choice(["free", "gold"], rows),
        "score": rng.random(rows).round(4),
    }
    return columns | {name: [value] * rows for name, value in more.items()}


def write(path, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def built(run, tmp_path, rows, *options):
    path = tmp_path / "ref.json"
    train = write(tmp_path / "train.csv", rows)
    code, out, err = run("reference", "build", train, "--model", "m", "--version", "1", "-o", path, *options)
    assert code == 0, (out, err)
    return path


@pytest.fixture
def reference(run, tmp_path):
    """Two weeks of hours."""
    return built(run, tmp_path, rows_of(336))


def test_alarms_are_listed_with_their_columns_and_what_would_have_been_told(run, reference, tmp_path):
    calm, drifted = rows_of(24, seed=1), rows_of(24, seed=2, shift=1.5, first="2012-03-06")
    data = [write(tmp_path / "calm.csv", calm), write(tmp_path / "drifted.csv", drifted)]

    code, out, err = run("backtest", *data, "--reference", reference)

    assert (code, err) == (0, "")
    assert re.search(r"m 1, 2012-03-05 00:00 to 2012-03-07 00:00: 1,920 rows in 48 windows of 1h \(2.0 days\)", out)
    assert re.search(r"2012-03-06 01:00 +still open +\w+ +\S+ +1h +temp location up", out)
    assert "Notices: 2 (1 drift.firing, 1 drift.escalated)" in out
    assert "Retrainings: 1 (a trigger with default settings; none is configured)" in out
    assert re.search(r"2012-03-06 \d\d:00 at retrain", out)
    assert re.search(r"Driftline, budget 1 +15 ", out)
    assert re.search(r"psi > 0.2, a rule of thumb +\S+ +\S+ +\S+ +\S+", out)


def test_json_is_one_document_and_nothing_else(run, reference, tmp_path):
    data = write(tmp_path / "log.csv", rows_of(30, seed=3, note="x"))

    code, out, err = run("backtest", data, "--reference", reference, "--json", "--until", "2012-03-06")

    document = json.loads(out)
    assert code == 0
    assert (document["format"], document["windows"], document["alarms"]) == ("driftline.backtest/1", 24, [])
    assert (document["ignored"], document["rejected_rows"], document["left_out"]) == (["note"], 0, None)
    assert err == "Ignored, not in the reference: note\n"


def test_a_policy_and_a_budget_are_tried(run, reference, tmp_path):
    data = write(tmp_path / "log.csv", rows_of(48, seed=2, shift=1.5))
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "policy: {fire_after: 3, rules: [ks > 0.3 in 100% of columns]}\n"
        "triggers: [{target: ci, dry_run: true, tier: alarm}]\n"
        "scales: [1, 6]\n"
    )

    code, out, _ = run("backtest", data, "--reference", reference, "--policy", policy, "--budget", "2.5")

    assert code == 0
    assert re.search(r"2012-03-05 03:00 +still open", out)
    assert "Driftline, budget 2.5" in out
    assert "ks > 0.3 in 100% of columns, a rule of thumb" in out
    assert "psi > 0.2" not in out
    assert re.search(r"\d at ci as a dry run: the trigger says dry_run: true", out)
    assert "Evaluated together: 1h, 6h." in out


def test_faults_of_a_policy_are_named_with_their_lines(run, reference, tmp_path):
    data = write(tmp_path / "log.csv", rows_of(2))
    policy = tmp_path / "policy.yaml"
    faults = {
        "policy:\n  budget: 3\n  fire_after: x\n": [
            "policy.yaml:2: policy.budget: unknown",
            "policy.yaml:3: policy.fire_",
        ],
        "policy: {rules: [psi]}\n": ["policy.yaml:1: policy.rules.0: wanted such as `psi > 0.2`"],
        "- 1\n": ["policy.yaml: wanted a mapping"],
        "scales: [0]\n": ["policy.yaml:1: scales.0: wanted"],
        "a: 1\na: 2\n": ["policy.yaml:2: "],
    }
    for text, wanted in faults.items():
        policy.write_text(text)
        code, out, err = run("backtest", data, "--reference", reference, "--policy", policy)
        assert (code, out) == (2, "")
        assert all(fault in err for fault in wanted), err
    policy.write_text("")
    assert run("backtest", data, "--reference", reference, "--policy", policy)[0] == 0
    assert run("backtest", data, "--reference", reference, "--policy", tmp_path)[0] == 2
    assert run("backtest", data, "--reference", reference, "--policy", tmp_path / "none.yaml")[0] == 2


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--time-column", "when"], "no time column in the data: wanted 'when'"),
        (["--time-column", "temp"], "'temp' is a column that the reference monitors"),
        (["--since", "2012-03-06", "--until", "2012-03-05"], "--since is not before --until"),
        (["--budget", "0"], "--budget"),
        (["--since", "soon"], "is not a time"),
    ],
)
def test_wrong_usage_leaves_with_2(run, reference, tmp_path, options, wanted):
    data = write(tmp_path / "log.csv", rows_of(2))

    code, out, err = run("backtest", data, "--reference", reference, *options)

    assert (code, out) == (2, "")
    assert wanted in err


def test_data_of_another_model_is_unreadable_input(run, reference, tmp_path):
    data = write(tmp_path / "log.csv", {"timestamp": ["2012-03-05"] * 3, "other": [1, 2, 3]})

    code, _, err = run("backtest", data, "--reference", reference)

    assert code == 2
    assert "no column of the reference" in err


def test_nothing_in_the_span_is_said_and_no_error(run, reference, tmp_path):
    data = write(tmp_path / "log.csv", rows_of(2))

    code, out, _ = run("backtest", data, "--reference", reference, "--since", "2013-01-01")

    assert (code, out) == (0, "No base window has a row: nothing to try a policy on.\n")


def test_rows_and_columns_that_cannot_be_read_are_told_of(run, reference, tmp_path):
    rows = rows_of(3)
    rows["timestamp"] = ["never", *rows["timestamp"][1:]]
    data = write(tmp_path / "log.csv", rows)

    code, out, err = run("backtest", data, "--reference", reference)

    assert code == 0
    assert "No alarm." in out
    assert "Warning: 1 rows could not be read, or had no readable time" in err


def test_without_a_calibration_no_rate_is_claimed(run, tmp_path):
    rows = rows_of(40)
    del rows["timestamp"]
    reference = built(run, tmp_path, rows)
    data = write(tmp_path / "log.csv", rows_of(10, seed=4, shift=2.0, n=10))

    code, out, _ = run("backtest", data, "--reference", reference)

    assert code == 0
    assert "Calibration: iid" in out
    text = " ".join(out.split())
    assert "no budget is kept" in text
    assert "Rules of thumb had nothing to look at in 10 of 10 windows" in text


def test_windows_of_whole_days_are_printed_as_days(run, tmp_path):
    reference = built(run, tmp_path, rows_of(24 * 12, n=4), "--window", "1d")
    data = write(tmp_path / "log.csv", rows_of(48, seed=5, n=4))

    code, out, _ = run("backtest", data, "--reference", reference)

    assert code == 0
    assert "m 1, 2012-03-05 to 2012-03-07: 192 rows in 2 windows of 1d" in out
