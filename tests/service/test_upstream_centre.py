"""What a sidecar makes of its centre's answers, and of those that are not its centre's."""

import asyncio
import random

import httpx
import msgspec
import pytest
from serving import NOW_US, PROBLEM_TYPE

from service.errors import StoreUnavailableError
from service.ports import Commit, Mark
from service.storage.upstream import Patience, UpstreamStore
from service.storage.upstream.clock import CentreClock

QUICKLY = Patience(connect_s=0.1, answer_s=0.1, call_s=0.15, backoff_s=0.001, backoff_max_s=0.01)
NOTHING = Commit(model="m", epoch=1, deltas=())
COUNTED = {"counted": True, "duplicate": False, "now_us": NOW_US, "progress": []}


def problem(status, detail="because", **headers):
    body = msgspec.json.encode({"type": "about:blank", "title": "", "status": status, "detail": detail, "errors": []})
    return httpx.Response(status, content=body, headers={"content-type": PROBLEM_TYPE, **headers})


def asked(answers, call, key=None):
    """What a call of the store comes to, given answers in turn, the last again and again; and the requests that it made."""
    left, requests = list(answers), []

    def answer(request):
        requests.append(request)
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    async def run():
        store = UpstreamStore(
            "http://centre/behind",
            key,
            name="s",
            patience=QUICKLY,
            rng=random.Random(1),  # noqa: S311 - chance is no secret
            transport=httpx.MockTransport(answer),
        )
        try:
            return await call(store)
        finally:
            await store.close()

    return asyncio.run(run()), requests


def committing(store):
    return store.commit([NOTHING])


def turns_of(requests):
    documents = [msgspec.msgpack.decode(request.content) for request in requests]
    return [(document["sender"], document["number"]) for document in documents]


def test_rows_that_may_be_sent_again_keep_their_turn_while_others_go_by():
    """Were they one sender, its later batch would stand for the one that is to be sent again."""

    def rows(rows_id, model="m"):
        return Commit(model=model, epoch=1, deltas=(), rows_id=rows_id)

    async def sent(store):
        for commits in ([rows("a"), rows("b", "n")], [NOTHING], [rows("a")], [NOTHING], [rows("c"), rows("b", "n")]):
            await store.commit(commits)

    _, requests = asked([COUNTED], sent)

    assert turns_of(requests) == [
        ("s.again", 1),
        ("s.again", 2),
        ("s.once", 3),
        ("s.again", 1),
        ("s.once", 4),
        ("s.again", 5),
        ("s.again", 2),
    ]


SILENCES = [
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("late"),
    httpx.ReadTimeout("late"),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("gone"),
    httpx.Response(502),
    httpx.Response(503, headers={"retry-after": "0"}),
    httpx.Response(500, text="oops"),
    problem(429),
    problem(503),
    httpx.Response(404, text="<h1>default backend</h1>", headers={"content-type": "text/html"}),
    httpx.Response(409, text="conflict"),
    httpx.Response(301, headers={"location": "http://elsewhere/"}),
    httpx.Response(204),
]


@pytest.mark.parametrize("silence", SILENCES, ids=repr)
def test_what_is_no_answer_of_the_centre_is_asked_for_again_as_the_same_batch(silence):
    (result,), requests = asked([silence, silence, COUNTED], committing)

    assert result.status == "committed"
    assert len({request.content for request in requests}) == 1
    assert len(requests) == 3


@pytest.mark.parametrize("silence", SILENCES, ids=repr)
def test_a_centre_that_stays_silent_is_given_up_in_bounded_time(silence):
    with pytest.raises(StoreUnavailableError):
        asked([silence], committing)


@pytest.mark.parametrize(
    ("silence", "in_doubt"),
    [
        (httpx.ConnectError("refused"), False),
        (problem(503), False),
        (problem(429), False),
        (problem(503, "Redis does not answer in time; whether it was written is not known"), True),
        (httpx.ReadTimeout("late"), True),
        (httpx.ReadError("reset"), True),
        (httpx.Response(504), True),
    ],
    ids=repr,
)
def test_whether_the_counts_may_have_arrived_is_said(silence, in_doubt):
    with pytest.raises(StoreUnavailableError) as raised:
        asked([silence, httpx.ConnectError("refused")], committing)

    assert ("is not known" in str(raised.value)) == in_doubt


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (problem(404), "stale"),
        (problem(409), "stale"),
        (problem(400), "refused"),
        (problem(413), "refused"),
        (problem(415), "refused"),
        (problem(422), "refused"),
        (COUNTED, "committed"),
        (COUNTED | {"duplicate": True}, "committed"),
    ],
)
def test_an_answer_of_the_centre_is_an_outcome(answer, status):
    (result,), requests = asked([answer], committing)

    assert result.status == status
    assert ("because" in result.reason) == (status == "refused")
    assert len(requests) == 1


