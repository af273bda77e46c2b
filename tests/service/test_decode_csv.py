"""CSV bodies, read as CSV files are."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import DecodeError, InputError, RowError
from service.formats import open_source
from service.ingest.decode import RowSchema, decode_csv


def parts_of(body, *names):
    return list(decode_csv(body, RowSchema(names)))


def refused(body):
    with pytest.raises(DecodeError) as caught:
        parts_of(body, "a")
    return caught.value


def cells_of(body, *names):
    [part] = parts_of(body, *names)
    return {name: list(values.cells) for name, values in part.columns.items()}


def test_the_first_line_names_the_columns():
    [part] = parts_of(b"a,x,b\n1,2,3\n,5,6\n", "b", "a", "c")

    assert {name: list(values.cells) for name, values in part.columns.items()} == {"a": ["1", ""], "b": ["3", "6"]}
    assert (part.rows, list(part.numbers), part.ignored, part.ignored_cells) == (2, [1, 2], {"x"}, 2)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_commas_semicolons_and_tabs_part_the_columns(mark):
    assert cells_of(f"\ufeff\n a{mark}b\r\n1{mark}2\r\n\r\n".encode(), " a", "b") == {" a": ["1"], "b": ["2"]}


def test_rows_of_another_width_are_rejected_and_the_others_keep_their_numbers():
    [part] = parts_of(b'a,b\n1,2\n3\n\n4,5\n6,7,8\n"9"x,1\n', "a")

    assert list(part.columns["a"].cells) == ["1", "4"]
    assert list(part.numbers) == [1, 3]
    assert part.rejected == 3
    assert part.errors == [
        RowError(row=row, reason=f"{cells} cells where the header has 2") for row, cells in ((2, 1), (4, 3), (5, 3))
    ]


def test_in_a_single_column_a_blank_line_is_an_empty_cell():
    assert cells_of(b"a\n1\n\n2\n", "a") == {"a": ["1", "", "2"]}


def test_a_body_may_have_no_rows():
    assert parts_of(b"a,b\n", "a") == []
    [part] = parts_of(b"a,b\n1\n", "a")
    assert (part.rows, part.columns, part.rejected) == (0, {}, 1)


def test_a_body_without_a_known_column_has_rows_all_the_same():
    [part] = parts_of(b"x,y\n1,2\n", "a")

    assert (part.rows, part.columns, part.ignored_cells) == (1, {}, 2)


def test_an_open_schema_takes_up_the_header_but_for_names_that_are_none():
    schema = RowSchema.open()
    [part] = decode_csv(b",a,b\n0,1,2\n", schema)

    assert list(part.columns) == ["a", "b"] == list(schema.names)
    assert part.ignored == {""}


def test_parts_are_of_bounded_size_and_numbered_on():
    body = b"a\n" + b"1\n" * 40_000 + b"1,2\n" + b"2\n"

    parts = parts_of(body, "a")

    assert [part.rows for part in parts] == [16_384, 16_384, 7_233]
    assert parts[1].numbers[0] == 16_385
    assert (parts[2].numbers[-1], parts[2].errors[0].row) == (40_002, 40_001)


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "no header"), (b"\n \n", 400, "no header"), (b"a,b\0\n", 400, "NUL"), (b"a\n\xff\n", 400, "UTF-8"),
        (b"a,a\n1,2\n", 422, "names 1 columns more than once"), (b'a\n1\n2\n"3\n4\n', 400, "row 3: a quote that is not closed"),
        (b'"a\n', 400, "the header: a quote"), (b'"a"x\n', 400, "the header: "), (b"a\n" + b"x" * 200_000, 400, "row 1: field larger"),
        (b"," * 10_001 + b"\n", 413, "10,002 columns"),
    ],
)  # fmt: skip
def test_what_is_no_csv_is_refused(body, status, detail):
    error = refused(body)

    assert error.status == status
    assert detail in error.detail


def test_a_body_cut_off_anywhere_is_read_or_refused():
    body = b'\xef\xbb\xbfa;b\r\n1;"x\r\ny"\r\n2;\xc3\xbc\r\n'

    for end in range(len(body)):
        try:
            parts = parts_of(body[:end], "a", "b")
        except DecodeError:
            continue
        assert sum(part.rows + part.rejected for part in parts) <= 2


TEXT = st.text(st.sampled_from('ab1,;\t"\n\r \u00fc\ufeff'), max_size=40)


@given(text=TEXT, header=st.sampled_from(["", "a\n", "a,b\n", "a;b\r\n"]))
def test_a_body_has_the_meaning_of_a_file(text, header, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "data.csv"
    path.write_bytes((header + text).encode())
    try:
        batches = list(open_source([path]).batches())
    except InputError:
        batches = None
    try:
        parts = list(decode_csv((header + text).encode(), RowSchema.open()))
    except DecodeError:
        parts = None

    if batches is None:  # a file of which no row can be read is refused, a body has its rows rejected
        assert parts is None or not any(part.rows for part in parts)
        return
    if parts is None:  # of a header with text behind a quote a file makes one column without a name
        assert {name for batch in batches for name in batch.columns} <= {""}
        return
    rejected = sum(batch.rejected for batch in batches)
    assert [part.rows for part in parts] == [batch.rows for batch in batches if batch.rows or batch.rejected]
    assert sum(part.rejected for part in parts) == rejected
    for part, batch in zip(parts, batches, strict=False):
        expected = {name: list(values.cells) for name, values in batch.columns.items() if name}
        assert {name: list(values.cells) for name, values in part.columns.items()} == expected


@given(
    rows=st.lists(
        st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=4), min_size=2, max_size=2),
        min_size=1,
        max_size=9,
    )
)
def test_what_is_written_is_read(rows):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["a", "b"])
    writer.writerows(rows)

    cells = cells_of(text.getvalue().encode(), "a", "b")

    assert [list(row) for row in zip(cells["a"], cells["b"], strict=True)] == rows


@given(body=st.binary(max_size=40))
def test_random_bytes_are_read_or_refused(body):
    try:
        parts_of(body, "a")
    except DecodeError as error:
        refusal = error.status
    else:
        refusal = 400
    assert refusal in {400, 422}
