"""`driftline replay` into a real service."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from service.demo.process import free_port, running_service
from service.demo.weeks import columns_declared, training_csv
from service.settings import hash_key

BIKES = Path(str(files("service.demo"))) / "bike_hourly.csv.gz"
ROWS = 8_734  # of 2012
NUMBERS = ("hour", "temp", "atemp", "humidity", "windspeed", "prediction")
KEYS = {"all": ["ingest", "read", "admin"], "ingest": ["ingest"], "nothing": ["metrics"]}
MODELS = ("csv", "ndjson", "parquet", "again", "broken-off", "blind", "renamed", "span", "timeless", "paced")


@pytest.fixture
def run(run, monkeypatch):
    def run_(*args, key="all"):
        monkeypatch.setenv("DRIFTLINE_KEY", key)
        return run("replay", *args)

    return run_


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    declared = columns_declared()
    model = {
        "time_zone": declared["time_zone"],
        "base_window": "7d",
        "retention": "400d",  # tests look at all of the year when it is over
        "scales": [1],
        "columns": declared["columns"],
    }
    keys = [{"name": name, "hash": hash_key(name), "scopes": scopes} for name, scopes in KEYS.items()]
    models = {name: model for name in MODELS if name != "timeless"} | {"timeless": {}}
    settings = {"store": {"path": str(folder / "s.db")}, "auth": {"keys": keys}, "models": models}
    (folder / "driftline.yaml").write_text(yaml.safe_dump(settings))
    with (
        running_service(folder / "driftline.yaml", free_port(), folder / "log", {}) as service,
        httpx.Client(base_url=service.url, headers={"authorization": "Bearer all"}, timeout=60) as client,
    ):
        first = None
        for name in models:
            if name == "timeless":
                continue
            if first is None:
                headers, body = {"content-type": "text/csv"}, training_csv()
            else:
                headers = {"content-type": "application/vnd.driftline.reference+json"}
                body = json.dumps(first | {"model": name}).encode()
            answer = client.post(f"/v1/models/{name}/references?version=2011", content=body, headers=headers)
            assert answer.is_success, answer.text
            if first is None:
                found = answer.json()["summary"]["reference_id"]
                first = client.get(f"/v1/models/{name}/references/{found}/file").json()
        yield client


@pytest.fixture(scope="module")
def rows():
    with gzip.open(BIKES, "rt") as file:
        found = [row for row in csv.DictReader(file) if row["timestamp"] >= "2012"]
    return [row | {name: float(row[name]) for name in NUMBERS} for row in found]


def url_of(client):
    return str(client.base_url).rstrip("/")


def rows_counted(client, model):
    """Rows of 2012 that the service has counted for a model."""
    span = {"since": "2012-01-01", "until": "2013-01-02"}
    return client.post(f"/v1/models/{model}/evaluations", json=span).raise_for_status().json()


def fates(out):
    return {
        name: int(number.replace(",", ""))
        for name, _, number in (part.rpartition(" ") for part in out.splitlines()[1].split(", "))
    }


def test_the_same_log_in_any_format_and_order_gives_the_same_numbers(client, run, rows, tmp_path):
    shuffled = [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]
    (tmp_path / "log.ndjson").write_text("".join(json.dumps(row) + "\n" for row in shuffled))
    (tmp_path / "log").mkdir()
    for part in range(3):
        pq.write_table(pa.Table.from_pylist(rows[part::3]), tmp_path / "log" / f"{part}.parquet")
    span = ("--since", "2012-01-01", "--url", url_of(client), "--version", "2011")

    results = {
        "csv": run(BIKES, "--model", "csv", *span),
        "ndjson": run(tmp_path / "log.ndjson", "--model", "ndjson", *span),
        "parquet": run(tmp_path / "log", "--model", "parquet", *span),
    }

    for model, (code, out, err) in results.items():
        assert code == 0, err
        assert fates(out) == {"accepted": ROWS, "refused": 0, "late": 0, "duplicates": 0, "left out": 0}, model
        assert ("sorted first" in err) == (model != "csv")
    counted = [rows_counted(client, model) for model in results]
    assert counted[0]["rows"] == ROWS
    assert counted[0]["columns"] == counted[1]["columns"] == counted[2]["columns"]


def test_the_same_replay_again_adds_nothing(client, run):
    arguments = (BIKES, "--model", "again", "--url", url_of(client), "--since", "2012-06-01", "--until", "2012-09-01")

    first, again = run(*arguments), run(*arguments)

    assert fates(first[1])["accepted"] == fates(again[1])["duplicates"] == 2208
    assert fates(again[1])["accepted"] == 0
    assert (first[0], again[0]) == (0, 0)
    assert rows_counted(client, "again")["rows"] == 2208


def test_an_interrupted_replay_goes_on_where_it_was(client, run):
    arguments = ["--model", "broken-off", "--url", url_of(client), "--since", "2012-01-01"]
    environment = os.environ | {"DRIFTLINE_KEY": "all"}
    command = [sys.executable, "-m", "service", "replay", str(BIKES), *arguments, "--rate", "2000"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        counted = set()
        while len(counted) < 3 and process.poll() is None:  # none, one body, and another: so the first was answered
            counted.add(rows_counted(client, "broken-off")["rows"])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    before = fates(out)["accepted"]

    code, out, _ = run(BIKES, *arguments)

    assert code == 0
    assert 0 < before < ROWS
    assert fates(out)["duplicates"] >= before
    assert rows_counted(client, "broken-off")["rows"] == ROWS


def test_a_key_that_may_not_read_can_replay(client, run):
    arguments = (BIKES, "--model", "blind", "--url", url_of(client), "--since", "2012-12-30")

    code, out, err = run(*arguments, key="ingest")

    assert code == 0
    assert "may not read the model" in err
    assert fates(out)["accepted"] == 48


@pytest.mark.parametrize(("key", "said"), [("unknown", "401 Unauthorized"), ("nothing", "403 Forbidden")])
def test_a_key_that_may_not_send_is_refused(client, run, key, said):
    code, _, err = run(BIKES, "--model", "blind", "--url", url_of(client), "--since", "2012-12-30", key=key)

    assert code == 2
    assert said in err


def test_the_time_column_of_the_data_may_have_another_name(client, run, rows, tmp_path):
    log = tmp_path / "log.ndjson"
    renamed = [{"when" if name == "timestamp" else name: cell for name, cell in row.items()} for row in rows[:100]]
    log.write_text("".join(json.dumps(row) + "\n" for row in renamed))

    code, out, _ = run(log, "--model", "renamed", "--url", url_of(client), "--time-column", "when")

    assert code == 0
    assert fates(out)["accepted"] == 100
    assert rows_counted(client, "renamed")["rows"] == 100


def test_what_is_not_as_wanted_is_said_and_counted(client, run, rows, tmp_path):
    log = tmp_path / "log.ndjson"
    odd = [
        rows[0] | {"temp": "warm", "extra": 1},
        rows[1] | {"timestamp": "soon"},
        rows[2] | {"timestamp": None},
        rows[3] | {"weather": "x" * (2 << 20)},
        {"timestamp": "2999-01-01"},
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in odd))

    code, out, err = run(log, "--model", "span", "--url", url_of(client))

    assert code == 0
    assert fates(out) == {"accepted": 1, "refused": 1, "late": 0, "duplicates": 0, "left out": 3}
    assert "2 rows could not be read, or had no readable time" in err
    assert "1 rows are longer than the service takes" in err
    assert "column 'temp': wrong type for its column; counted as invalid" in err
    assert "Ignored, not in the reference: extra" in err


def test_a_replay_of_which_nothing_is_taken_fails(client, run, tmp_path):
    log = tmp_path / "log.ndjson"
    log.write_text('{"timestamp": "2999-01-01", "temp": 1}\n')

    code, _, err = run(log, "--model", "span", "--url", url_of(client))

    assert code == 2
    assert "no row was taken" in err
    assert "later than now" in err


def test_a_rate_is_kept(client, run, rows, tmp_path):
    log = tmp_path / "log.ndjson"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows[:2001]))

    code, out, _ = run(log, "--model", "paced", "--url", url_of(client), "--rate", "2000")

    assert code == 0
    # Three requests of a thousand rows, a second each but for what the last one takes.
    rate = int(out.split(" rows/s")[0].rpartition(" ")[2].replace(",", ""))
    assert rate <= 2001


def test_a_model_without_a_time_would_lose_it(client, run):
    code, _, err = run(BIKES, "--model", "timeless", "--url", url_of(client))

    assert code == 2
    assert "columns: {timestamp: {role: time}}" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "nope"), "404 Not Found: no such model"),
        (("--model", "span", "--version", "9"), "no version '9'; it has: 2011"),
        (("--model", "span", "--time-column", "no"), "no column 'no' in the data"),
        (("--model", "span", "--rate", "0"), "--rate"),
        (("--model", "span", "--rate", "often"), "--rate"),
        (("--model", "span", "--since", "yesterday"), "is not a time"),
        (("--model", "span", "--since", "2012-02-01", "--until", "2012-01-01"), "--since is not before --until"),
        (("--model", "span", "--since", "2030-01-01"), "none is in the span"),
        (("--model", "span", "--url", "somewhere"), "--url"),
        (("--model", "span", "--url", "http://127.0.0.1:9"), "no service at http://127.0.0.1:9: it cannot be reached"),
        (("--model", "span", "--url", "http://[::1"), "--url"),
    ],
)
def test_wrong_usage_is_told(client, run, arguments, said):
    code, out, err = run(BIKES, "--url", url_of(client), *arguments)

    assert (code, out) == (2, "")
    assert said in err


def test_a_log_that_is_not_there_is_told(run):
    code, _, err = run("nowhere.csv", "--model", "m")

    assert code == 2
    assert "no such file" in err
