"""Programs that some tests need and Python does not bring: without one a test fails in CI, and elsewhere is skipped aloud."""

import os
import shutil
from collections import Counter

import pytest

PREFIX = "needs "


def program(name, package, environment=os.environ):
    """Path of a program; `package` is what Debian calls what it comes with."""
    found = shutil.which(name, path=environment.get("PATH"))
    if found is None:
        lacking(name, f"apt-get install {package}", environment)
    return found


def root(what, environment=os.environ):
    """Return if tests may do what only root may."""
    if os.geteuid() != 0:
        lacking("root", what, environment)


def lacking(name, how, environment=os.environ):
    """Skip a test for what is not there, or fail in CI; `how` says where it is to be had."""
    if environment.get("CI"):
        pytest.fail(f"{name} is not there, and CI must run everything: {how}", pytrace=False)
    pytest.skip(f"{PREFIX}{name} ({how})")


def not_run(reasons):
    """Lines that say what was skipped because this machine lacks something; none if nothing was."""
    lacking = Counter(reason for reason in reasons if reason.startswith(PREFIX))
    if not lacking:
        return []
    total = sum(lacking.values())
    lines = [f"{tests:>6}  {reason}" for reason, tests in sorted(lacking.items())]
    return [f"NOT RUN on this machine: {total} test{'s' if total > 1 else ''}", *lines]
