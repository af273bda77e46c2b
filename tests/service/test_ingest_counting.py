"""Requests that are counted together are counted and answered as each of them alone."""

import json
from collections import defaultdict
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from making import reference_of
from serving import merge_sketches

from service.domain.configuration import ModelConfiguration
from service.errors import RowError
from service.ingest.blocks import blocks_of
from service.ingest.counting import count_block
from service.ingest.decode import NdjsonDecoder, decode_json
from service.ingest.fates import Clocked, Invalid
from service.ingest.pending import ERRORS_MAX, Answer, Pending
from service.ingest.schemas import Schemas
from service.ports import LEARNING
from service.registry.models import LiveModel, LiveReference, LiveVersion, Since
from service.storage.codec import summed, unwrap_sketch

HOUR_US = 3_600_000_000
NOW_US = 1_000 * HOUR_US
CLOCKED = Clocked(now_us=NOW_US, newest_us=NOW_US, watermark_us=NOW_US - HOUR_US)
RNG = np.random.default_rng(0)
REFERENCES = [
    LiveReference(
        id=name,
        reference=reference_of(
            {
                "x": RNG.normal(size=200),
                "n": RNG.integers(0, 9, 200).astype(float),
                "c": np.array(["a", "b", "c"], dtype=object)[RNG.integers(0, 3, 200)],
                extra: RNG.normal(size=200),
            },
            roles={extra: "output"},
            resolution=16,
        ),
    )
    for name, extra in (("r1", "y"), ("r2", "z"))
]


def model_of(since=(), **configuration):
    version = LiveVersion(model="m", version="1", since=since)
    return LiveModel(
        model="m",
        epoch=1,
        owner="api",
        configuration=ModelConfiguration.model_validate(configuration),
        versions={"1": version},
    )


MODELS = {
    "plain": model_of([Since(from_us=None, reference=REFERENCES[0])]),
    "timed": model_of([Since(from_us=None, reference=REFERENCES[0])], columns={"at": {"role": "time"}}, retention="2d"),
    "switched": model_of(
        [Since(from_us=None, reference=REFERENCES[0]), Since(from_us=NOW_US - 2 * HOUR_US, reference=REFERENCES[1])],
        columns={"at": {"role": "time"}},
    ),
    "learning": model_of(),
    "learning times": model_of(columns={"at": {"role": "time"}, "c": {"role": "output"}}),
}

