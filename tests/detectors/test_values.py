"""What counts as a number, a category, missing or invalid."""

from datetime import datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.binning import Binner, ColumnValues, DictionaryValues, TextValues, as_numbers
from detectors.binning.categories import INVALID, MISSING, category_of, digest, tally
from detectors.binning.values import Numbers, is_null, selected, size_of
from detectors.columns import CategoricalColumn, NumericColumn


class NAType:
    """Stands for the null of pandas, known by its name."""


class NaTType:
    """Stands for the null time of pandas."""


def objects(*values):
    array = np.empty(len(values), dtype=np.object_)
    array[:] = values
    return ColumnValues(values=array)


def read(values):
    numbers = as_numbers(values)
    rows = []
    for row, value in enumerate(numbers.values.tolist()):
        if numbers.invalid is not None and numbers.invalid[row]:
            rows.append("invalid")
        elif (numbers.missing is not None and numbers.missing[row]) or value != value:  # noqa: PLR0124
            rows.append("missing")
        else:
            rows.append(value)
    return rows


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "longdouble"])
def test_every_number_type_is_read_without_loss(dtype):
    array = np.array([0, 1, 100], dtype=dtype)

    assert read(ColumnValues(values=array)) == [0, 1, 100]


def test_float32_is_taken_as_the_number_it_is():
    assert read(ColumnValues(values=np.array([0.1], dtype=np.float32))) == [float(np.float32(0.1))]


@pytest.mark.parametrize("big", [2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1])
def test_integers_beyond_2_to_the_53_keep_their_last_digit(big):
    dtype = np.uint64 if big >= 2**63 else np.int64

    assert read(ColumnValues(values=np.array([big, 1], dtype=dtype))) == [big, 1]
    assert read(objects(big, 1)) == [big, 1]
    assert read(objects(big, 1, None)) == [big, 1, "missing"]
    assert read(TextValues(cells=[str(big), "1", "", "x"])) == [big, 1, "missing", "invalid"]


def test_integers_beyond_64_bits_are_the_nearest_double_and_never_an_error():
    assert read(objects(2**70, -(10**400), 10**400, 0.5)) == [2.0**70, -np.inf, np.inf, 0.5]
    assert read(TextValues(cells=["1" + "0" * 30, "9" * 500])) == [1e30, np.inf]
    assert read(objects(-5, 2**64 - 1)) == [-5.0, 2.0**64]


def test_huge_integers_beside_fractions_are_the_nearest_double():
    assert read(objects(2**53 + 1, 0.5)) == [2.0**53, 0.5]
    assert read(objects(2**53 + 1, float("inf"))) == [2.0**53, np.inf]


def test_mixed_objects_are_sorted_into_numbers_missing_and_invalid():
    values = objects(1, 2.5, True, None, float("nan"), "3", [1], {}, b"4", Decimal("1.5"), Decimal("NaN"), np.int8(7))
    more = objects(np.float32(0.5), np.bool_(True), NAType(), NaTType(), np.datetime64("NaT"), datetime(2012, 1, 1), 1j)

    assert is_null(Decimal("sNaN"))
    assert read(objects(2**60 + 1, float("nan"), 5)) == [2**60 + 1, "missing", 5]
    assert read(values) == [1, 2.5, 1, "missing", "missing", *["invalid"] * 4, 1.5, "missing", 7]
    assert read(more) == [0.5, 1, "missing", "missing", "missing", "invalid", "invalid"]


def test_booleans_are_zero_and_one():
    assert read(ColumnValues(values=np.array([True, False]))) == [1, 0]


def test_masks_make_rows_missing_also_where_they_were_invalid():
    mask = np.array([True, False, True])

    assert read(ColumnValues(values=np.array([1, 2, 3]), missing=mask)) == ["missing", 2, "missing"]
    assert read(ColumnValues(values=objects("x", "y", None).values, missing=mask)) == ["missing", "invalid", "missing"]


def test_text_arrays_and_times_are_invalid_numbers():
    times = np.array(["2012-01-01", "NaT"], dtype="datetime64[s]")

    assert read(ColumnValues(values=np.array(["1", "2"]))) == ["invalid", "invalid"]
    assert read(ColumnValues(values=times)) == ["invalid", "missing"]
    assert read(ColumnValues(values=times, missing=np.array([True, True]))) == ["missing", "missing"]


def test_dictionaries_are_read_once_by_entry():
    values = DictionaryValues(codes=np.array([0, 1, -1, 2, 3]), dictionary=[1.5, "x", None, 2**60])

    assert read(values) == [1.5, "invalid", "missing", "missing", 2.0**60]
    assert read(DictionaryValues(codes=np.array([-1, -1]), dictionary=[])) == ["missing", "missing"]
    assert read(DictionaryValues(codes=np.array([0, -1]), dictionary=[7])) == [7, "missing"]


def test_text_cells_that_read_as_numbers_are_numbers():
    cells = ["1", " 2.5 ", "-3e2", "inf", "", "NA", "NaN", "null", "x", "1_000", "0x1", "+4"]

    assert read(TextValues(cells=cells)) == [1, 2.5, -300, np.inf, *["missing"] * 4, "invalid", "invalid", "invalid", 4]
    assert read(TextValues(cells=["1", "2"])) == [1, 2]


