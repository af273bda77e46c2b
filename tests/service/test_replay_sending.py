"""Chunks to a service that is busy, away, or says no."""

import random

import httpx
import pytest
from stores import FakeClock

from service.cli.sending import Chunk, RefusedError, Reply, Sender

CHUNK = Chunk(key="replay-1-0", content_type="text/csv", body=b"t\n1\n", rows=1)
TAKEN = httpx.Response(200, json={"accepted": 1, "rejected": 0, "late": 0, "duplicate": False, "errors": []})
MODEL = {
    "default_version": "2",
    "configuration": {"time_zone": "Europe/Paris", "columns": {}},
    "versions": [{"version": "1", "reference_id": None}, {"version": "2", "reference_id": "sha256:x"}],
}


def sender_of(answers, version=None, key=None):
    """A sender whose service gives these answers, what it was asked, and how long it was waited for."""
    left, asked, waits = list(answers), [], []

    def handle(request):
        asked.append(request)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = Sender.client("http://service/base/", key, httpx.MockTransport(handle))
    rng = random.Random(1)  # noqa: S311 - jitter
    sender = Sender(client, "m", version, sleep=waits.append, clock=FakeClock(), rng=rng)
    return sender, asked, waits


def test_a_chunk_is_posted_with_its_key():
    sender, asked, waits = sender_of([TAKEN], version="2", key="k")

    reply = sender.send(CHUNK)

    assert reply == Reply(accepted=1, rejected=0, late=0, duplicate=False)
    assert str(asked[0].url) == "http://service/base/v1/models/m/inferences?version=2"
    wanted = {"idempotency-key": "replay-1-0", "content-type": "text/csv", "authorization": "Bearer k"}
    assert wanted.items() <= dict(asked[0].headers).items()
    assert waits == []


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_busy_service_is_left_alone_for_as_long_as_it_asks(status):
    sender, asked, waits = sender_of([httpx.Response(status, headers={"retry-after": "7"}), TAKEN])

    sender.send(CHUNK)

    assert waits == [7.0]
    assert asked[0].headers["idempotency-key"] == asked[1].headers["idempotency-key"]
    assert asked[0].content == asked[1].content


def test_the_back_off_grows_and_a_date_is_a_patience_too():
    later = httpx.Response(503, headers={"retry-after": "Thu, 01 Jan 1970 00:17:00 GMT"})  # 20 s from the clock's time
    sender, _, waits = sender_of([httpx.Response(503), httpx.Response(503), httpx.ConnectError("no"), later, TAKEN])

    sender.send(CHUNK)

    assert 0.125 <= waits[0] <= 0.25
    assert 0.25 <= waits[1] <= 0.5
    assert 0.5 <= waits[2] <= 1.0
    assert waits[3] == 20.0


def test_a_service_that_stays_away_is_given_up():
    sender, asked, waits = sender_of([httpx.ReadTimeout("no")] * 1000)

    with pytest.raises(RefusedError, match="did not take rows for 600 s: it does not answer in time"):
        sender.send(CHUNK)

    assert 600 < sum(waits) < 640
    assert len(asked) == len(waits) + 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(401, json={"detail": "no or unknown API key"}), "401 Unauthorized: no or unknown API key"),
        (httpx.Response(422, json={"detail": "the idempotency key"}), "422 Unprocessable"),
        (httpx.Response(500, text="<html>"), "500 Internal Server Error$"),
        (httpx.Response(200, text="<html>hello"), "200 OK"),
        (httpx.Response(302, headers={"location": "/login"}), "302 Found"),
    ],
)
def test_what_no_repeat_can_help_ends_the_replay(answer, said):
    sender, _, waits = sender_of([answer])

    with pytest.raises(RefusedError, match=said):
        sender.send(CHUNK)
    assert waits == []


def test_an_answer_says_what_is_not_as_wanted():
    errors = [{"row": 1, "column": "x", "reason": "wrong type"}, {"row": 2, "column": None, "reason": "not an object"}]
    answer = {"accepted": 3, "rejected": 1, "late": 2, "duplicate": True, "errors": errors, "ignored": ["y"]}
    sender, _, _ = sender_of([httpx.Response(200, json=answer)])

    reply = sender.send(CHUNK)

    assert reply.reasons == ("column 'x': wrong type", "not an object")
    assert (reply.accepted, reply.rejected, reply.late, reply.duplicate) == (3, 1, 2, True)
    assert reply.ignored == ("y",)


def test_the_time_column_is_that_of_the_reference_where_none_is_declared():
    reference = httpx.Response(200, json={"summary": {"time_column": "when"}})
    sender, asked, _ = sender_of([httpx.Response(200, json=MODEL), reference])

    facts = sender.facts()

    assert (facts.version, facts.time_zone, facts.time_column) == ("2", "Europe/Paris", "when")
    assert asked[1].url.path == "/base/v1/models/m/references/sha256:x"


def test_a_declared_time_column_wins():
    columns = {"x": {"kind": "numeric"}, "at": {"role": "time"}}
    model = MODEL | {"configuration": {"time_zone": "UTC", "columns": columns}}
    sender, _, _ = sender_of([httpx.Response(200, json=model)])

    assert sender.facts().time_column == "at"


def test_a_version_that_learns_has_no_time_column_of_its_own():
    sender, _, _ = sender_of([httpx.Response(200, json=MODEL)], version="1")

    assert sender.facts().time_column is None


def test_a_key_that_may_not_read_leaves_the_facts_unknown():
    sender, _, _ = sender_of([httpx.Response(403, json={"detail": "scope"})])

    assert sender.facts() is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(404, json={"detail": "no such model"}), "404 Not Found: no such model"),
        (httpx.Response(200, text="hello"), "no Driftline at http://service/base/"),
        (httpx.ConnectError("no"), "no service at http://service/base/: it cannot be reached"),
        (httpx.RemoteProtocolError("no"), "the connection broke"),
    ],
)
def test_facts_of_what_is_not_there_are_refused_at_once(answer, said):
    sender, _, _ = sender_of([answer])

    with pytest.raises(RefusedError, match=said):
        sender.facts()


def test_a_version_that_is_not_there_is_named():
    sender, _, _ = sender_of([httpx.Response(200, json=MODEL)], version="9")

    with pytest.raises(RefusedError, match="no version '9'; it has: 1, 2"):
        sender.facts()
