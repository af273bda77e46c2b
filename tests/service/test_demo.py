"""The demo, run once for all: its story, its webhook, and that it leaves nothing behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from service.demo.process import ServiceFailedError, free_port, running_service
from service.demo.weeks import BROKEN_FROM, COLUMN_BROKEN, training_csv, weeks

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"PYTHONUNBUFFERED": "1"}
COMMAND = [sys.executable, "-m", "service", "demo"]
DEADLINE_S = 120


def demo(*arguments, **environment):
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | environment,
    )


def read_until(process, wanted):
    """Lines of a process up to one with this text, or its end."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            break
    return "".join(lines)


def left_behind(folder):
    """Processes that name a folder in their command, and the folder itself."""
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _is_there(path)]
    return [command for command in commands if folder.encode() in command] + [folder] * Path(folder).exists()


def _is_there(path):
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def folder_in(text):
    return re.search(r"/\S*driftline-demo-\w+", text)[0]


@pytest.fixture(scope="module")
def told():
    """What the demo prints with --keep, what its service answers then, and how it ends."""
    port = free_port()
    with demo("--keep", "--port", port) as process:
        try:
            out = read_until(process, "goes on until Ctrl-C")
            url = f"http://127.0.0.1:{port}"
            with httpx.Client(base_url=url, trust_env=False) as client:
                answers = {path: client.get(path) for path in ("/", "/metrics", "/docs", "/v1/episodes")}
                span = {"window": "7d", "since": "2011-12-01", "until": "2013-02-01", "limit": 100}
                kept = client.get("/v1/models/bikes/evaluations", params=span).json()["evaluations"]
        finally:
            process.send_signal(signal.SIGINT)
        rest, err = process.communicate(timeout=DEADLINE_S)
    return {"out": out + rest, "err": err, "code": process.returncode, "answers": answers, "kept": kept, "url": url}


def test_the_demo_ends_well_and_leaves_nothing_behind(told):
    assert told["err"] == ""
    assert told["code"] == 0
    assert told["out"].endswith("stopped\n")
    assert left_behind(folder_in(told["out"])) == []


def test_the_weeks_tell_the_story(told):
    weeks_told = re.findall(r"^(20\d\d-\d\d-\d\d) +(\d+)  (\w+) +(\d+/11) +(\w+)", told["out"], re.MULTILINE)

    assert len(weeks_told) == 53
    assert [week for week, *_ in weeks_told] == sorted(week for week, *_ in weeks_told)
    assert "bikes: 53 weeks, 51 stable, 1 drifted, 1 undecided" in told["out"]
    assert "bikes-faulty: 53 weeks, 35 stable, 17 drifted, 1 undecided" in told["out"]
    assert ("2012-10-29", "132", "stable", "0/11", "stable") in weeks_told


def test_weather_is_silence_where_rules_of_thumb_cry_every_week(told):
    rules = re.findall(r"^(psi|ks|driftline).*?  +(\d+) of 53 +(\d+) of 53", told["out"], re.MULTILINE)

    assert rules == [("psi", "52", "52"), ("ks", "52", "52"), ("driftline", "1", "17")]


def test_the_fault_is_found_in_its_first_full_week_and_not_before(told):
    lines = re.findall(r"^(20\d\d-\d\d-\d\d).* (stable|drifted|undecided) +(-?\d\.\d+)?$", told["out"], re.MULTILINE)
    verdicts = {week: verdict for week, verdict, _ in lines}

    assert {verdict for week, verdict in verdicts.items() if "2012" <= week < "2012-09-03"} == {"stable"}
    assert {verdict for week, verdict in verdicts.items() if week >= "2012-09-03"} == {"drifted"}
    assert "Injected by this demo" in told["out"]


def test_signed_webhooks_arrive_behind_the_weeks_they_are_about(told):
    lines = told["out"].splitlines()
    webhooks = [(number, line) for number, line in enumerate(lines) if "webhook received" in line]

    assert [
        re.search(r"kind (\S+), model (\S+), week of (\S+), drifted: (\S+), (.*)", line).groups()
        for _, line in webhooks
    ] == [
        ("drift.firing", "bikes-faulty", "2012-09-03", "humidity", "signature verified"),
        ("retrain", "bikes-faulty", "2012-09-10", "humidity", "signature verified"),
    ]
    rows = {line[:10]: number for number, line in enumerate(lines)}
    assert all(number > rows[re.search(r"week of (\S+),", line)[1]] for number, line in webhooks)


