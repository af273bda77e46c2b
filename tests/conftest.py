"""Settings of hypothesis for all tests; and what could not be run on this machine is said at the end, and counted."""

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from needs import not_run

from service.cli.main import main

# No deadlines: a slow machine is no fault. In CI the same examples every time; elsewhere new ones with every run.
settings.register_profile("driftline", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("driftline")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what is in its background with SIGINT ignored, and the programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the same, with nohup


@pytest.fixture
def run(monkeypatch, capfd):
    """The command line: its exit code, and what it wrote to stdout and to stderr."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def run_(*args):
        monkeypatch.setattr(sys, "argv", ["driftline", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        return left.value.code, out, err

    return run_


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    lines = not_run([report.longrepr[2].removeprefix("Skipped: ") for report in skipped])
    for line in lines:
        terminalreporter.write_line(line, yellow=True, bold=True)
    if "NOT_RUN_FILE" in os.environ:  # gates.sh says it once more, at the very end
        Path(os.environ["NOT_RUN_FILE"]).write_text("".join(f"{line}\n" for line in lines))
