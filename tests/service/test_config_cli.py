"""`driftline config` as an operator meets it."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from service.registry.reference_file import read_reference
from service.settings import Settings, hash_key

BIKES = Path(str(files("service.demo"))) / "bike_hourly.csv.gz"
REFERENCE_ID = re.compile(r"sha256:[0-9a-f]{64}")


@pytest.fixture
def written(tmp_path):
    def written_(text):
        path = tmp_path / "driftline.yaml"
        path.write_text(text)
        return path

    return written_


@pytest.fixture
def reference(run, tmp_path):
    path = tmp_path / "refs" / "bikes.json"
    path.parent.mkdir()
    columns = BIKES.parent / "columns.yaml"
    code, out, _ = run("reference", "build", BIKES, "--columns", columns, "--until", "2011-02-01", "--model", "bikes", "--version", "2011", "-o", path)  # fmt: skip
    assert code == 0
    assert read_reference(path)
    return REFERENCE_ID.findall(out)[-1]


def test_a_good_configuration_is_summed_up(run, written, reference):
    path = written(
        f"""
server: {{host: 0.0.0.0, ops_address: "0.0.0.0:9090"}}
auth:
  keys:
    - {{name: sidecar, hash: "{hash_key("s3cret")}", scopes: [ingest], models: [bikes]}}
    - {{name: ops, hash: "{hash_key("other")}", scopes: [read, admin]}}
targets:
  ci: {{url: "https://ci.example/hook", kinds: [retrain]}}
  pager: {{url: {{env: PAGER}}}}
models:
  bikes:
    notify: [pager]
    triggers: [{{target: ci}}]
    versions:
      2011: {{reference: refs/bikes.json, id: "{reference}"}}
      2012: {{reference: refs/bikes.json}}
      2013: {{reference: "https://store.example/b.json", id: "{reference}"}}
      2014: {{reference: "https://store.example/b.json"}}
      2015:
  cars:
"""
    )

    code, out, err = run("config", "check", path)

    assert (code, err) == (0, "")
    assert re.search(r"bikes +2011 +sha256:\w{13}\.\.\., as asked for +pager +ci", out)
    assert re.search(r"bikes +2012 +sha256:\w{13}\.\.\., not pinned +pager", out)
    assert f"\nmodels.bikes.versions.2012 can be pinned: id: {reference}\n" in out
    assert re.search(r"bikes +2013 +not fetched +pager", out)
    assert re.search(r"bikes +2014 +not fetched, not pinned +pager", out)
    assert re.search(r"bikes +2015 +learns from traffic", out)
    assert re.search(r"cars +no version named: learns from traffic", out)
    assert re.search(r"ci +generic +retrain", out)
    assert re.search(r"pager +generic +all", out)
    assert re.search(r"sidecar +ingest +bikes", out)
    assert re.search(r"ops +admin, read +all", out)
    assert "API on 0.0.0.0:8080 (by key), health and metrics on 0.0.0.0:9090" in out
    assert f"{path}: no faults" in out
    assert hash_key("s3cret") not in out


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no keys: this machine only"), ("auth: none", "everybody may do everything")],
)
def test_who_may_come_in_is_said(run, written, text, said):
    code, out, _ = run("config", "check", written(text))

    assert code == 0
    assert f"API on 127.0.0.1:8080 ({said}); store driftline.db" in out


def test_a_faulty_configuration_leaves_with_2_and_every_fault(run, written, monkeypatch):
    path = written("server: {prot: 1}\nmodels: {m: {notify: [x]}}")
    monkeypatch.setenv("DRIFTLINE_STORE_PAHT", "x")

    code, out, err = run("config", "check", path)

    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "DRIFTLINE_STORE_PAHT: unknown variable; did you mean DRIFTLINE_STORE_PATH?",
        f"{path}:1: server.prot: unknown setting; did you mean port?",
        f"{path}:2: models.m.notify.0: no target has this name",
        "3 faults",
    ]


def test_a_file_that_is_not_there_leaves_with_2(run, tmp_path):
    code, _, err = run("config", "check", tmp_path / "none.yaml")

    assert code == 2
    assert err.endswith("none.yaml: cannot be read (No such file or directory)\n1 fault\n")


def test_a_reference_must_be_there_and_have_the_id_that_is_asked_for(run, written, reference, tmp_path):
    (tmp_path / "refs/foreign.json").write_text("{}")
    path = written(
        f"""\
models:
  m:
    versions:
      a: {{reference: refs/none.json}}
      b: {{reference: refs/foreign.json}}
      c: {{reference: refs/bikes.json, id: "sha256:{"0" * 64}"}}
      d: {{reference: refs/bikes.json}}
"""
    )

    code, out, err = run("config", "check", path)

    refs = tmp_path / "refs"
    assert (code, out) == (2, "")
    faults = err.splitlines()
    assert (
        faults[0]
        == f"{path}:4: models.m.versions.a.reference: {refs}/none.json: cannot be read (No such file or directory)"
    )
    assert faults[1].startswith(f"{path}:5: models.m.versions.b.reference: {refs}/foreign.json: ")
    assert faults[2] == (
        f"{path}:6: models.m.versions.c.reference: {refs}/bikes.json: has the id {reference}, not the one that is asked for"
    )
    assert faults[3:] == ["3 faults"]


def test_names_with_control_characters_do_not_drive_the_terminal(run, tmp_path):
    path = tmp_path / "driftline.yaml"
    path.write_text('"\\x1b[2J": 1')

    code, _, err = run("config", "check", path)

    assert code == 2
    assert "\x1b" not in err


def test_a_key_is_made_and_shown_once_with_its_hash(run):
    _, first, err = run("config", "key")
    _, second, _ = run("config", "key")

    shown = re.fullmatch(r"key:  (dk_[0-9a-f]{64})\nhash: (sha256:[0-9a-f]{64})\n", first)
    assert hash_key(shown[1]) == shown[2]
    assert shown[1] not in second
    assert "Nobody can show this key again" in err


def test_the_schema_is_printed(run):
    code, out, _ = run("config", "schema")

    assert code == 0
    assert set(json.loads(out)["properties"]) == set(Settings.model_fields)