NUMBERS = st.none() | st.floats(-5, 5) | st.integers(-3, 12) | st.just(2**60) | st.booleans() | st.just("x")
CATEGORIES = st.sampled_from(["a", "b", "c", "d", None, 1, True, [1], ""])
TIMES = st.integers(-50, 1).map(lambda hours: (NOW_US + hours * HOUR_US) // 1_000_000) | st.sampled_from(["x", None])
ROWS = st.fixed_dictionaries(
    {},
    optional={"x": NUMBERS, "n": NUMBERS, "c": CATEGORIES, "y": NUMBERS, "z": NUMBERS, "at": TIMES, "more": NUMBERS},
)
CLEAN = st.fixed_dictionaries({"x": st.floats(-5, 5), "n": st.integers(0, 9), "c": CATEGORIES, "y": st.floats(-5, 5)})
# Rows of one request, and whether they came as columns; in columns each row has all of them.
REQUESTS = st.lists(
    st.tuples(st.lists(ROWS | st.just(5), max_size=4) | st.lists(CLEAN, max_size=4), st.booleans()), max_size=8
)


def pending_of(model, schemas, rows, number, *, in_columns):
    schema = schemas.of(model, model.versions["1"])
    if in_columns:
        objects = [row for row in rows if isinstance(row, dict)]
        names = sorted({name for row in objects for name in row})
        body = {"columns": {name: [row.get(name) for row in objects] for name in names}}
    else:
        body = rows
    decoded = decode_json(json.dumps(body).encode(), schema)
    return Pending(model="m", version="1", decoded=decoded, received_us=NOW_US - number)


def counted(model, pendings):
    """Counts by reference and pane, rows and late ones among them; and what each request is answered."""
    version = model.versions["1"]
    payloads, numbers, answers = defaultdict(list), defaultdict(lambda: np.zeros(2, dtype=int)), {}
    for block in blocks_of(pendings):
        result = count_block(model, version, block, CLOCKED)
        for delta in result.deltas:
            # What is learned lies in a pane of its first row's; which one does not matter, all of them are merged.
            learned = delta.reference_id == LEARNING
            key = delta.reference_id, 0 if learned else delta.pane_start_us, 0 if learned else delta.window_start_us
            payloads[key].append(delta.payload)
            numbers[key] += delta.rows, delta.late
        for span, answer in zip(block.spans, result.answers, strict=True):
            answers[id(span.pending)] = answer
    return payloads, {key: some.tolist() for key, some in numbers.items()}, [answers[id(one)] for one in pendings]


def told(answers):
    return [(answer.body(), answer.reasons) for answer in answers]


def together(payloads):
    bins = {reference.id: reference.binner.layout.n_bins_total for reference in REFERENCES}
    return {
        key: merge_sketches([unwrap_sketch(one) for one in some])
        if key[0] == LEARNING
        else summed(some, bins[key[0]]).tolist()
        for key, some in payloads.items()
    }


@pytest.mark.parametrize("name", MODELS)
@given(requests=REQUESTS, data=st.data())
@settings(max_examples=60)
def test_any_grouping_gives_the_same_counts_and_the_same_answers(name, requests, data):
    model, schemas = MODELS[name], Schemas(100)
    pendings = [
        pending_of(model, schemas, rows, number, in_columns=in_columns)
        for number, (rows, in_columns) in enumerate(requests)
    ]
    order = data.draw(st.permutations(range(len(pendings))))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(pendings)), max_size=4)) | {0, len(pendings)})
    alone = [counted(model, [pending]) for pending in pendings]

    grouped = [counted(model, [pendings[place] for place in order[low:high]]) for low, high in pairwise(cuts)]

    def merged(parts):
        payloads, numbers = defaultdict(list), defaultdict(lambda: np.zeros(2, dtype=int))
        for some, rows, _ in parts:
            for key, values in some.items():
                payloads[key] += values
                numbers[key] += rows[key]
        return together(payloads), {key: values.tolist() for key, values in numbers.items()}

    assert merged(grouped) == merged(alone)
    answers = dict(zip(order, [answer for _, _, some in grouped for answer in some], strict=True))
    assert told([answers[place] for place in range(len(pendings))]) == told([answer for _, _, (answer,) in alone])


@given(rows=st.lists(CLEAN | ROWS, min_size=1, max_size=30))
@settings(max_examples=100)
def test_rows_as_one_matrix_are_counted_as_rows_in_columns(rows):
    model, schemas = MODELS["plain"], Schemas(100)
    whole = [{name: row.get(name) for name in ("x", "n", "c", "y")} for row in rows]
    as_rows, as_columns = (pending_of(model, schemas, whole, 0, in_columns=flag) for flag in (False, True))

    by_rows, by_columns = counted(model, [as_rows]), counted(model, [as_columns])

    assert together(by_rows[0]) == together(by_columns[0])
    assert by_rows[1] == by_columns[1]
    assert told(by_rows[2]) == told(by_columns[2])


@given(rows=st.lists(ROWS | st.sampled_from([5, []]), max_size=40), cuts=st.sets(st.integers(1, 39), max_size=5))
@settings(max_examples=50)
def test_every_row_has_one_fate(rows, cuts):
    model, schemas = MODELS["timed"], Schemas(100)
    bounds = sorted({0, len(rows)} | {cut for cut in cuts if cut < len(rows)})
    pendings = [pending_of(model, schemas, rows[low:high], 0, in_columns=False) for low, high in pairwise(bounds)]

    _, numbers, answers = counted(model, pendings)

    assert sum(answer.accepted + answer.rejected for answer in answers) == len(rows)
    assert sum(n for n, _ in numbers.values()) == sum(answer.accepted for answer in answers)
    assert sum(late for _, late in numbers.values()) == sum(answer.late for answer in answers)
    for answer in answers:
        assert sum(answer.reasons.values()) == answer.rejected
        assert len(answer.errors) <= ERRORS_MAX
        assert [error.row for error in answer.errors] == sorted(error.row for error in answer.errors)


