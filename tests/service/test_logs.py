"""What is logged, by us and by the libraries we use: never the text of an error that may quote a row."""

import json
import logging

import structlog
from serving import captured_logs


def fail():
    raise ValueError("temp=1234.5 is no weather")


def lines(log):
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_failure_of_ours_is_logged_by_its_type_and_place():
    with captured_logs() as log:
        try:
            fail()
        except ValueError:
            structlog.get_logger().exception("evaluation failed", model="m")

    (line,) = lines(log)
    assert (line["event"], line["model"], line["error"]) == ("evaluation failed", "m", "ValueError")
    assert "test_logs.py" in line["at"]
    assert "1234.5" not in log.getvalue()


def test_a_failure_that_a_library_logs_loses_its_text_too():
    with captured_logs() as log:
        try:
            fail()
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")

    (line,) = lines(log)
    assert (line["event"], line["error"]) == ("Exception in ASGI application", "ValueError")
    assert "1234.5" not in log.getvalue()


def test_what_libraries_only_tell_is_not_logged():
    with captured_logs() as log:
        logging.getLogger("apscheduler").info("Added job")

    assert log.getvalue() == ""
