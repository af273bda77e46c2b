"""What the README says is what the code does."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from detectors.catalog import CATALOG
from service.cli.main import cli
from service.references.declare import Declarations

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    fenced = [part.partition("\n") for part in README.split("```")[1::2]]
    return [text for found, _, text in fenced if found == language]


def lines_of(text):
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_commands_of_the_readme_give_the_output_of_the_readme(tmp_path):
    (script,) = [block for block in blocks("sh") if "driftline check" in block]
    (output,) = [block for block in blocks("") if "Verdict:" in block]
    commands = [line for line in script.replace("\\\n", " ").splitlines() if line.startswith("driftline")]

    results = []
    for command in commands:
        arguments = [
            str(ROOT / word) if word.startswith("service/") else word
            for word in shlex.split(command, comments=True)[1:]
        ]
        results.append(
            subprocess.run(
                [sys.executable, "-m", "service", *arguments],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
                env=ENVIRONMENT,
            )
        )

    assert [result.returncode for result in results] == [0, 1]
    assert lines_of(results[-1].stdout) == lines_of(output)


def test_make_knows_the_commands_of_the_readme():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {word for block in blocks("sh") for word in re.findall(r"make ([a-z-]+)", block)} <= targets
    assert set(re.findall(r"`make ([a-z-]+)`", README)) <= targets


def test_every_statistic_is_in_the_readme_and_no_other():
    (section,) = re.findall(r"## What it computes\n(.*?)\n## ", README, re.DOTALL)

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
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `driftline {' '.join(path)}")]

    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert any(option in row for option in parameter.opts), parameter.name


def test_every_setting_of_the_columns_file_is_in_the_readme():
    (example,) = blocks("yaml")

    assert set(re.findall(r"^(\w+):", example, re.MULTILINE)) == set(Declarations.model_fields)


def test_the_changelog_and_the_version_exist():
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text()


def test_locks_name_no_index():
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text()
        assert "--hash=sha256:" in text
        assert not re.search(r"https?:|--index-url|--extra-index-url|file:", text)