def test_absent_rows_are_missing():
    absent = np.array([False, True])

    numbers = as_numbers(ColumnValues(values=np.array([1.0, 2.0]), absent=absent))

    assert numbers.missing.tolist() == [False, True]
    assert numbers.absent is absent
    assert as_numbers(numbers) is numbers


def test_reading_does_not_write_to_its_input():
    array = np.array([1.0, np.nan])
    array.flags.writeable = False

    assert as_numbers(ColumnValues(values=array)).values is array


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a", "a"), (True, "true"), (np.bool_(False), "false"), (3, "3"), (np.int16(3), "3"), (3.0, "3"), (0.5, "0.5"),
        (np.float64(2), "2"), (1e300, "1e+300"), (b"x", "x"), (Decimal("1.5"), "1.5"), (datetime(2012, 1, 1), "2012-01-01 00:00:00"),
        (None, MISSING), (float("nan"), MISSING), (b"\xff", INVALID), (np.float32(0.1), "0.1"), (np.datetime64("2012-01-01"), "2012-01-01T00:00:00.000000"),
        ("\ud800", INVALID), ("\u00fc", "\u00fc"), ([1], INVALID), ({}, INVALID), (10**400, INVALID),
        (float("inf"), "inf"), ("", ""),
    ],
)  # fmt: skip
def test_one_thing_has_one_name_whatever_carried_it(value, name):
    assert category_of(value) == name


def categorical(*categories, **kept):
    facts = {
        "name": "c",
        "role": "input",
        "categories": categories,
        "pools": (0,),
        "others": np.empty(0, dtype=np.uint64),
    }
    return CategoricalColumn(**(facts | kept))


def bins(column, values):
    return Binner([column]).bins(0, values).tolist()


def test_categories_have_bins_and_so_has_everything_else():
    column = categorical("a", "b", others=np.array(sorted([digest("rare"), digest("rarer")]), dtype=np.uint64))
    other, unseen, missing, invalid = 2, 3, 4, 5
    values = ["b", "a", "rare", "new", None, [1], "new", {}, float("nan"), "rarer"]

    assert bins(column, objects(*values)) == [1, 0, other, unseen, missing, invalid, unseen, invalid, missing, other]
    assert bins(column, TextValues(cells=["a", "", "rare", "x"])) == [0, missing, other, unseen]
    assert bins(column, ColumnValues(values=np.array(["b", "x"]))) == [1, unseen]
    assert bins(column, DictionaryValues(codes=np.array([1, 0, -1]), dictionary=["a", "x"])) == [unseen, 0, missing]
    assert bins(column, objects("", "a")) == [unseen, 0]
    assert bins(column, objects("", None)) == [unseen, missing]


def test_pools_have_bins_for_their_own_unlisted_names():
    column = categorical("a", "b", "c", pools=(1, 1), others=np.array([digest("rare")], dtype=np.uint64))
    pool_of = {name: digest(name) % 2 for name in ("rare", "new", "newer", "newest", "n1", "n2")}

    found = dict(zip(["a", "b", "c", *pool_of], bins(column, objects("a", "b", "c", *pool_of)), strict=True))

    assert (column.own, column.pool_starts, column.unseen_bins, column.value_bins) == (1, (1, 4), (3, 6), 7)
    assert (found["a"], found["b"], found["c"]) == (0, 1, 4)
    assert found["rare"] == column.pool_starts[pool_of["rare"]] + 2 - 1
    assert all(found[name] == column.unseen_bins[pool] for name, pool in pool_of.items() if name != "rare")
    assert set(pool_of.values()) == {0, 1}


def test_names_are_remembered_only_up_to_a_limit(monkeypatch):
    monkeypatch.setattr("detectors.binning.categories._RESOLVED_MAX", 10)
    binner = Binner([categorical("a")])

    for start in range(0, 100, 7):
        cells = [f"n{i}" for i in range(start, start + 7)]
        assert binner.bins(0, TextValues(cells=cells)).tolist() == [2] * 7
    assert len(binner._categorical[0]._resolved) <= 10


def test_masked_categories_are_missing():
    assert bins(categorical("a"), ColumnValues(values=np.array(["a", "a"]), missing=np.array([True, False]))) == [3, 0]


def test_numbers_and_booleans_find_their_categories():
    column = categorical("1", "2.5")

    assert bins(column, ColumnValues(values=np.array([1, 2]))) == [0, 3]
    assert bins(column, ColumnValues(values=np.array([1.0, 2.5, np.nan]))) == [0, 1, 4]
    assert bins(column, objects(1, 1.0, "1", True)) == [0, 0, 0, 3]
    assert bins(column, Numbers(values=np.array([1.0]))) == [0]


def test_boolean_columns_know_the_spellings_of_csv_files():
    column = categorical("true", "false")

    assert bins(column, TextValues(cells=["True", "FALSE", "true", "yes"])) == [0, 1, 0, 3]
    assert bins(column, ColumnValues(values=np.array([True, False]))) == [0, 1]