def test_requests_that_were_counted_before_come_back_as_they_were_stored():
    known = {"key": "/k#0", "digest": "AAE=", "answer": "e30="}

    (result,), _ = asked([COUNTED | {"counted": False, "known": [known]}], committing)

    assert (result.status, result.known) == ("duplicate", [Mark(key="/k#0", digest=b"\0\1", answer=b"{}")])


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_opens_nothing_is_not_tried_again(status):
    with pytest.raises(StoreUnavailableError, match="key"):
        asked([problem(status)], committing)


@pytest.mark.parametrize("answer", [{}, [], {"counted": 1}, COUNTED | {"now_us": "now"}])
def test_an_answer_that_cannot_be_read_is_no_outcome(answer):
    with pytest.raises(StoreUnavailableError, match="not one that this program reads"):
        asked([answer], committing)


def test_a_document_of_a_later_format_is_not_guessed_at():
    document = {
        "format": "driftline.counting/2",
        "model": "m",
        "epoch": 1,
        "configuration": {},
        "activations": [],
        "now_us": 1,
    }

    with pytest.raises(StoreUnavailableError, match=r"driftline\.counting/1"):
        asked([document], lambda store: store.model("m"))


def test_the_key_goes_with_every_request_and_the_address_may_have_a_path():
    _, (request,) = asked([COUNTED], committing, key="dk_1")

    assert request.headers["authorization"] == "Bearer dk_1"
    assert request.url == "http://centre/behind/v1/models/m/counts"


def test_before_the_centre_was_heard_there_is_no_time():
    with pytest.raises(StoreUnavailableError, match="not been reached"):
        asked([COUNTED], lambda store: store.now_us())


def test_a_closed_store_says_so():
    async def closed(store):
        await store.close()
        await store.model("m")

    with pytest.raises(StoreUnavailableError, match="closed"):
        asked([COUNTED], closed)


def test_the_clock_is_never_ahead_of_a_centre_it_heard_and_keeps_within_what_is_possible():
    now_s = 1_000.0
    clock = CentreClock(lambda: now_s)
    clock.told(5_000_000_000, 900_000_000, 1_000_000_000)  # asked a tenth of a second ago
    assert clock.now_us() == 5_000_000_000

    clock.told(5_000_050_000, 999_990_000, 1_000_000_000)  # a better look, which is later: moved to where it can be
    assert clock.now_us() == 5_000_050_000
    clock.told(5_000_020_000, 900_000_000, 1_000_000_000)  # a worse one says nothing new
    assert clock.now_us() == 5_000_050_000
    clock.told(4_000_000_000, 999_990_000, 1_000_000_000)  # it was set back
    assert clock.now_us() == 4_000_010_000


def test_what_a_centre_does_not_have_is_none_and_what_it_cannot_say_is_no_answer():
    async def both(store):
        return await store.model("m"), await store.reference_document("m", "r"), await store.progress("m")

    assert asked([problem(404)], both)[0] == (None, None, ())
    for call in (lambda store: store.model("m"), lambda store: store.reference_document("m", "r")):
        with pytest.raises(StoreUnavailableError, match="431"):
            asked([problem(431)], call)


def test_a_problem_without_a_detail_is_one_all_the_same():
    (result,), _ = asked([httpx.Response(422, text="{", headers={"content-type": PROBLEM_TYPE})], committing)

    assert result.status == "refused"


def test_many_models_are_followed_in_requests_of_bounded_length():
    def document(name):
        return {
            "format": "driftline.counting/1",
            "model": name,
            "epoch": 1,
            "configuration": {},
            "activations": [],
            "now_us": 1,
        }

    names = [f"{number:03}{'x' * 120}" for number in range(250)]
    epochs = [{"epochs": dict.fromkeys(some, 7), "now_us": 1} for some in (names[:100], names[100:199], names[200:])]

    async def followed(store):
        for name in names:
            await store.model(name)
        await store.progress()
        return await store.epochs(), await store.progress()

    (found, progress), requests = asked([*map(document, names), *epochs], followed)

    assert found == dict.fromkeys([*names[:199], *names[200:]], 7)  # one of them is gone
    assert progress == []
    assert len(requests) == 253
    assert max(len(str(request.url)) for request in requests) < 16_000


def test_when_one_model_of_several_cannot_be_sent_the_senders_of_all_hear_that_it_is_in_doubt():
    with pytest.raises(StoreUnavailableError, match="not known"):
        asked([COUNTED, httpx.ConnectError("refused")], lambda store: store.commit([NOTHING, NOTHING]))
    with pytest.raises(StoreUnavailableError) as refused:
        asked([httpx.ConnectError("refused")], lambda store: store.commit([NOTHING, NOTHING]))
    assert "not known" not in str(refused.value)
