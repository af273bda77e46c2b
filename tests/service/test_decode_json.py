"""JSON bodies: every shape, every limit, every broken byte."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
from bodies import rows_in
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from service.errors import DecodeError, RowError
from service.ingest.decode import DecodedColumns, DecodedRows, JsonLimits, RowSchema, decode_json


def schema(*names, seen=None):
    made = RowSchema(names)
    if seen is not None:
        decode_json(json.dumps(seen).encode(), made)
    return made


def error_of(body):
    try:
        decode_json(body, RowSchema(["a"]))
    except DecodeError as error:
        return error
    return None


def refused(body, names=("a", "b"), **limits):
    with pytest.raises(DecodeError) as caught:
        decode_json(body, RowSchema(names), JsonLimits(**limits))
    return caught.value


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "b": "x"}', b'[{"a": 1, "b": "x"}]', b'{"rows": [{"b": "x", "a": 1}]}', b'\xef\xbb\xbf {"a": 1, "b": "x"}',
        b'\n[{"\\u0061": 1, "b": "\\u0078"}]', b'{"a": 7, "b": "x", "a": 1}', b'{ "rows" : [{"a": 1, "b": "x"}] }',
    ],
)  # fmt: skip
@pytest.mark.parametrize("seen", [None, {"a": 0}, {"b": 0, "a": 0}, {"z": 0, "b": 0}])
def test_rows_come_in_every_shape(body, seen):
    found = decode_json(body, schema("a", "b", seen=seen))

    assert isinstance(found, DecodedRows)
    assert (found.names, found.cells, list(found.numbers)) == (("a", "b"), [(1, "x")], [1])
    assert (found.rejected, found.errors, found.ignored, found.ignored_cells) == (
        0,
        (),
        frozenset(),
        0,
    ) or not found.errors


def test_columns_are_lists_of_one_length():
    found = decode_json(b'{"columns": {"a": [1, 2.5, null], "z": [1, 2, 3], "b": ["x", true, []]}}', schema("a", "b"))

    assert isinstance(found, DecodedColumns)
    assert (found.rows, list(found.numbers), found.ignored, found.ignored_cells) == (3, [1, 2, 3], {"z"}, 3)
    assert found.columns["a"].values.tolist()[:2] == [1, 2.5]
    assert found.columns["b"].values.tolist() == ["x", True, []]


@pytest.mark.parametrize("body", [b"[]", b'{"rows": []}', b'{"columns": {}}', b'{"columns": {"a": []}}'])
def test_a_body_may_have_no_rows(body):
    found = decode_json(body, schema("a", seen={"a": 1}))

    assert rows_in(found) == 0
    assert list(found.numbers) == []


def test_what_is_no_row_is_rejected_and_the_others_keep_their_numbers():
    found = decode_json(b'[{"a": 1}, 2, [], {"b": 3}, null]', schema("a", "b", seen={"a": 1}))

    assert found.cells == [(1, UNSET), (UNSET, 3)]
    assert list(found.numbers) == [1, 4]
    assert found.rejected == 3
    assert found.errors[0] == RowError(row=2, reason="not an object")


def test_ten_rejected_rows_are_described_and_all_are_counted():
    found = decode_json(json.dumps([1] * 50).encode(), schema("a"))

    assert (found.rejected, len(found.errors)) == (50, 10)


@pytest.mark.parametrize("seen", [None, {"a": 1}])
def test_unknown_columns_are_ignored_counted_and_named(seen):
    made = schema("a", seen=seen)
    body = b'[{"a": 1, "x": 2}, {"y": [1], "x": 2}, {"a": 3}]'

    first, again = decode_json(body, made), decode_json(body, made)

    for found in (first, again):
        assert found.cells == [(1,), (UNSET,), (3,)]
        assert (found.ignored, found.ignored_cells) == ({"x", "y"}, 3)
    assert made.shape.extras
    assert made.shape.many.decode(body)  # the second body went the fast way


def test_names_that_may_be_no_fields_are_still_found():
    names = ('say "x"', "back\\slash", "new\nline", "\u00fcnicode", " ")
    made = schema(*names)
    row = dict.fromkeys(names, 1)

    for _ in range(2):
        found = decode_json(json.dumps([row | {"q\n": 2, "r": 3}]).encode(), made)
        assert found.cells == [(1, 1, 1, 1, 1)]
        assert (found.ignored, found.ignored_cells) == ({"q\n", "r"}, 2)
    assert made.shape is None


def test_extra_names_are_remembered_up_to_a_limit():
    made = schema("a")
    for start in range(0, 400, 50):
        row = {f"x{i}": i for i in range(start, start + 50)}
        found = decode_json(json.dumps(row | {"a": 1}).encode(), made)
        assert (found.cells, found.ignored_cells, len(found.ignored)) == ([(1,)], 50, 50)

    assert len(made.shape.extras) == 256
    assert len(decode_json(json.dumps({f"y{i}": 0 for i in range(400)}).encode(), made).ignored) == 256
    monster = decode_json(json.dumps({"a": 1, "n" * 300: 2}).encode(), made)
    assert (monster.ignored, monster.ignored_cells) == (frozenset(), 1)


def test_wide_schemas_are_decoded_as_well():
    names = [f"c{i}" for i in range(300)]
    made = schema(*names)
    row = dict.fromkeys(names, 1)

    for body in (row, row | {"z": 1}, dict(reversed(row.items()))):
        assert decode_json(json.dumps(body).encode(), made).cells == [(1,) * 300]
    assert made.shape is None
    assert decode_json(b"[{}, {}]", schema()).cells == [(), ()]


def test_fields_stand_in_the_order_that_comes():
    made = schema("a", "b", "c", seen={"c": 1, "z": 9, "a": 2})

    found = decode_json(b'{"c": 3, "z": 4, "a": 1, "b": 2}', made)

    assert (found.cells, found.ignored_cells) == ([(1, 2, 3)], 1)
    assert [field for field, _ in made.shape.extras] == ["z"]


def test_an_open_schema_takes_up_columns_as_they_come():
    made = RowSchema.open(columns_max=3)

    first = decode_json(b'[{"a": 1}, {"b": 2, "a": 3}]', made)
    second = decode_json(b'{"c": 1, "": 5, "d": 2, "a": 3}', made)
    third = decode_json(b'{"d": 1, "c": 2}', made)

    assert (first.names, first.cells) == (("a", "b"), [(1, UNSET), (3, 2)])
    assert (second.names, second.cells) == (("a", "b", "c"), [(3, UNSET, 1)])
    assert (second.ignored, second.ignored_cells) == ({"", "d"}, 2)
    assert (third.names, third.cells, third.ignored_cells) == (("a", "b", "c"), [(UNSET, UNSET, 2)], 1)
    assert made.names == ("a", "b", "c")


def test_an_open_schema_of_columns_learns_their_names():
    made = RowSchema.open()

    found = decode_json(b'{"columns": {"a": [1], "b": [2]}}', made)
    then = decode_json(b'{"b": 1}', made)

    assert list(found.columns) == ["a", "b"]
    assert then.cells == [(UNSET, 1)]
    assert decode_json(b'{"columns": {"c": [1]}}', made).ignored == frozenset()
    assert decode_json(b'{"a": 1, "c": 2}', made).cells == [(1, UNSET, 2)]


def test_a_schema_may_be_used_by_threads():
    made = RowSchema.open(columns_max=100)

    def learn(i):
        found = decode_json(json.dumps({f"c{i % 120}": i, "a": i}).encode(), made)
        return dict(zip(found.names, found.cells[0], strict=True))["a"] == i

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(learn, range(600)))
    assert len(made.names) == len(set(made.names)) == 100


@pytest.mark.parametrize("seen", [None, {"a": 1, "rows": 1, "columns": 1}])
def test_columns_may_be_called_rows_and_columns(seen):
    made = schema("a", "rows", "columns", seen=seen)

    assert decode_json(b'{"rows": 5}', made).cells == [(UNSET, 5, UNSET)]
    assert decode_json(b'{"columns": "x", "a": 1}', made).cells == [(1, UNSET, "x")]
    assert decode_json(b'{"a": 1, "rows": []}', made).cells == [(1, [], UNSET)]
    assert decode_json(b'{"rows": [{"a": 2}]}', made).cells == [(2, UNSET, UNSET)]
    assert decode_json(b'{"columns": {"a": [1]}}', made).rows == 1


@pytest.mark.parametrize("seen", [None, {"a": 1}, {"a": 1, "x": 1}])
@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"rows": 5}', "'rows': wanted a list"), (b'{"columns": [1]}', "'columns': wanted an object"),
        (b'{"rows": [], "x": 1}', "'rows' beside other keys"), (b'{"a": 1, "columns": {}}', "'columns' beside other keys"),
        (b'{"columns": {"a": 1}}', "no list"), (b'{"columns": {"a": [1], "b": [1, 2]}}', "unequal lengths"),
        (b"3", "wanted a row"), (b'"x"', "wanted a row"), (b"null", "wanted a row"), (b"NaN", "wanted a row"),
    ],
)  # fmt: skip
def test_json_of_another_form_is_not_valid(body, detail, seen):
    made = schema("a", "b", seen=seen)

    with pytest.raises(DecodeError, match=detail) as caught:
        decode_json(body, made)

    assert caught.value.status == 422


def test_lists_of_unequal_lengths_say_where():
    error = refused(b'{"columns": {"a": [1, 2], "b": [1]}}')

    assert error.errors == (RowError(row=2, column="b", reason="1 values where the first column has 2"),)


def test_limits_name_the_way_out():
    rows = refused(json.dumps([{}] * 4).encode(), rows_max=3)
    columns = refused(b'{"columns": {"a": [1, 2, 3]}}', columns_rows_max=2)
    size = refused(b'{"a": 1111111}', bytes_max=10)
    wide = refused(json.dumps([{}] * 900).encode(), [f"c{i}" for i in range(6000)])

    assert {error.status for error in (rows, columns, size, wide)} == {413}
    assert "application/x-ndjson" in rows.detail
    assert "4 rows in one JSON body, wanted at most 3" in rows.detail
    assert "wanted at most 699" in wide.detail
    quick = schema("a", seen={"a": 1})
    with pytest.raises(DecodeError):
        decode_json(b'[{"a": 1}, {"a": 2}]', quick, JsonLimits(rows_max=1))


@pytest.mark.parametrize("seen", [None, {"a": 1}])
def test_tokens_that_python_writes_are_numbers(seen):
    made = schema("a", "b", seen=seen)

    rows = decode_json(b'[{"a": NaN}, {"a": Infinity, "b": -Infinity}, {"a": 1e999, "b": "x"}]', made)
    columns = decode_json(b'{"columns": {"a": [NaN, 1]}}', made)

    assert math.isnan(rows.cells[0][0])
    assert rows.cells[1:] == [(math.inf, -math.inf), (math.inf, "x")]
    assert math.isnan(columns.columns["a"].values[0])


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 2**64 + 1, 10**300, 10**400])
def test_integers_of_any_size_are_read(number):
    made = schema("a")

    for _ in range(2):
        assert decode_json(b'{"a": %d}' % number, made).cells == [(number,)]


@pytest.mark.parametrize("seen", [None, {"a": 1}])
@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"\xef\xbb\xbf", b"{", b'{"a": 1', b'{"a": 1}}', b'{"a": 1} {"a": 2}', b'{"a": "\xff"}', b'{"\xff": 1}',
        b'{"a": "\\ud800"}', b'{"a": "\xed\xa0\x80"}', b"{'a': 1}", b'{"a": 01}', b'{"a": nan}', b'{"a": -NaN}', b'{"a": N}',
        b'{"a": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"a": ' + b"[" * 100_000, b'{"a": NaN, "b": ' + b"[" * 5000,
        b'{"a": "x\ny"}', b"\0", b'{"a": 1}\0', b"a,b\n1,2\n", b"PAR1", b'{"rows": [{"a": 1}', b'{"columns": {"a": [1}}',
    ],
)  # fmt: skip
def test_what_is_no_json_is_unreadable(body, seen):
    with pytest.raises(DecodeError, match="cannot be read as JSON") as caught:
        decode_json(body, schema("a", "b", seen=seen))

    assert caught.value.status == 400


@pytest.mark.parametrize("seen", [None, {"a": 1, "b": 1}])
@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1.5, "b": "x\\u00fc"}',
        b'[{"a": 1}, {"z": [NaN]}]',
        b'{"rows": [{"a": 1}]}',
        b'{"columns": {"a": [1, 2]}}',
    ],
)
def test_a_body_cut_off_anywhere_is_unreadable(body, seen):
    made = schema("a", "b", seen=seen)

    for end in range(len(body)):
        with pytest.raises(DecodeError) as caught:
            decode_json(body[:end], made)
        assert caught.value.status == 400


@given(body=st.binary(max_size=40))
def test_random_bytes_are_refused_as_nothing_but_unreadable(body):
    error = error_of(body)

    assert error is None or error.status in {400, 422}


KEYS = st.sampled_from(["a", "b", "c", "x", "y", "", "rows", "q\\", "\u00fc"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


@given(
    bodies=st.lists(st.lists(st.dictionaries(KEYS, VALUES, max_size=6) | VALUES, max_size=4), max_size=4),
    names=st.lists(KEYS, unique=True, max_size=5),
    ascii_only=st.booleans(),
)
def test_the_fast_way_and_the_slow_way_are_one(bodies, names, ascii_only):
    made = RowSchema(names)

    for rows in bodies:
        body = json.dumps(rows, ensure_ascii=ascii_only).encode()
        found = decode_json(body, made)

        objects = [row for row in rows if isinstance(row, dict)]
        assert repr(found.cells) == repr([tuple(row.get(name, UNSET) for name in names) for row in objects])
        assert list(found.numbers) == [number for number, row in enumerate(rows, 1) if isinstance(row, dict)]
        unknown = [name for row in objects for name in row if name not in names]
        assert (found.ignored, found.ignored_cells) == (set(unknown), len(unknown))


def test_errors_hold_nothing_of_the_body():
    word = "xyzzy"
    bodies = [
        f'{{"a": "{word}"', f'{{"a": "{word}\\ud800"}}', f'"{word}"', f'["{word}"', f'{{"rows": "{word}"}}',
        f'{{"columns": {{"a": "{word}"}}}}', f"{word}", f'{{"a": {word}}}',
    ]  # fmt: skip

    for body in bodies:
        error = refused(body.encode())
        assert word not in error.detail + str(error) + str(error.errors)
        assert error.__suppress_context__ or error.__context__ is None


def test_nothing_is_made_anew_when_nothing_can_be_learned():
    made = schema("a", seen={"a": 1} | {f"x{i}": 1 for i in range(256)})
    shape = made.shape

    assert len(shape.extras) == 256
    decode_json(b'{"a": 1, "y": 2}', made)
    assert made.shape is shape


def test_an_unknown_column_may_be_called_rows_among_others():
    found = decode_json(b'{"a": 1, "rows": 5, "columns": 6}', schema("a"))

    assert (found.cells, found.ignored) == ([(1,)], {"rows", "columns"})