def test_an_empty_request_does_not_move_the_times_of_those_beside_it():
    model, schemas = MODELS["plain"], Schemas(100)
    pendings = [
        pending_of(model, schemas, rows, number * HOUR_US, in_columns=False)
        for number, rows in enumerate([[], [{"x": 1}] * 2, [], [{"x": 1}] * 2])
    ]

    _, numbers, _ = counted(model, pendings)

    assert {pane: rows for (_, pane, _), (rows, _) in numbers.items()} == {NOW_US - HOUR_US: 2, NOW_US - 3 * HOUR_US: 2}


def test_a_thousand_requests_in_a_block_are_each_told_of_their_own_cells():
    model, schemas = MODELS["plain"], Schemas(100)
    rows = [{"x": "wrong" if number % 3 == 0 else 1.0, "n": 1, "c": "a", "y": 1.0} for number in range(1_000)]
    pendings = [pending_of(model, schemas, [row], 0, in_columns=False) for row in rows]

    _, _, answers = counted(model, pendings)

    assert [len(answer.errors) for answer in answers] == [int(number % 3 == 0) for number in range(1_000)]
    assert {error.row for answer in answers for error in answer.errors} == {1}


def test_of_many_wrong_cells_of_a_request_the_first_ten_of_each_column_are_kept():
    invalid = Invalid()
    invalid.note("a", np.arange(0, 40, 2))
    invalid.note("b", np.array([31, 39]))
    kept = np.ones(50, dtype=bool)
    kept[10:20] = False

    found = invalid.by_span(kept, np.array([5, 25, 50]))

    assert found[0] == [(0, "a"), (2, "a"), (4, "a")]
    assert found[1] == [(6, "a"), (8, "a"), (20, "a"), (22, "a"), (24, "a")]
    assert found[2] == [(row, "a") for row in range(26, 46, 2)] + [(41, "b"), (49, "b")]


# What is answered

ERRORS = st.lists(
    st.builds(RowError, row=st.integers(1, 99), column=st.none() | st.text(max_size=5), reason=st.text(max_size=9)),
    max_size=12,
)
ANSWERS = st.builds(
    Answer,
    accepted=st.integers(0, 99),
    rejected=st.integers(0, 99),
    late=st.integers(0, 99),
    duplicate=st.booleans(),
    errors=ERRORS,
    ignored=st.lists(st.text(max_size=5), max_size=12, unique=True),
)


@given(answer=ANSWERS)
def test_an_answer_is_given_again_as_it_was_but_for_being_a_duplicate(answer):
    again = Answer.again(answer.body())

    assert msgspec.json.decode(again.body()) == {**msgspec.json.decode(answer.body()), "duplicate": True}


@given(answers=st.lists(ANSWERS, min_size=3, max_size=3))
def test_answers_of_chunks_add_up_in_their_order_whatever_is_added_first(answers):
    first, second, third = answers

    left, right = first.merged(second).merged(third), first.merged(second.merged(third))

    assert left == right
    assert left.accepted == sum(answer.accepted for answer in answers)
    assert left.duplicate == all(answer.duplicate for answer in answers)
    assert len(left.errors) <= ERRORS_MAX


def test_lines_of_a_stream_keep_their_numbers_over_its_chunks():
    model, schemas = MODELS["plain"], Schemas(100)
    decoder = NdjsonDecoder(schemas.of(model, model.versions["1"]), chunk_rows=2)
    body = b'{"x":"a"}\n\n{"x":1}\n5\n{"x":"b"}\n'
    parts = [*decoder.feed(body), *decoder.finish()]

    pendings = [Pending(model="m", version="1", decoded=part, received_us=NOW_US) for part in parts]
    _, _, answers = counted(model, pendings)

    assert [error.row for answer in answers for error in answer.errors] == [1, 4, 5]
