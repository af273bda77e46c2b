"""Bodies that nobody should send: each has its clear answer, holds no value, and harms nobody."""

import asyncio
import gzip
import json
import zlib

import pytest
import zstandard
from bodies import body_of
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import JSON, NDJSON, ROW, asgi, encoded, problem_in, rows_of, served
from test_ingest_formats import TYPES, headers_of

SECRET = "planted-secret"  # noqa: S105 - a value of a row, not a password
PATH = "/v1/models/m/inferences"
CSV, ARROW, PARQUET = (headers_of(form) for form in ("csv", "arrow", "parquet"))


NESTED = b"[" * 50_000 + b"]" * 50_000
CASES = {
    "nothing as json": (b"", JSON, 400),
    "nothing as ndjson": (b"", NDJSON, 200),
    "nothing as csv": (b"", CSV, 400),
    "nothing as arrow": (b"", ARROW, 400),
    "nothing as parquet": (b"", PARQUET, 400),
    "nothing as gzip": (b"", {**JSON, "content-encoding": "gzip"}, 400),
    "nothing as zstd": (b"", {**NDJSON, "content-encoding": "zstd"}, 400),
    "white space": (b" \n\t ", JSON, 400),
    "a number": (b"5", JSON, 422),
    "a string": (b'"planted-secret"', JSON, 422),
    "null": (b"null", JSON, 422),
    "two documents": (b'{"temp":1}{"temp":2}', JSON, 400),
    "a trailing comma": (b'[{"temp":1},]', JSON, 400),
    "a comment": (b'{"temp":1} // planted-secret', JSON, 400),
    "single quotes": (b"{'planted-secret':1}", JSON, 400),
    "rows that are none": (b'[1,"planted-secret",null,[],{}]', JSON, 200),
    "rows under rows that are none": (b'{"rows":{"planted-secret":1}}', JSON, 422),
    "columns that are no lists": (b'{"columns":{"temp":"planted-secret"}}', JSON, 422),
    "columns of unequal lengths": (b'{"columns":{"temp":[1],"hour":[1,2]}}', JSON, 422),
    "rows and columns": (b'{"rows":[],"columns":{}}', JSON, 422),
    "nested arrays": (NESTED, JSON, 400),
    "nested arrays in a cell": (b'{"temp":' + NESTED + b"}", JSON, 400),
    "nested objects": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, JSON, 400),
    "nested arrays in a line": (b'{"temp":' + NESTED + b"}", NDJSON, 200),
    "invalid utf-8": (b'{"weather":"\xff\xfeplanted-secret"}', JSON, 400),
    "invalid utf-8 in a key": (b'{"\xffplanted-secret":1}', JSON, 400),
    "invalid utf-8 in a line": (b'{"weather":"\xffplanted-secret"}\n{"temp":1}', NDJSON, 200),
    "invalid utf-8 in csv": (b"temp,weather\n1,\xffplanted-secret\n", CSV, 400),
    "utf-16": ('{"temp": 1}'.encode("utf-16"), JSON, 400),
    "a byte order mark": (b"\xef\xbb\xbf" + encoded(ROW), JSON, 200),
    "a lone surrogate": (b'{"weather":"\\ud800 planted-secret"}', JSON, 400),
    "a nul byte in a cell": (b'{"weather":"a\\u0000b"}', JSON, 200),
    "a nul byte outside": (b'{"temp":1}\0', JSON, 400),
    "a nul byte in csv": (b"temp\n1\0planted-secret\n", CSV, 400),
    "a key twice": (b'{"temp":"planted-secret","temp":1}', JSON, 200),
    "an empty key": (b'{"":1,"temp":1}', JSON, 200),
    "a very long key": (b'{"' + b"k" * 100_000 + b'":1,"temp":1}', JSON, 200),
    "a number of a million digits": (b'{"temp":' + b"9" * 500_000 + b"}", JSON, 400),
    "a long string": (b'{"weather":"' + b"x" * 1_000_000 + b'"}', JSON, 200),
    "a string of 10 MB": (b'{"weather":"' + b"x" * 10_000_000 + b'"}', JSON, 413),
    "a line of 10 MB": (b'{"weather":"' + b"x" * 10_000_000 + b'"}', NDJSON, 413),
    "a hundred thousand rows": (b"[" + b",".join([b"{}"] * 100_000) + b"]", JSON, 413),
    "a hundred thousand empty lines": (b"{}\n" * 100_000, NDJSON, 200),
    "a hundred thousand blank lines": (b"\n" * 100_000, NDJSON, 200),
    "a hundred thousand unknown columns": (b"{" + b",".join(b'"c%d":1' % n for n in range(80_000)) + b"}", JSON, 200),
    "a million columns": (b"{" + b",".join(b'"c%d":1' % n for n in range(1_000_000)) + b"}", JSON, 413),
    "a million columns of csv": (b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n", CSV, 413),
    "a column twice in csv": (b"temp,temp\n1,2\n", CSV, 422),
    "a quote that is not closed": (b'temp\n"planted-secret\n1\n2\n', CSV, 400),
    "rows of unequal lengths in csv": (b"temp,hour\n1\n1,2,planted-secret\n3,4\n", CSV, 200),
    "json as ndjson": (encoded([ROW]), NDJSON, 200),
    "json as csv": (encoded(ROW), CSV, 200),
    "json as arrow": (encoded(ROW), ARROW, 400),
    "json as parquet": (encoded(ROW), PARQUET, 400),
    "gzip without saying so": (gzip.compress(encoded(ROW)), JSON, 400),
    "saying gzip without it": (encoded(ROW), {**JSON, "content-encoding": "gzip"}, 400),
    "deflate": (zlib.compress(encoded(ROW)), {**JSON, "content-encoding": "deflate"}, 415),
    "two encodings": (encoded(ROW), {**JSON, "content-encoding": "gzip, gzip"}, 415),
    "gzip with a tail": (gzip.compress(encoded(ROW)) + b"planted-secret", {**JSON, "content-encoding": "gzip"}, 400),
    "no content type": (encoded(ROW), {}, 415),
    "an unknown content type": (encoded(ROW), {"content-type": "application/planted-secret"}, 415),
    "a broken content type": (encoded(ROW), {"content-type": ";;;="}, 415),
    "another character set": (encoded(ROW), {"content-type": "application/json; charset=utf-16"}, 415),
    "multipart": (b"--b\r\n\r\nplanted-secret", {"content-type": "multipart/form-data; boundary=b"}, 415),
    "an absolute bomb": (gzip.compress(b"[" + b" " * 50_000_000 + b"]"), {**JSON, "content-encoding": "gzip"}, 413),
    "a bomb in a bomb": (gzip.compress(gzip.compress(b"0" * 10_000_000)), {**JSON, "content-encoding": "gzip"}, 400),
    "a zstd bomb": (zstandard.compress(b" " * 50_000_000), {**JSON, "content-encoding": "zstd"}, 413),
}


