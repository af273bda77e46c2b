"""Cells of rows to columns: what a row means does not depend on the rows beside it, nor on the format."""

import math

import numpy as np
import pytest
from bodies import FORMATS, body_of, counts_in, decoded
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from detectors.binning import Binner
from detectors.columns import CategoricalColumn, NumericColumn
from service.ingest.decode import RowSchema, columns_of, decode_json, number_matrix


def numeric(name, points):
    points = np.asarray(points)
    return NumericColumn(name=name, role="input", points=points, atoms=np.ones(points.size, dtype=np.bool_))


COLUMNS = (
    numeric("floats", [-1.5, 0.0, 1.0, 2.0**53, 1e300]),
    numeric("integers", np.array([0, 1, 2**53 + 1, 2**60 + 1])),
    numeric("large", np.array([1, 2**63 + 1, 2**64 - 1], dtype=np.uint64)),
    CategoricalColumn(
        name="words", role="input", categories=("a", "1", "true", "0.5"), pools=(0,), others=np.empty(0, np.uint64)
    ),
)
NAMES = tuple(column.name for column in COLUMNS)
CELLS = st.one_of(
    st.sampled_from(
        [0, 1, 0.0, -0.0, 1.0, 0.5, True, False, None, "", "a", "12", "NaN", 2**53, 2**53 + 1, -(2**63), 2**63]
    ),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(0, 1), max_size=2),
    st.just(UNSET),
    st.just({"a": 1}),
    st.just(10**400),
)
COLUMN = st.one_of(
    st.lists(st.floats(), min_size=1, max_size=200),
    st.lists(st.integers(-(2**54), 2**54), min_size=1, max_size=70),
    st.lists(st.booleans(), min_size=1, max_size=70),
    st.lists(st.one_of(st.just(0.5), st.booleans()), min_size=1, max_size=200),
    st.lists(st.one_of(st.floats(), st.none(), st.just(UNSET)), min_size=1, max_size=70),
    st.lists(CELLS, min_size=1, max_size=70),
)


def local_bins(columns, rows):
    found = dict.fromkeys(range(len(COLUMNS)))
    for index, bins, observed in Binner(COLUMNS).observed_bins(columns, rows):
        found[index] = np.where(np.ones(rows, np.bool_) if observed is None else observed, bins, -1).tolist()
    return [found[index] or [-1] * rows for index in found]


@given(column=COLUMN)
def test_a_row_falls_in_the_same_bins_alone_and_among_others(column):
    cells = [(cell, cell, cell, cell) for cell in column]

    together = local_bins(columns_of(cells, NAMES), len(cells))

    alone = [local_bins(columns_of([row], NAMES), 1) for row in cells]
    assert together == [[row[index][0] for row in alone] for index in range(len(COLUMNS))]


@given(column=COLUMN)
def test_the_matrix_counts_as_the_columns_do(column):
    numbers = COLUMNS[:3]
    cells = [("text", cell, cell, cell) for cell in column]

    matrix = number_matrix(cells, (1, 2, 3))

    if matrix is not None:
        columns = columns_of([row[1:] for row in cells], NAMES[:3])
        binner = Binner(numbers)
        assert binner.count_rows(matrix).tolist() == binner.count(columns, len(cells)).tolist()
    else:
        plain = all(isinstance(cell, float | bool) or cell is None for cell in column)
        assert not plain


def test_the_matrix_takes_numbers_and_null_only():
    assert number_matrix([(1, 2.5), (None, 2**60)], (0, 1)).tolist()[0] == [1, 2.5]
    assert math.isnan(number_matrix([(1, 2.5), (None, 2)], (0,))[1, 0])
    assert number_matrix([(1, "12")], (0, 1)) is None
    assert number_matrix([(1, UNSET)], (0, 1)) is None
    assert number_matrix([(None, [1])], (0, 1)) is None
    assert number_matrix([(1, 2**53 + 1)], (0, 1)) is None
    assert number_matrix([(1, 10**400)], (0, 1)) is None
    assert number_matrix([(1, 2)], (1, 0)).tolist() == [[2, 1]]
    assert number_matrix([], (0, 1)).shape == (0, 2)
    assert number_matrix([(1,)], ()).shape == (1, 0)


def test_columns_take_the_narrowest_form_that_loses_nothing():
    def dtype(*cells):
        return columns_of([(cell,) for cell in cells], ("c",))["c"].values.dtype

    assert dtype(1.5, 2) == dtype(1.5, None) == dtype(*range(50)) == dtype(*[0.5] * 200) == np.float64
    assert dtype(True, False) == dtype(*[True] * 200) == np.bool_
    assert dtype(2**60) == dtype(*[2**60] * 200) == np.int64
    assert dtype(*[10**400] * 200, 0.5) == dtype(10**400) == dtype(2**60, 10**400) == dtype(*["a"] * 50) == np.object_
    assert dtype(2**63) == dtype(2**60, 0.5) == dtype(1, True) == dtype("a") == dtype(None) == dtype([1]) == np.object_


def test_absent_cells_have_a_mask_and_columns_without_any_cell_are_left_out():
    columns = columns_of([(1.0, UNSET, UNSET), (UNSET, UNSET, "x")], ("a", "b", "c"))

    assert list(columns) == ["a", "c"]
    assert columns["a"].absent.tolist() == [False, True]
    assert columns["c"].absent.tolist() == [True, False]
    assert columns_of([], ("a",)) == {}


WHOLE = st.fixed_dictionaries(
    {
        "floats": st.one_of(st.none(), st.floats(), st.integers(-5, 5).map(float)),
        "integers": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-2, 2)),
        "large": st.integers(0, 2**63 - 1),
        "words": st.one_of(st.none(), st.sampled_from(["a", "1", "true", "0.5", "b", "\u00fc"])),
        "unknown": st.booleans(),
    }
)


@pytest.mark.parametrize("form", FORMATS)
@given(rows=st.lists(WHOLE, min_size=1, max_size=40))
def test_every_format_falls_in_the_same_bins(form, rows):
    if form == "csv":  # there an empty cell is all that says null
        rows = [{name: "" if cell is None else cell for name, cell in row.items()} for row in rows]
    schema = RowSchema(NAMES)
    expected = counts_in(COLUMNS, [decode_json(body_of("rows", [row]), schema) for row in rows])
    if form == "csv":
        expected = counts_in(COLUMNS, [part for row in rows for part in decoded("csv", body_of("csv", [row]), schema)])
        nulls = [{name: None if cell == "" else cell for name, cell in row.items()} for row in rows]
        assert expected == counts_in(COLUMNS, [decode_json(body_of("rows", nulls), schema)])

    parts = decoded(form, body_of(form, rows), schema)

    assert counts_in(COLUMNS, parts) == expected
    assert frozenset().union(*(part.ignored for part in parts)) == {"unknown"}
    assert sum(part.ignored_cells for part in parts) == len(rows)


def test_text_that_reads_as_a_number_is_a_number_in_csv_only():
    schema = RowSchema(["floats"])
    column = [COLUMNS[0]]
    twelve = counts_in(column, [decode_json(b'{"floats": 12}', schema)])

    assert counts_in(column, decoded("csv", b"floats\n12\n", schema)) == twelve
    invalid = counts_in(column, [decode_json(b'{"floats": "12"}', schema)])
    assert invalid[-1] == 1
    assert counts_in(column, [decode_json(b'{"floats": [12]}', schema)]) == invalid
    assert counts_in(column, [decode_json(b'{"columns": {"floats": ["12"]}}', schema)]) == invalid
