"""Batches to counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from making import counts_of, reference_of

from detectors.binning import Binner, ColumnValues, DictionaryValues
from detectors.binning.values import Numbers


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(0)
    columns = {
        "a": rng.standard_normal(3000),
        "b": rng.integers(0, 5, 3000),
        "c": rng.choice(["x", "y", "z"], 3000),
        "d": rng.standard_cauchy(3000),
        "p": rng.random(3000),
    }
    return reference_of(columns, roles={"p": "output"})


def window(rng, n):
    a = rng.standard_normal(n)
    a[rng.random(n) < 0.1] = np.nan
    return {
        "a": a,
        "b": rng.integers(-2, 8, n),
        "c": rng.choice(["x", "y", "new"], n),
        "d": rng.standard_cauchy(n),
        "p": rng.random(n),
    }


def test_every_row_is_counted_once_in_every_column(reference):
    counts = counts_of(reference, window(np.random.default_rng(1), 777))

    assert np.add.reduceat(counts, reference.layout.starts).tolist() == [777] * 5


@given(cuts=st.lists(st.integers(0, 500), max_size=6), seed=st.integers(0, 100))
def test_any_split_into_batches_gives_the_same_counts(reference, cuts, seed):
    columns = window(np.random.default_rng(seed), 500)
    bounds = [0, *sorted(cuts), 500]

    parts = [
        counts_of(reference, {name: column[low:high] for name, column in columns.items()})
        for low, high in itertools.pairwise(bounds)
    ]

    assert np.array_equal(np.sum(parts, axis=0), counts_of(reference, columns))


@given(seed=st.integers(0, 100))
def test_the_order_of_rows_does_not_matter(reference, seed):
    rng = np.random.default_rng(seed)
    columns = window(rng, 200)
    order = rng.permutation(200)

    shuffled = {name: column[order] for name, column in columns.items()}

    assert np.array_equal(counts_of(reference, shuffled), counts_of(reference, columns))


def test_parts_add_up_to_the_whole(reference):
    rng = np.random.default_rng(2)
    columns = {name: ColumnValues(values=column) for name, column in window(rng, 400).items()}
    part = rng.integers(0, 3, 400)
    binner = Binner(reference.columns)

    by_part = binner.count_by(columns, part, 3)

    assert np.array_equal(by_part.sum(axis=0), binner.count(columns))
    for number in range(3):
        rows = part == number
        some = {name: ColumnValues(values=values.values[rows]) for name, values in columns.items()}
        assert np.array_equal(by_part[number], binner.count(some))


def test_blocks_of_rows_and_columns_give_the_same_counts():
    rng = np.random.default_rng(3)
    heavy = np.concatenate([rng.standard_normal(990) * 1e-9, 10.0 ** rng.uniform(-300, 300, 1000)])
    columns = {f"c{i}": rng.standard_normal(1990) for i in range(70)} | {"heavy": heavy, "last": rng.random(1990)}
    reference = reference_of(columns)
    binner = Binner(reference.columns)
    rows = np.column_stack([rng.permutation(column)[:1300] for column in columns.values()])
    rows[rng.random(rows.shape) < 0.02] = np.nan

    counts = binner.count_rows(rows)

    by_column = {name: ColumnValues(values=rows[:, i].copy()) for i, name in enumerate(columns)}
    assert np.array_equal(counts, binner.count(by_column))
    assert np.array_equal(counts, binner.count_rows(rows))


def test_blocks_of_rows_skip_what_is_not_numeric_and_columns_that_are_slow():
    rng = np.random.default_rng(4)
    slow = np.concatenate([np.arange(200) * 5e-324, [1.0]])
    columns = {"a": rng.standard_normal(201), "slow": slow, "c": rng.choice(["x", "y"], 201), "z": rng.random(201)}
    reference = reference_of(columns)
    binner = Binner(reference.columns)
    rows = np.column_stack([columns["a"], columns["slow"], columns["z"]])

    counts = binner.count_rows(rows)

    expected = counts_of(reference, columns)
    start, end = reference.layout.offsets[2:4]
    assert counts[start:end].sum() == 0
    expected[start:end] = 0
    assert np.array_equal(counts, expected)


def test_a_column_that_is_lacking_is_missing_if_its_role_is_there(reference):
    counts = counts_of(reference, {"a": np.zeros(10)})
    layout = reference.layout

    by_column = np.add.reduceat(counts, layout.starts)
    assert by_column.tolist() == [10, 10, 10, 10, 0]
    assert counts[layout.missing].tolist() == [0, 10, 10, 10, 0]


def test_requests_and_responses_apart_count_like_whole_rows(reference):
    columns = window(np.random.default_rng(5), 50)
    inputs = {name: column for name, column in columns.items() if name != "p"}

    apart = counts_of(reference, inputs) + counts_of(reference, {"p": columns["p"]})

    assert np.array_equal(apart, counts_of(reference, columns))


def test_rows_that_lack_a_column_are_missing_or_unobserved_row_by_row(reference):
    request = np.array([True, True, False, False])
    nothing = np.zeros(4)
    columns = {
        "a": ColumnValues(values=nothing, absent=~request),
        "b": ColumnValues(values=nothing, absent=np.array([False, True, True, True])),
        "p": ColumnValues(values=nothing, absent=request),
    }

    counts = Binner(reference.columns).count(columns)

    layout = reference.layout
    assert np.add.reduceat(counts, layout.starts).tolist() == [2, 2, 2, 2, 2]
    assert counts[layout.missing].tolist() == [0, 1, 2, 2, 0]


def test_absent_categories_are_missing(reference):
    columns = {
        "a": ColumnValues(values=np.zeros(2)),
        "c": DictionaryValues(codes=np.array([0, 0]), dictionary=["x"], absent=np.array([True, False])),
    }

    counts = Binner(reference.columns).count(columns)

    assert counts[reference.layout.missing[2]] == 1


def test_unknown_columns_are_ignored_and_no_column_is_no_rows(reference):
    binner = Binner(reference.columns)

    assert binner.count({"unknown": ColumnValues(values=np.zeros(3))}).sum() == 0
    assert binner.count({}, n_rows=5).sum() == 0


def test_columns_of_different_lengths_are_refused(reference):
    columns = {"a": ColumnValues(values=np.zeros(3)), "b": ColumnValues(values=np.zeros(4))}

    with pytest.raises(ValueError, match="lengths"):
        Binner(reference.columns).count(columns)


def test_integers_beyond_2_to_the_53_are_counted_apart():
    big = 2**60 + np.arange(5)
    reference = reference_of({"id": big})

    counts = counts_of(reference, {"id": np.array([2**60, 2**60 + 1, 2**60 + 1, 2**60 + 99])})

    assert counts[1:11:2].tolist() == [1, 2, 0, 0, 0]
    assert counts[-3] == 1


def test_inputs_are_not_written_to(reference):
    columns = window(np.random.default_rng(6), 20)
    for column in columns.values():
        column.flags.writeable = False

    counts_of(reference, columns)
    Binner(reference.columns).number_bins(0, Numbers(values=columns["a"], missing=np.isnan(columns["a"])))


def test_panels_may_skip_columns():
    slow = np.arange(100) * 5e-324
    rng = np.random.default_rng(7)
    columns = {"a": rng.random(100), "slow": slow, "b": rng.random(100)}
    reference = reference_of(columns)
    rows = np.column_stack(list(columns.values()))

    assert np.array_equal(Binner(reference.columns).count_rows(rows), counts_of(reference, columns))