TOO_LARGE = {
    "too many bytes": (b"[" + b"1," * 1_000_000 + b"1]", JSON),
    "too many bytes when inflated": (
        gzip.compress(b"[" + b"1," * 1_000_000 + b"1]"),
        {**JSON, "content-encoding": "gzip"},
    ),
    "too many rows": (b"[" + b"{}," * 5_000 + b"{}]", JSON),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Answers of one service to all bodies, each sent beside a row as one should; and its log."""

    async def scenario(api):
        await api.model()
        found = {}
        for case, (content, headers, *_) in {**CASES, **TOO_LARGE}.items():
            found[case], beside = await asyncio.gather(api.send(content, headers=headers), api.send(ROW))
            assert beside.json()["accepted"] == 1
        return found, api.log

    return served(tmp_path_factory.mktemp("hostile"), scenario)


@pytest.mark.parametrize("case", CASES)
def test_a_body_that_nobody_should_send_has_its_answer_and_it_holds_no_value(answers, case):
    answer = answers[0][case]

    assert answer.status_code == CASES[case][2], answer.text[:500]
    assert answer.status_code == 200 or problem_in(answer, answer.status_code)
    assert SECRET not in answer.text
    assert len(answer.content) < 4_000


def test_no_value_of_a_hostile_body_is_logged(answers):
    assert SECRET not in answers[1]
    assert "failed" not in answers[1]


@pytest.mark.parametrize("case", TOO_LARGE)
def test_what_is_too_large_for_json_is_told_what_to_send_instead(answers, case):
    assert "send application/x-ndjson" in problem_in(answers[0][case], 413)["detail"]


def test_rows_that_are_none_are_named_with_their_numbers(answers):
    answer = answers[0]["rows that are none"].json()

    assert (answer["accepted"], answer["rejected"]) == (1, 4)
    assert [(error["row"], error["reason"]) for error in answer["errors"]] == [
        (row, "not an object") for row in (1, 2, 3, 4)
    ]


def cuts_of(content):
    """Where to cut: everywhere if it is short, else at every byte of its end and at two hundred before."""
    return sorted(
        {*range(0, len(content), max(1, len(content) // 200)), *range(max(0, len(content) - 40), len(content))}
    )


@pytest.mark.parametrize("form", ["rows", "columns", "csv", "arrow", "parquet"])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_a_body_that_is_cut_anywhere_is_refused(tmp_path, form, encoding):
    packed = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}[encoding]
    content = packed(body_of(form, [{**ROW, "weather": SECRET}] * 2))

    async def scenario(api):
        await api.model()
        answers = [await api.send(content[:size], headers=headers_of(form, encoding)) for size in cuts_of(content)]
        return answers, (await api.send(ROW)).json()["accepted"], await api.rows(), api.log

    answers, accepted, rows, log = served(tmp_path, scenario)

    found = {answer.status_code for answer in answers}
    if form == "csv" and encoding == "identity":
        assert found == {200, 400}  # what is cut behind a cell is a whole body, too
    elif form == "arrow":
        assert found <= {200, 400}  # a stream may end without its end mark
        assert answers[-1].status_code == 400 or encoding == "identity"
    else:
        assert found == {400}
        assert rows == 1
    assert accepted == 1
    assert SECRET not in log + "".join(answer.text for answer in answers)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def hammered(folder, bodies, *, learning=False, examples=150):
    """Send bodies of a strategy, each with its headers, to one service; no answer is a 500, and no value is logged."""

    async def scenario(api):
        if learning:
            await api.client.put("/v1/models/m", json={})
        else:
            await api.model()
        loop = asyncio.get_running_loop()

        @given(body=bodies)
        @settings(max_examples=examples)
        def check(body):
            content, headers = body
            answer = asyncio.run_coroutine_threadsafe(api.send(content, headers=headers), loop).result(60)
            assert answer.status_code in {200, 400, 413, 422}, answer.text

        await asyncio.to_thread(check)
        assert (await api.send(ROW)).json()["accepted"] == 1
        assert "could not be counted" not in api.log
        assert "request failed" not in api.log

    served(folder, scenario)


@pytest.mark.parametrize("learning", [False, True])
def test_no_json_is_a_500(tmp_path, learning):
    values = JSON_VALUES | st.lists(st.dictionaries(st.sampled_from(list(ROW)), JSON_VALUES))

    hammered(tmp_path, values.map(lambda value: (json.dumps(value).encode(), JSON)), learning=learning)


def test_no_bytes_are_a_500(tmp_path):
    forms, encodings = st.sampled_from(list(TYPES)), st.sampled_from(["identity", "gzip", "zstd"])

    hammered(tmp_path, st.tuples(st.binary(max_size=300), st.builds(headers_of, forms, encodings)))


@pytest.mark.parametrize("form", ["arrow", "parquet", "csv", "ndjson"])
def test_no_change_of_a_few_bytes_is_a_500(tmp_path, form):
    body = body_of(form, rows_of(3))

    def changed(changes):
        content = bytearray(body)
        for place, byte in changes:
            content[place % len(content)] = byte
        return bytes(content), headers_of(form)

    changes = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=4)
    hammered(tmp_path, changes.map(changed))


@pytest.mark.parametrize(
    ("version", "status"), [("nope", 404), ("", 200), ("1", 200), ("%00", 404), ("%ff", 404), ("x" * 9_000, 404)]
)
def test_a_version_that_is_none_is_not_found(tmp_path, version, status):
    async def scenario(api):
        await api.model()
        return await api.client.post(f"{PATH}?version={version}", json=ROW)

    answer = served(tmp_path, scenario)

    assert answer.status_code == status
    assert status == 200 or problem_in(answer, 404)["detail"].startswith("no such version of the model")


@pytest.mark.parametrize("query", [b"version=1&version=nope", b"&&&", b"=", b"\xff", b"version", b"a=1&version=1"])
def test_queries_of_any_form_are_answered(tmp_path, query):
    async def scenario(api):
        await api.model()
        return await asgi(api.service.application, path=PATH, pieces=[encoded(ROW)], query=query)

    assert served(tmp_path, scenario).status_code in {200, 404}


def test_an_unknown_model_is_not_found_or_learned_as_settings_say(tmp_path):
    async def scenario(api):
        answers = [await api.send(ROW, model="new"), await api.send([ROW, ROW], model="new")]
        return answers, list(api.service.registry.models)

    refused, none = served(tmp_path, scenario)
    taken, learned = served(tmp_path, scenario, limits={"unknown_models": "learn"})

    for answer in refused:
        problem_in(answer, 404)
    assert none == []
    assert [answer.json()["accepted"] for answer in taken] == [1, 2]
    assert learned == ["new"]


def test_many_who_send_the_first_rows_of_a_model_at_once_make_it_once(tmp_path):
    async def scenario(api):
        answers = await asyncio.gather(*(api.send([ROW] * 2, model="new") for _ in range(20)))
        return [answer.status_code for answer in answers], await api.rows("new")

    assert served(tmp_path, scenario, store="sqlite", limits={"unknown_models": "learn"}) == ([200] * 20, 40)


@pytest.mark.parametrize("end", ["silent", "gone"])
@pytest.mark.parametrize("form", ["rows", "ndjson", "csv", "arrow", "parquet"])
def test_a_sender_that_stops_in_the_middle_is_given_up_and_not_counted(tmp_path, form, end):
    body = body_of(form, rows_of(5))

    async def scenario(api):
        await api.model()
        answer = await asgi(
            api.service.application, path=PATH, pieces=[body[:10], body[10:20]], headers=headers_of(form), end=end
        )
        return answer, await api.rows()

    answer, rows = served(tmp_path, scenario, limits={"silence_timeout": "1s"})

    assert rows == 0
    if end == "gone":
        assert answer is None
    else:
        assert problem_in(answer, 408)["detail"] == "the body did not come in time"
        assert answer.headers["connection"] == "close"