def test_where_rare_categories_were_not_kept_nothing_is_called_unseen():
    assert bins(categorical("a", others_complete=False), TextValues(cells=["new"])) == [1]


def test_tallies_count_present_valid_values():
    array = np.array([1.0, 1.0, np.nan, 2.5])

    assert tally(TextValues(cells=["a", "", "a", "b"])) == {"a": 2, "b": 1}
    assert tally(DictionaryValues(codes=np.array([0, 0, -1, 2]), dictionary=["a", "never", None])) == {"a": 2}
    assert tally(ColumnValues(values=array)) == {"1": 2, "2.5": 1}
    assert tally(ColumnValues(values=array, missing=np.array([True, False, False, False]))) == {"1": 1, "2.5": 1}
    assert tally(objects("a", 1, None, [1], "a", True)) == {"a": 2, "1": 1, "true": 1}
    assert tally(objects("a", "b", "a")) == {"a": 2, "b": 1}


def test_selecting_rows_keeps_every_kind_of_values():
    rows = np.array([True, False, True])
    mask = np.array([False, True, True])
    array = np.array([1.0, 2.0, 3.0])

    assert selected(ColumnValues(values=array, missing=mask, absent=mask), rows).missing.tolist() == [False, True]
    assert selected(Numbers(values=array, invalid=mask), rows).invalid.tolist() == [False, True]
    assert selected(DictionaryValues(codes=np.array([0, 1, 1]), dictionary=["a", "b"]), rows).codes.tolist() == [0, 1]
    assert selected(TextValues(cells=["a", "b", "c"]), rows).cells == ["a", "c"]


def test_sizes_are_rows():
    assert size_of(ColumnValues(values=np.arange(3))) == 3
    assert size_of(Numbers(values=np.arange(3.0))) == 3
    assert size_of(DictionaryValues(codes=np.arange(2), dictionary=["a", "b"])) == 2
    assert size_of(TextValues(cells=["a"])) == 1


def test_nulls_of_other_libraries_are_known_without_importing_them():
    assert all(map(is_null, [None, float("nan"), np.float32("nan"), NAType(), NaTType(), np.timedelta64("NaT")]))
    assert not any(map(is_null, [0, "", False, np.datetime64("2012-01-01"), Decimal(1)]))


def test_numeric_columns_without_points_have_one_bin():
    column = NumericColumn(name="x", role="input", points=np.empty(0), atoms=np.empty(0, dtype=np.bool_))

    assert bins(column, objects(1, None, "x")) == [0, 1, 2]


BIG = st.integers(-(2**64), 2**65)
ANYTHING = st.one_of(
    BIG, st.floats(), st.booleans(), st.none(), st.text(max_size=2), st.sampled_from([2**53 + 1, 2**63, -(2**63)])
)


@pytest.mark.parametrize(
    "points", [[0.5, 2.0**53, 2.0**60], [0, 2**53 + 1, 2**60 + 1], np.array([1, 2**63 + 1], dtype=np.uint64)]
)
@given(data=st.lists(ANYTHING, min_size=1, max_size=8))
def test_the_rows_beside_a_number_do_not_change_its_bin(points, data):
    points = np.asarray(points)
    column = NumericColumn(name="n", role="input", points=points, atoms=np.ones(points.size, dtype=np.bool_))

    together = bins(column, objects(*data))

    assert together == [bins(column, objects(value))[0] for value in data]
    cells = [str(value) for value in data if not isinstance(value, str)]
    assert bins(column, TextValues(cells=cells)) == [bins(column, TextValues(cells=[cell]))[0] for cell in cells]


def test_big_integers_among_fractions_stay_what_they_are():
    numbers = as_numbers(objects(0.5, 2**53 + 1, -(2**60) - 1, 2**63 + 1, 2**64 + 1, None))
    some = selected(numbers, np.array([True, True, False, False, False, True]))
    coded = as_numbers(DictionaryValues(codes=np.array([1, -1, 0]), dictionary=[0.5, 2**53 + 1]))

    assert [(big.values.dtype.name, big.values[big.rows].tolist()) for big in numbers.big] == [
        ("int64", [2**53 + 1, -(2**60) - 1]),
        ("uint64", [2**63 + 1]),
    ]
    assert [big.values[big.rows].tolist() for big in some.big] == [[2**53 + 1], []]
    assert [(big.rows.tolist(), big.values[big.rows].tolist()) for big in coded.big] == [
        ([True, False, False], [2**53 + 1])
    ]


def test_durations_are_neither_numbers_nor_categories():
    """To numpy a duration is an integer: one in a categorical column once ended the whole check."""
    spans = np.array([5, "NaT"], dtype="timedelta64[ns]")
    column = categorical("5")

    assert category_of(spans[0]) == INVALID
    assert category_of(spans[1]) == MISSING
    assert bins(column, ColumnValues(values=spans)) == [column.value_bins + 1, column.value_bins]
    assert read(objects(spans[0], 5)) == ["invalid", 5.0]
