"""How a reference compares with the one before it: counts carried over are those of the rows, to about a bin."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from making import comparison_of, counts_of, reference_of

from detectors.arrays import Counts
from detectors.binning import Binner, ColumnValues
from detectors.binning.categories import digest
from detectors.columns import CategoricalColumn
from detectors.ks import ks
from detectors.learning import Sketch, learned_reference
from detectors.psi import psi
from detectors.reference.comparing import carried, compared
from detectors.reference.promotion import promoted_reference

RNG = np.random.default_rng(0)
COLORS = np.array(["red", "green", "blue"], dtype=object)


def table(rng, n, shift=0.0):
    return {
        "normal": rng.standard_normal(n) + shift,
        "atom": np.where(rng.random(n) < 0.4, 0.5, rng.random(n) + shift),
        "lognormal": np.exp(3 * rng.standard_normal(n) + shift),
        "small": rng.poisson(2 + shift, n),
        "large": rng.integers(2**60, 2**60 + 90, n),
        "unsigned": rng.integers(2**63, 2**63 + 9, n, dtype=np.uint64),
        "constant": np.full(n, 7.0),
        "holes": np.where(rng.random(n) < 0.1 + shift / 10, np.nan, rng.integers(0, 500, n)),
        "color": COLORS[rng.integers(0, 3, n)],
        "city": np.array([f"city {k}" for k in rng.zipf(1.5, n)], dtype=object),
    }


def column_of(result, name):
    return next(column for column in result.columns if column.name == name)


def gap(old, one, other, name):
    """Largest distance of two distribution functions at the edges of the bins of a column."""
    index = [column.name for column in old.columns].index(name)
    start, missing = old.layout.starts[index], old.layout.missing[index]
    shares = [np.cumsum(some[start:missing]) / max(some[start:missing].sum(), 1) for some in (one, other)]
    return np.abs(shares[0] - shares[1]).max()


def widest_share(reference, name):
    """Share of the fullest bin that holds more than one value: what one edge can cut through."""
    index = [column.name for column in reference.columns].index(name)
    start, missing = reference.layout.starts[index], reference.layout.missing[index]
    counts = reference.counts[start:missing]
    wide = counts[~reference.columns[index].singletons]
    return wide.max() / max(counts.sum(), 1)


# Against the rows


def test_counts_carried_over_are_those_of_the_rows_to_about_a_bin():
    rng = np.random.default_rng(1)
    rows = table(rng, 20_000, shift=0.3)
    old, new = reference_of(table(rng, 5_000)), reference_of(rows)

    exact, found = counts_of(old, rows), carried(old, new)

    for name in rows:
        if name not in {"color", "city"}:
            assert gap(old, exact, found, name) <= widest_share(new, name) + 1e-12, name
    for name in ("normal", "lognormal"):
        assert widest_share(new, name) < 0.008
    by_rows, result = comparison_of(old, rows), compared(old, new)
    for index, column in enumerate(old.columns):
        of_column = column_of(result, column.name)
        assert of_column.psi == pytest.approx(psi(by_rows)[index], rel=0.1, abs=0.01), column.name
        assert of_column.ks == pytest.approx(ks(by_rows)[index], abs=0.01, nan_ok=True), column.name


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(-50, 50).map(lambda x: round(x, 1))),
    hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(-60, 60)),
    st.integers(0, 5),
)
def test_at_every_edge_the_distribution_function_is_off_by_the_bin_it_cuts_at_most(past, rows, nothing):
    rows = np.append(rows, np.full(nothing, np.nan))
    old, new = reference_of({"x": past}, resolution=32), reference_of({"x": rows}, resolution=32)

    exact, found = counts_of(old, {"x": rows}), carried(old, new)

    assert found.sum() == rows.size
    assert found[-2] == exact[-2] == nothing
    assert gap(old, exact, found, "x") <= widest_share(new, "x") + 1e-12


@pytest.mark.parametrize("name", ["small", "large", "unsigned", "constant"])
def test_values_with_bins_of_their_own_go_exactly_where_they_lie(name):
    rng = np.random.default_rng(2)
    rows = {name: table(rng, 2000, shift=1.0)[name]}
    old, new = reference_of({name: table(rng, 500)[name]}), reference_of(rows)

    assert carried(old, new).tolist() == counts_of(old, rows).tolist()


def test_numbers_of_one_type_are_carried_into_bins_of_another():
    past, rows = np.arange(100) / 4, np.arange(50)

    old, new = reference_of({"x": past}), reference_of({"x": rows})

    assert carried(old, new).tolist() == counts_of(old, {"x": rows}).tolist()
    assert carried(new, old).tolist() == counts_of(new, {"x": past}).tolist()


def test_what_was_out_of_range_goes_to_the_ends():
    rows = np.array([-np.inf] * 2 + [1.0, 2.0, 3.0] * 10 + [np.inf] * 5)
    old, new = reference_of({"x": np.arange(10.0)}), reference_of({"x": rows})

    found = carried(old, new)

    assert (found[0], found[old.columns[0].value_bins - 1]) == (2, 5)
    assert found.tolist() == counts_of(old, {"x": rows}).tolist()


# The same bins


def test_a_reference_does_not_differ_from_itself():
    reference = reference_of(table(np.random.default_rng(3), 5000), roles={"small": "output"})

    result = compared(reference, reference)

    assert carried(reference, reference).tolist() == reference.counts.tolist()
    assert max(abs(column.psi) for column in result.columns) < 1e-3  # smoothing is not nothing
    assert {column.ks for column in result.columns if column.kind == "numeric"} == {0.0}
    assert {column.name for column in result.columns} == {column.name for column in reference.columns}
    assert column_of(result, "small").role == "output"
    assert (result.added, result.removed, result.kinds) == ((), (), ())
    assert (result.rows_before, result.rows_after) == (5000, 5000)


def test_a_promoted_reference_loses_nothing():
    rng = np.random.default_rng(4)
    old = reference_of(table(rng, 5000))
    rows = table(rng, 3000, shift=2.0) | {"color": np.array(["red", "violet"] * 1500, dtype=object)}
    counts = counts_of(old, rows)
    new = promoted_reference(old, [(0, 3000, counts)], version="2", created_at=old.created_at, provenance={})

    assert carried(old, new).tolist() == counts.tolist()


def test_a_learned_reference_is_compared_like_any_other():
    rng = np.random.default_rng(5)
    values = rng.standard_normal(4000)
    sketch = Sketch.of({"x": ColumnValues(values=values)}, values.size, {})
    facts = {"model": "m", "version": "1", "created_at": "2026-01-01T00:00:00Z", "window": "1h", "time_zone": "UTC"}
    old = learned_reference(sketch, kinds={}, provenance={}, **facts).reference
    new = reference_of({"x": rng.standard_normal(4000) + 1})

    (column,) = compared(old, new).columns

    assert column.psi > 0.5
    assert column.ks == pytest.approx(0.38, abs=0.03)


# Categories


def city_reference(names, **kept):
    return reference_of({"c": np.array(names, dtype=object)}, **kept)


def test_categories_go_by_their_names_and_new_ones_to_unseen():
    old = city_reference(["a"] * 60 + ["b"] * 40)
    rows = ["b"] * 50 + ["a"] * 30 + ["z"] * 20 + [None] * 10

    new = city_reference(rows)

    assert carried(old, new).tolist() == counts_of(old, {"c": np.array(rows, dtype=object)}).tolist()


def test_a_category_that_is_pooled_in_one_and_not_in_the_other_keeps_its_name():
    often = [f"own {k}" for k in range(5) for _ in range(100)]
    old = city_reference(often + [f"rare {k}" for k in range(60)])
    rows = often[:200] + [f"rare {k}" for k in range(60) for _ in range(20)] + [f"new {k}" for k in range(30)]

    new = city_reference(rows)

    assert len(new.columns[0].pools) != len(old.columns[0].pools)
    assert carried(old, new).tolist() == counts_of(old, {"c": np.array(rows, dtype=object)}).tolist()


def pools_of(column, counts):
    """Rows of `other` and of `unseen` in each pool."""
    return [(int(counts[bin_ - 1]), int(counts[bin_])) for bin_ in column.unseen_bins]


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (4, 8), (8, 4), (2, 3), (3, 3)])
def test_rows_of_categories_that_are_not_listed_go_where_their_digests_may_lie(before, after):
    def with_pools(n):
        column = CategoricalColumn(
            name="c", role="input", categories=("own",), pools=(0,) * n, others=np.empty(0, dtype=np.uint64)
        )
        made = city_reference(["own"])
        counts = Counts(np.zeros(column.value_bins + 2, dtype=np.int64))
        starts = np.array([0, *column.pool_starts], dtype=np.intp)
        return replace(
            made, columns=(column,), counts=counts, group_starts=(starts,), means=np.full(counts.size, np.nan)
        )

    old, new = with_pools(before), with_pools(after)
    names = [f"name {k}" for k in range(4000)]
    unseen = np.array(new.columns[0].unseen_bins)
    for name in names:
        new.counts[unseen[digest(name) % after]] += 1
        new.counts[unseen[digest(name) % after] - 1] += 2
    exact = np.zeros(before)
    for name in names:
        exact[digest(name) % before] += 1

    found = pools_of(old.columns[0], carried(old, new))

    assert sum(unseen for _, unseen in found) == 4000
    np.testing.assert_allclose(
        [unseen for _, unseen in found], exact, rtol=0.1 if before > after or after % before else 0
    )
    np.testing.assert_allclose(
        [other for other, _ in found], 2 * exact, rtol=0.1 if before > after or after % before else 0
    )


# Columns


def test_columns_are_ordered_by_how_much_changed_values_or_missing():
    rng = np.random.default_rng(6)
    past = {name: rng.standard_normal(4000) for name in ("same", "moved", "holes", "gone", "turned")}
    rows = {name: rng.standard_normal(4000) for name in ("same", "moved", "holes", "new", "turned")}
    rows["moved"] += 2
    rows["holes"][rng.random(4000) < 0.3] = np.nan
    rows["turned"] = np.where(rows["turned"] > 0, "yes", "no").astype(object)

    result = compared(reference_of(past), reference_of(rows))

    assert [column.name for column in result.columns] == ["moved", "holes", "same"]
    holes = column_of(result, "holes")
    assert (holes.missing_before, holes.missing_after) == (0.0, pytest.approx(0.3, abs=0.03))
    assert (result.added, result.removed) == (("new",), ("gone",))
    assert [(kind.name, kind.before, kind.after) for kind in result.kinds] == [("turned", "numeric", "categorical")]


def test_a_column_without_a_value_has_no_distance():
    nothing, values = np.full(50, np.nan), np.arange(50.0)
    empty, full = reference_of({"x": nothing}), reference_of({"x": values})

    for old, new, missing in ((empty, full, (1.0, 0.0)), (full, empty, (0.0, 1.0)), (empty, empty, (1.0, 1.0))):
        (column,) = compared(old, new).columns
        assert np.isnan([column.psi, column.ks]).all()
        assert (column.missing_before, column.missing_after) == missing
        assert column.strength == abs(missing[0] - missing[1])
        assert carried(old, new).sum() == 50


def test_references_are_not_written_to():
    rng = np.random.default_rng(7)
    old, new = reference_of(table(rng, 300)), reference_of(table(rng, 300, shift=1.0))
    before = old.counts.copy(), new.counts.copy()

    compared(old, new)

    assert (old.counts == before[0]).all()
    assert (new.counts == before[1]).all()
    assert Binner(old.columns).layout.n_bins_total == carried(old, new).size
