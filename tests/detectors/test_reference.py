"""Surveys, points, groups, the builder and the reference it makes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from making import counts_of, reference_of

from detectors.binning import ColumnValues, TextValues
from detectors.binning.points import points_of
from detectors.binning.values import Numbers
from detectors.labels import group_labels
from detectors.reference import CategoricalSurvey, NumericSurvey, plan_of, priorities, sample_rows_for
from detectors.reference import survey as survey_module


def groups_of(reference, name):
    index = [column.name for column in reference.columns].index(name)
    start, end = reference.layout.offsets[index : index + 2]
    return np.add.reduceat(reference.counts[start : end - 2], reference.group_starts[index]).tolist()


def labels_of(reference, name):
    index = [column.name for column in reference.columns].index(name)
    return group_labels(reference.columns[index], reference.group_starts[index])


def test_points_are_order_statistics_with_the_extremes_and_the_deciles():
    values = np.sort(np.random.default_rng(0).standard_normal(10_000))

    points = points_of(values, np.ones(values.size, dtype=np.int64), 256).values

    assert points.size <= 256
    assert points[0] == values[0]
    assert points[-1] == values[-1]
    assert np.isin(values[np.arange(1, 10) * 1000 - 1], points).all()
    mass = np.diff(np.searchsorted(values, points))
    assert mass.max() <= 10_000 / 244 + 1


def test_up_to_the_resolution_every_value_is_a_point_and_an_atom():
    reference = reference_of({"x": np.repeat(np.arange(256), 2)})

    assert reference.columns[0].points.tolist() == list(range(256))
    assert reference.columns[0].atoms.all()
    assert reference.columns[0].value_bins == 2 * 256 + 1


def test_only_repeated_points_are_atoms_beyond_the_resolution():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.random(5000), np.full(300, 0.5), np.full(2, 0.25)])
    column = reference_of({"x": values}).columns[0]

    assert set(column.points[column.atoms]) <= {values.min(), 0.5, 0.25}
    assert 0.5 in column.points[column.atoms]


@given(
    hnp.arrays(np.float64, st.integers(1, 400), elements=st.integers(0, 60).map(float) | st.floats(-5, 5)),
    st.sampled_from([32, 64, 256]),
)
def test_groups_are_runs_of_bins_that_follow_the_rule(values, resolution):
    distinct = np.unique(values)
    reference = reference_of({"x": values}, resolution=resolution)
    groups = groups_of(reference, "x")

    assert sum(groups) == values.size
    assert min(groups) >= 1
    if distinct.size <= 20:
        assert groups == np.unique(values, return_counts=True)[1].tolist()
    else:
        ordered = np.sort(values)
        deciles = ordered[-(-np.arange(1, 10) * values.size // 10) - 1]
        bounds = np.unique(deciles)
        spans = {d: int((deciles == d).sum()) for d in bounds.tolist()}
        expected = set(np.searchsorted(ordered, bounds, side="right").tolist())
        expected |= {int(np.searchsorted(ordered, d)) for d, span in spans.items() if span > 1}
        found = np.cumsum(groups).tolist()
        # An atom next to the decile before it has no rows in between to part them.
        assert set(found) == expected - {0, values.size} | {values.size}


def test_an_atom_over_several_deciles_is_a_group_of_its_own():
    rng = np.random.default_rng(2)
    values = np.concatenate([np.full(600, 0.5), rng.random(400)])

    reference = reference_of({"x": values})

    assert "0.5" in labels_of(reference, "x")
    assert groups_of(reference, "x")[labels_of(reference, "x").index("0.5")] == 600


def test_an_atom_at_the_maximum_is_cut_off_from_what_lies_below():
    rng = np.random.default_rng(3)
    values = np.concatenate([np.full(500, 1.0), rng.random(500)])

    assert groups_of(reference_of({"x": values}), "x")[-1] == 500
    assert groups_of(reference_of({"x": -values}), "x")[0] == 500


def test_outer_bins_belong_to_the_outer_groups():
    reference = reference_of({"x": np.arange(10.0)})

    counts = counts_of(reference, {"x": np.array([-1e300, -np.inf, 1e300, np.inf])})

    assert np.add.reduceat(counts[:-2], reference.group_starts[0]).tolist() == [2, *[0] * 8, 2]
    assert labels_of(reference, "x") == [str(i) for i in range(10)]


def test_categories_have_groups_down_to_half_a_percent():
    rare = reference_of({"x": np.repeat(["a", "b", "c"], [99_000, 900, 100])})

    assert groups_of(rare, "x") == [99_000, 900, 100]
    assert labels_of(rare, "x") == ["a", "b", "other or unseen"]
    assert rare.columns[0].pools == (1,)


def test_at_most_thirty_categories_have_a_group_of_their_own():
    counts = [1000 * (50 - i) for i in range(40)]
    reference = reference_of({"x": np.repeat([f"c{i:02}" for i in range(40)], counts)})

    assert reference.columns[0].own == 30
    assert set(labels_of(reference, "x")[:30]) == {f"c{i:02}" for i in range(30)}
    assert sorted(groups_of(reference, "x")[:30], reverse=True) == counts[:30]


def test_categories_that_are_frequent_by_luck_lie_in_pools_by_name():
    rng = np.random.default_rng(15)
    values = rng.choice([f"c{i}" for i in range(200)], 10_000)

    one, other = (reference_of({"x": part}).columns[0] for part in np.split(values, 2))

    assert (one.own, len(one.pools)) == (0, 8)

    def pool_of(column):
        bounds = np.cumsum([0, *column.pools])
        return {name: k for k in range(8) for name in column.categories[bounds[k] : bounds[k + 1]]}

    assert pool_of(one) == pool_of(other)
    assert labels_of(reference_of({"x": values}), "x")[0] == "others (1 of 8)"


def test_where_categories_crowd_around_the_line_all_are_pooled():
    values = np.repeat([f"c{i}" for i in range(12)], [14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3])

    assert reference_of({"x": values}).columns[0].own == 0


def test_categories_beyond_the_maximum_are_other_and_new_ones_unseen():
    values = np.repeat(["a", "b", "c", "d"], [1000, 800, 40, 1])
    reference = reference_of({"x": values}, categories_max=2)

    counts = counts_of(reference, {"x": np.array(["a", "c", "d", "e"])})

    column = reference.columns[0]
    assert set(column.categories) == {"a", "b"}
    assert column.once == 1
    assert counts[column.categories.index("a")] == 1
    assert counts[2:].tolist() == [2, 1, 0, 0]


def test_the_order_of_categories_does_not_depend_on_the_order_of_rows():
    values = np.repeat(["b", "a", "c"], [500, 500, 900])
    shuffled = np.random.default_rng(0).permutation(values)

    assert reference_of({"x": values}).columns[0].categories == reference_of({"x": shuffled}).columns[0].categories


def test_rare_categories_lie_together():
    """Name and frequency share the order: a factor of 400 outweighs any name."""
    values = np.repeat([f"c{i}" for i in range(20)], [*[40_000] * 10, *[4000] * 10])
    order = reference_of({"x": values}).columns[0].categories

    far = np.repeat([f"c{i}" for i in range(4)], [4_000_000, 3_000_000, 40_000, 40_000])
    assert set(reference_of({"x": far}).columns[0].categories[:2]) == {"c0", "c1"}
    assert sum(int(name[1:]) < 10 for name in order[:10]) >= 6


def test_booleans_of_a_csv_file_become_true_and_false():
    survey = CategoricalSurvey()
    survey.add(TextValues(cells=["True", "False", "True", "FALSE"]))

    assert plan_of("x", "input", survey).column.categories == ("false", "true")


def test_too_many_others_to_keep_leave_nothing_unseen(monkeypatch):
    monkeypatch.setattr("detectors.reference.plan._OTHERS_MAX", 1)
    reference = reference_of({"x": np.array(["a", "a", "b", "c"])}, categories_max=1)

    assert not reference.columns[0].others_complete
    assert counts_of(reference, {"x": np.array(["new"])}).tolist() == [0, 1, 0, 0, 0]


def test_columns_of_endless_categories_keep_the_frequent_ones(monkeypatch):
    monkeypatch.setattr(survey_module, "CATEGORIES_KEPT", 50)
    monkeypatch.setattr(survey_module, "PRUNED_ROWS", 100)
    rng = np.random.default_rng(4)
    names = rng.permutation([*(f"u{i}" for i in range(4000)), *["often"] * 2000, *["half"] * 1000]).tolist()

    surveys = [CategoricalSurvey(), CategoricalSurvey()]
    surveys[0].add(TextValues(cells=names))
    for start in range(0, len(names), 37):
        surveys[1].add(TextValues(cells=names[start : start + 37]))

    found, total, complete = surveys[0].finish()
    assert (found, total, complete) == surveys[1].finish()
    assert not complete
    assert total == 7000
    assert [name for name, _ in found] == ["often", "half"]
    assert all(0 < count <= truth for (_, count), truth in zip(found, (2000, 1000), strict=True))
    plan = plan_of("x", "input", surveys[0])
    assert not plan.exact
    assert plan.column.once == 0


def test_a_survey_that_overflows_only_at_its_end_is_pruned_too(monkeypatch):
    monkeypatch.setattr(survey_module, "CATEGORIES_KEPT", 50)
    survey = CategoricalSurvey()
    survey.add(TextValues(cells=[*map(str, range(70)), "0", "1"]))

    assert survey.finish() == ([], 72, False)


def surveyed(values, sample_rows, chunks):
    survey = NumericSurvey(sample_rows=sample_rows)
    rng = np.random.default_rng(9)
    for part in np.array_split(values, chunks):
        survey.add(Numbers(values=part), priorities(rng, part.size))
    return survey


def test_a_sample_does_not_depend_on_the_size_of_the_chunks():
    values = np.random.default_rng(5).standard_normal(60_000)

    one, many = (surveyed(values, 5000, chunks).finish() for chunks in (1, 37))

    assert np.array_equal(one[0], many[0])
    assert np.array_equal(one[1], many[1])
    assert not one[2]
    assert one[1].sum() == 5000


def test_a_sample_knows_the_extremes_and_the_quantiles():
    values = np.random.default_rng(6).standard_normal(200_000)

    distinct, counts, exact = surveyed(values, 20_000, 9).finish()

    assert not exact
    assert (distinct[0], distinct[-1]) == (values.min(), values.max())
    ranks = np.searchsorted(np.sort(values), distinct) / values.size
    assert np.abs(np.cumsum(counts) / counts.sum() - ranks).max() < 0.02


def test_few_distinct_values_are_known_exactly_whatever_the_length():
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.integers(0, 300, 50_000), [999]]).astype(float)

    distinct, counts, exact = surveyed(values, 1000, 11).finish()

    assert exact
    assert np.array_equal(distinct, np.unique(values))
    assert counts.sum() == values.size


def test_counts_of_a_sampled_reference_are_exact_and_its_points_atoms_where_repeated():
    rng = np.random.default_rng(8)
    values = np.where(rng.random(50_000) < 0.3, 0.1, rng.standard_normal(50_000))
    reference = reference_of({"x": values}, sample_rows=4000, chunk=7000)
    column = reference.columns[0]

    assert not reference.exact[0]
    assert reference.counts[:-2].sum() == values.size
    own = np.arange(column.points.size) + np.cumsum(column.atoms)
    atoms = column.points[column.atoms][1:]
    assert 0.1 in atoms
    assert [int(n) for n in reference.counts[own[column.atoms]][1:]] == [int((values == a).sum()) for a in atoms]


def test_the_survey_keeps_large_integers_exact_beside_small_ones():
    survey = NumericSurvey(sample_rows=10**6)
    rng = np.random.default_rng(0)
    for part in (
        np.array([1.0, 2.0]),
        np.array([2**60 + 1, 5], dtype=np.int64),
        np.array([2**63 + 1], dtype=np.uint64),
    ):
        survey.add(Numbers(values=part), priorities(rng, part.size))

    distinct, _, _ = survey.finish()

    assert distinct.dtype == np.uint64
    assert distinct.tolist() == [1, 2, 5, 2**60 + 1, 2**63 + 1]


def test_large_integers_beside_fractions_become_floats():
    survey = NumericSurvey(sample_rows=10**6)
    for part in (np.array([0.5]), np.array([2**60 + 1], dtype=np.int64), np.array([-1, 2**60], dtype=np.int64)):
        survey.add(Numbers(values=part), priorities(np.random.default_rng(0), part.size))

    assert survey.finish()[0].tolist() == [-1.0, 0.5, 2.0**60]


def test_integers_that_no_one_type_holds_become_floats():
    survey = NumericSurvey(sample_rows=10**6)
    for part in (np.array([-1, 2**60], dtype=np.int64), np.array([2**64 - 1], dtype=np.uint64)):
        survey.add(Numbers(values=part), priorities(np.random.default_rng(0), part.size))

    assert survey.finish()[0].tolist() == [-1.0, 2.0**60, 2.0**64]


def test_masked_infinite_and_missing_values_are_no_points():
    survey = NumericSurvey(sample_rows=100)
    numbers = Numbers(
        values=np.array([1.0, np.nan, np.inf, -np.inf, 5.0, 6.0]),
        missing=np.array([False] * 4 + [True, False]),
        invalid=np.array([False] * 5 + [True]),
    )
    survey.add(numbers, priorities(np.random.default_rng(0), 6))
    survey.add(Numbers(values=np.array([np.nan])), priorities(np.random.default_rng(0), 1))

    assert survey.finish()[0].tolist() == [1.0]


def test_negative_zero_is_zero():
    column = reference_of({"x": np.array([-0.0, 0.0, 1.0])}).columns[0]

    assert column.points.tolist() == [0.0, 1.0]
    assert not np.signbit(column.points[0])


def test_the_sample_shrinks_with_the_number_of_columns():
    assert sample_rows_for(50) > sample_rows_for(500) >= 1 << 14
    assert sample_rows_for(0) == sample_rows_for(1)


def test_means_and_deviation_are_those_of_the_rows():
    values = np.random.default_rng(10).lognormal(3, 1, 5000)
    reference = reference_of({"x": values})
    edges = np.sort(
        np.concatenate([reference.columns[0].points, np.nextafter(reference.columns[0].points[:1], -np.inf)])
    )
    bins = np.searchsorted(edges, values)

    for number in range(1, edges.size):
        assert reference.means[number] == pytest.approx(values[bins == number].mean(), rel=1e-12)
    assert reference.mean[0] == pytest.approx(values.mean(), rel=1e-12)
    assert reference.deviation[0] == pytest.approx(values.std(), rel=1e-9)


def test_means_never_leave_their_bins_and_overflow_becomes_null():
    values = np.concatenate([np.random.default_rng(11).standard_normal(400), [1e308, 1.7e308, -1e308]])
    reference = reference_of({"x": values}, resolution=32)
    points = reference.columns[0].points

    assert np.isnan(reference.deviation[0])
    finite = reference.means[~np.isnan(reference.means)]
    assert finite.min() >= points[0]
    assert finite.max() <= points[-1]


def test_a_distant_offset_leaves_the_deviation_alone():
    values = 1e9 + np.random.default_rng(12).standard_normal(2000)

    assert reference_of({"x": values}).deviation[0] == pytest.approx(values.std(), rel=1e-6)


def test_infinities_in_the_reference_are_out_of_its_range():
    values = np.array([-np.inf, 1.0, 2.0, np.inf, np.inf])
    reference = reference_of({"x": values})

    assert reference.columns[0].points.tolist() == [1.0, 2.0]
    assert reference.counts.tolist() == [1, 1, 0, 1, 2, 0, 0]
    assert reference.mean[0] == 1.5


def test_blocks_hold_the_groups_of_each_window_in_time_order():
    rng = np.random.default_rng(13)
    columns = {"x": rng.standard_normal(1000), "c": rng.choice(["a", "b"], 1000)}
    columns["x"][:50] = np.nan
    starts = rng.choice([7200, 0, 3600], 1000)

    reference = reference_of(columns, blocks=starts, chunk=300)

    blocks = reference.blocks
    assert blocks.starts_s.tolist() == [0, 3600, 7200]
    assert blocks.rows.tolist() == [int((starts == s).sum()) for s in (0, 3600, 7200)]
    assert np.array_equal(blocks.counts.sum(axis=0), reference.segments(reference.counts))
    for row, start in enumerate((0, 3600, 7200)):
        some = {name: column[starts == start] for name, column in columns.items()}
        assert np.array_equal(blocks.counts[row], reference.segments(counts_of(reference, some)))


def test_empty_columns_have_one_bin_and_no_points():
    reference = reference_of({"x": np.full(5, np.nan), "y": np.arange(5.0)})

    assert reference.columns[0].value_bins == 1
    assert reference.counts[:3].tolist() == [0, 5, 0]
    assert np.isnan(reference.mean[0])


def test_chunks_do_not_change_the_reference():
    rng = np.random.default_rng(14)
    columns = {"x": rng.standard_normal(999), "c": rng.choice(["a", "b"], 999)}

    one, many = reference_of(columns), reference_of(columns, chunk=10)

    assert np.array_equal(one.counts, many.counts)
    assert np.array_equal(one.columns[0].points, many.columns[0].points)


def test_lacking_columns_are_counted_as_missing_while_building():
    columns = {
        "x": ColumnValues(values=np.arange(4.0), absent=np.array([True, False, False, False])),
        "y": np.arange(4.0),
    }

    assert reference_of(columns).counts[reference_of(columns).layout.missing].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.array([1.0, 2.5]), ["1", "2.5"]),
        (np.arange(100.0), ["(-inf, 9]", "(9, 19]"]),
        (np.array([7]), ["7"]),
        (np.array([True] * 60), ["true", "other or unseen"]),
        (1_700_000_000 + np.arange(3), ["1700000000", "1700000001", "1700000002"]),
        (0.1 + np.arange(3) * 1e-9, ["0.1", "0.100000001", "0.100000002"]),
        (np.array([1e300, 2e300]), ["1e+300", "2e+300"]),
    ],
)
def test_labels_of_groups_read_as_intervals_values_or_names(values, labels):
    assert labels_of(reference_of({"x": values}), "x")[: len(labels)] == labels