def test_the_prediction_has_not_drifted_in_season(told):
    months = [float(value) for value in re.findall(r"\d\d: ([+-]\d\.\d+)", " ".join(told["out"].split()))]

    assert len(months) == 12
    assert max(months) < 0.1


def test_the_addresses_that_are_named_answer(told):
    assert {path: answer.status_code for path, answer in told["answers"].items()} == dict.fromkeys(told["answers"], 200)
    for path in ("/", "/metrics", "/docs"):
        assert f"{told['url']}{path}" in told["out"]
    (shown,) = re.findall(r"^ +(driftline_drift_effect\{.*)$", told["out"], re.MULTILINE)
    assert shown in told["answers"]["/metrics"].text.splitlines()


def test_a_replayed_year_can_be_read_when_it_is_over(told):
    """Evaluations of 2012 were once dropped in 2026 as too old, five seconds after they were made."""
    assert len(told["kept"]) == 53


@pytest.mark.parametrize(
    ("number", "after"), [(signal.SIGTERM, "service "), (signal.SIGINT, "2012-01-09"), (signal.SIGHUP, "receiver ")]
)
def test_an_interrupted_demo_leaves_nothing_behind(number, after):
    with demo() as process:
        out = read_until(process, after)
        process.send_signal(number)
        _, err = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 130
    assert err == "interrupted\n"
    assert left_behind(folder_in(out)) == []


def test_a_port_that_is_taken_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with demo("--port", taken.getsockname()[1]) as process:
            _, err = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 2
    assert re.search(r"Error: port \d+: Address already in use", err)


def test_a_service_that_does_not_start_shows_its_log(tmp_path):
    config = tmp_path / "driftline.yaml"
    config.write_text("modells: {}")

    with (
        pytest.raises(ServiceFailedError, match=r"(?s)did not start:.*modells"),
        running_service(config, free_port(), tmp_path / "log", {}),
    ):
        pass


def test_a_service_is_stopped_when_its_user_fails(tmp_path):
    config = tmp_path / "driftline.yaml"
    config.write_text(f"store: {{path: {tmp_path / 's.db'}}}")
    used = []

    def fail():
        with running_service(config, free_port(), tmp_path / "log", {}) as service:
            used.append((service.process_id, service.ended()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    ((process_id, had_ended),) = used
    assert not had_ended
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)


def test_settings_in_the_environment_do_not_reach_the_demo(monkeypatch, tmp_path):
    monkeypatch.setenv("DRIFTLINE_STORE_PATH", str(tmp_path / "mine.db"))
    config = tmp_path / "driftline.yaml"
    config.write_text(f"store: {{path: {tmp_path / 's.db'}}}")

    with running_service(config, free_port(), tmp_path / "log", {}):
        pass

    assert not (tmp_path / "mine.db").exists()


def test_the_weeks_are_the_shipped_rows_and_one_fault():
    year = list(weeks())
    before = [week for week in year if str(week.monday) < "2012-08-27"]
    after = [week for week in year if str(week.monday) >= BROKEN_FROM]
    place = year[0].sound.decode().splitlines()[0].split(",").index(COLUMN_BROKEN)

    assert sum(week.rows for week in year) == 8734
    assert len(training_csv().splitlines()) == 8645 + 1
    assert all(week.sound == week.broken for week in before)
    cells = [line.split(",")[place] for week in after for line in week.broken.decode().splitlines()[1:]]
    assert set(cells) == {"0.0"}


def test_the_real_sensor_did_report_nothing_for_22_hours():
    lines = training_csv().decode().splitlines()
    place = lines[0].split(",").index(COLUMN_BROKEN)

    stuck = [line[:10] for line in lines[1:] if float(line.split(",")[place]) == 0]

    assert stuck == ["2011-03-10"] * 22
    assert "CC BY 4.0" in (files("service.demo") / "DATA.md").read_text()
