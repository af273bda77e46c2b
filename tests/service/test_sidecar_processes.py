"""Sidecars as processes of their own: the command, its key, its page in a browser, and what it does without its centre."""

import signal

import pytest
from browser import Browser, chromium
from serving import NDJSON, ROW, Process, encoded, key_setting, rows_of, wait_until

KEYS = {
    "keys": [
        key_setting("sidecar", "dk_s", ["ingest", "read"]),
        key_setting("all", "dk_a", ["admin", "read", "metrics"]),
    ]
}


def stored(centre):
    """Rows that the centre has of the model."""
    lines = centre.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("driftline_stored_rows{"))


@pytest.fixture
def centre(tmp_path):
    folder = tmp_path / "centre"
    folder.mkdir()
    with Process(folder, auth=KEYS) as process:
        process.client.headers["x-api-key"] = "dk_a"
        process.model()
        yield process


def sidecar_of(centre, folder, **sections):
    folder.mkdir()
    address = f"http://127.0.0.1:{centre.port}"
    return Process(folder, on=address, environment={"DRIFTLINE_STORE_KEY": "dk_s"}, **sections)


def test_three_sidecars_of_one_centre_take_rows_in_every_way(tmp_path, centre):
    rows = rows_of(300)
    parts = [rows[start : start + 50] for start in range(0, 300, 50)]
    folders = [tmp_path / name for name in ("a", "b", "c")]
    with (
        sidecar_of(centre, folders[0]) as one,
        sidecar_of(centre, folders[1]) as two,
        sidecar_of(centre, folders[2]) as three,
    ):
        sidecars = (one, two, three)
        for number, part in enumerate(parts):
            body = b"\n".join(encoded(row) for row in part)
            for sidecar in (sidecars[number % 3], sidecars[(number + 1) % 3]):
                answer = sidecar.send(body, headers={**NDJSON, "idempotency-key": f"k{number}"})
                assert answer.json()["accepted"] == 50

        wait_until(lambda: stored(centre) == 300, explain=lambda: centre.log)
        assert centre.accepted() == 300
        assert all(not list(folder.glob("*.db*")) for folder in folders)


def test_a_killed_sidecar_takes_nothing_along_that_was_acknowledged_as_committed(tmp_path, centre):
    with sidecar_of(centre, tmp_path / "a") as sidecar:
        assert sidecar.send(rows_of(40)).json()["accepted"] == 40
        sidecar._process.send_signal(signal.SIGKILL)

    wait_until(lambda: stored(centre) == 40)


def test_without_its_centre_a_sidecar_starts_answers_and_ends(tmp_path, centre):
    with sidecar_of(centre, tmp_path / "a", server={"readiness": "sidecar"}) as sidecar:
        assert sidecar.send(ROW).status_code == 200
        centre._process.send_signal(signal.SIGKILL)
        centre._process.wait()

        answer = sidecar.send(ROW)

        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.elapsed.total_seconds() < 15
        assert sidecar.client.get("/readyz").status_code == 200
        assert "driftline_upstream_up 0.0" in sidecar.client.get("/metrics").text
        with sidecar_of(centre, tmp_path / "b", server={"readiness": "sidecar"}) as late:
            assert late.send(ROW).status_code == 503
            wait_until(lambda: '"the centre is away"' in late.log, explain=lambda: late.log)
            assert late.log.count('"the centre is away"') == 1
            assert late.ended(20) == 0


def test_the_page_of_a_sidecar_in_a_browser(tmp_path, centre):
    chromium()
    script = "Object.fromEntries([...document.querySelectorAll('[data-fact]')].map(one => [one.dataset.fact, one.innerText]))"
    with sidecar_of(centre, tmp_path / "a") as sidecar, Browser(tmp_path) as browser:
        sidecar.send(rows_of(5))
        tab = browser.tab()
        tab.open(f"http://127.0.0.1:{sidecar.port}/")
        tab.until("document.querySelector('[data-model]')")
        facts = tab.run(script)

        assert "yes" in facts["up"]
        assert str(centre.port) in facts["centre"]
        assert facts["pending"].split()[-1] == facts["dropped"].split()[-1] == "0"
        assert tab.run("document.querySelector('[data-model]').dataset.model") == "m"
        assert tab.read_faults() == []
