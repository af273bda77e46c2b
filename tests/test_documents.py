"""What the README says is what the code does. What it says of the running service is in tests/service/test_readme.py."""

import json
import os
import re
import shlex
import subprocess
import sys

import click
import pytest
import yaml
from readme_tables import README, TABLES, renewed

from detectors.catalog import CATALOG
from service.cli.main import cli
from service.exporter.catalogue import CATALOGUE
from service.references.declare import Declarations
from service.settings import OTHER_VARIABLES, VARIABLES, KeySettings, Settings, load_settings

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
ROOT = README.parent
TEXT = README.read_text()


def blocks(language):
    fenced = [part.partition("\n") for part in TEXT.split("```")[1::2]]
    return [text for found, _, text in fenced if found == language]


def block(language, holding):
    (found,) = [text for text in blocks(language) if holding in text]
    return found


def lines_of(text):
    return [line.rstrip() for line in text.strip().splitlines()]


def run(command, folder):
    arguments = [str(ROOT / word) if word.startswith("service/") else word for word in shlex.split(command)[1:]]
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Folder in which the commands without a server were run, and what came of them."""
    folder = tmp_path_factory.mktemp("readme")
    script = block("sh", "driftline check").replace("\\\n", " ")
    return folder, [run(command, folder) for command in script.splitlines()]


def test_the_commands_of_the_readme_give_the_output_of_the_readme(checked):
    _, results = checked

    assert [result.returncode for result in results] == [0, 1]
    assert lines_of(results[-1].stdout) == lines_of(block("", "Verdict:"))


def test_the_configuration_of_the_readme_has_no_fault(checked):
    folder, _ = checked
    (folder / "driftline.yaml").write_text(block("yaml", "# driftline.yaml"))

    result = run("driftline config check driftline.yaml", folder)

    assert (result.returncode, result.stderr) == (0, "")


def test_the_configuration_of_the_readme_shows_every_section_and_all_of_a_key(tmp_path):
    path = tmp_path / "driftline.yaml"
    path.write_text(block("yaml", "# driftline.yaml"))

    settings = load_settings(path, {})

    assert settings.model_fields_set == set(Settings.model_fields)
    assert settings.auth.keys[0].model_fields_set == set(KeySettings.model_fields)
    assert all(model.versions for model in settings.models.values())


def test_make_knows_the_commands_of_the_readme():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {word for block in blocks("sh") for word in re.findall(r"make ([a-z-]+)", block)} <= targets
    assert set(re.findall(r"`make ([a-z-]+)`", TEXT)) <= targets


def test_every_table_that_is_made_from_the_code_is_as_the_code_says():
    assert re.findall(r"<!-- made: (\w+) -->", TEXT) == list(TABLES)
    assert renewed(TEXT) == TEXT, "make readme renews it"


def test_every_variable_is_in_the_readme_and_no_other():
    named = set(re.findall(r"\bDRIFTLINE_\w+", TEXT))
    elsewhere = {"DRIFTLINE_KEY"}  # of `replay`, and of the workflow

    assert named == {*VARIABLES, *OTHER_VARIABLES} | elsewhere


def test_every_metric_that_the_readme_names_is_there():
    families = {metric.name for metric in CATALOGUE}
    suffixes = r"_(bucket|count|sum)$"

    named = {re.sub(suffixes, "", name) for name in re.findall(r"\bdriftline_\w+", TEXT)}

    assert named == families


def test_every_statistic_is_in_the_readme_and_no_other():
    (section,) = re.findall(r"## What it computes\n(.*?)\n## ", TEXT, re.DOTALL)

    named = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }

    assert named == {detector.name for detector in CATALOG}


def commands_of(group, path=()):
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if isinstance(command, click.Group):
            yield from commands_of(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(("path", "command"), list(commands_of(cli)), ids=str)
def test_every_option_is_in_the_readme(path, command):
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `driftline {' '.join(path)}")]

    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert any(option in row for option in parameter.opts), parameter.name


def test_no_command_is_in_the_readme_that_is_not_there():
    named = re.findall(r"^\| `driftline ([a-z ]+?)(?: -| [A-Z]|`)", TEXT, re.MULTILINE)

    assert sorted(named) == sorted(" ".join(path) for path, _ in commands_of(cli))


def test_every_setting_of_the_columns_file_is_in_the_readme():
    example = yaml.safe_load(block("yaml", "# columns.yaml"))

    assert set(example) == set(Declarations.model_fields)
    Declarations.model_validate(example)


def test_the_notice_of_the_readme_is_the_golden_one():
    shown = json.loads(block("json", "driftline.notice/1"))
    golden = json.loads((ROOT / "tests/golden/webhook_generic_plain.json").read_text())

    assert_part(shown, golden)


def assert_part(shown, whole):
    match shown:
        case dict():
            for key, value in shown.items():
                assert_part(value, whole[key])
        case list():
            for value, known in zip(shown, whole, strict=False):
                assert_part(value, known)
        case _:
            assert shown == whole


def test_the_readme_names_nothing_of_one_machine():
    assert not re.search(r"/(home|root|work|tmp|Users)/", TEXT)


def test_the_changelog_and_the_version_exist():
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()


def test_locks_name_no_index():
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"https?:|--index-url|--extra-index-url|file:", text)


def test_make_lists_every_target_with_what_it_does():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)

    listed = re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE)

    assert sorted(listed) == sorted(phony.split())


def test_every_benchmark_is_run_by_make():
    written = {path.stem.removeprefix("bench_") for path in (ROOT / "tests/benchmarks").glob("bench_*.py")}
    (listed,) = re.findall(r"^BENCHMARKS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(listed.split()) == written


def test_what_the_readme_measured_names_scripts_that_exist():
    for script in re.findall(r"`(bench_\w+\.py)`", TEXT):
        assert (ROOT / "tests/benchmarks" / script).exists()
