import needs
import pytest


def test_a_program_that_is_there_is_found():
    assert needs.program("sh", "dash").endswith("/sh")


def test_a_program_that_is_not_there_fails_in_ci():
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not there"):
        needs.program("no-such-program", "nothing", {"CI": "true", "PATH": "/nowhere"})


def test_a_program_that_is_not_there_is_a_skip_elsewhere():
    with pytest.raises(pytest.skip.Exception, match="^needs no-such-program"):
        needs.program("no-such-program", "nothing", {"PATH": "/nowhere"})


def test_what_was_not_run_is_counted_by_what_was_lacking():
    reasons = ["needs prometheus (apt-get install prometheus)", "needs chromium (apt-get install chromium)"]

    lines = needs.not_run([*reasons, reasons[0], "only on Linux"])

    assert lines == ["NOT RUN on this machine: 3 tests", f"     1  {reasons[1]}", f"     2  {reasons[0]}"]


def test_nothing_is_said_when_everything_was_run():
    assert needs.not_run(["only on Linux"]) == []
