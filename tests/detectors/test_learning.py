"""References of sketches: equal to built ones where columns are exact, and quiet about unchanged traffic everywhere."""

import numpy as np
import pytest
from making import counts_of, reference_of, values_of

from detectors.binning import Binner, ColumnValues, TextValues
from detectors.binning.values import selected, size_of
from detectors.catalog import statistics
from detectors.errors import EmptyReferenceError
from detectors.evidence import EVIDENCE, Assessor
from detectors.learning import Sketch, learned_reference, merged
from detectors.reference import from_form, reference_id, to_form

FACTS = {"model": "m", "version": "1", "created_at": "2026-01-01T00:00:00Z", "window": "1h", "time_zone": "UTC"}


def sketch_of(columns, roles=None, parts=1):
    columns = {name: values_of(column) for name, column in columns.items()}
    n_rows = max(map(size_of, columns.values()))
    part = np.arange(n_rows) % parts
    return merged(
        [
            Sketch.of({k: selected(v, part == p) for k, v in columns.items()}, int((part == p).sum()), roles or {})
            for p in range(parts)
        ]
    )


def learn(columns, *, roles=None, parts=1, kinds=None, **kept):
    return learned_reference(sketch_of(columns, roles, parts), kinds=kinds or {}, provenance={}, **FACTS, **kept)


def found(columns, kinds=None):
    """Kind and note of each column, beside one that can be watched."""
    n_rows = size_of(values_of(next(iter(columns.values()))))
    findings = learn({**columns, "ok": np.arange(n_rows) % 7}, kinds=kinds).findings
    return {f.name: (f.kind, f.note) for f in findings if f.name != "ok"}


def objects(values):
    return ColumnValues(values=np.fromiter(values, dtype=np.object_, count=len(values)))


# --- equal to a built reference -------------------------------------------------------------------------------------


def exact_columns(rng, n):
    sparse = objects([None if r < 0.1 else float(r * 40 // 1) for r in rng.random(n)])
    return {
        "atom": np.where(rng.random(n) < 0.4, 0.1, rng.integers(0, 1500, n) / 8),
        "bool": rng.random(n) < 0.2,
        "hour": rng.integers(0, 24, n),
        "infinite": np.where(rng.random(n) < 0.01, -np.inf, rng.integers(0, 9, n)),
        "many": np.array([f"k{i}" for i in np.minimum(rng.zipf(1.5, n), 900)]),
        "negative": rng.integers(-300, 300, n) / 4,
        "small": rng.integers(-3, 4, n) / 2,
        "sparse": sparse,
        "text": rng.choice(["a", "b", "ü"], n, p=[0.7, 0.2, 0.1]),
        "two": rng.integers(0, 1800, n),
    }


@pytest.mark.parametrize("resolution", [32, 256, 4096])
def test_exact_columns_give_the_reference_that_the_builder_gives(resolution):
    columns = exact_columns(np.random.default_rng(0), 20_000)
    built = reference_of(columns, kinds={"sparse": "numeric"}, resolution=resolution, categories_max=300)

    learned = learn(columns, parts=7, resolution=resolution, categories_max=300).reference

    assert reference_id(learned) == reference_id(built)
    assert learned.exact.all()
    assert learned.mean == pytest.approx(built.mean, rel=1e-9, nan_ok=True)
    assert learned.deviation == pytest.approx(built.deviation, rel=1e-9, nan_ok=True)
    assert learned.means == pytest.approx(built.means, rel=1e-9, nan_ok=True)
    assert (learned.time_column, learned.blocks, learned.rows) == (None, None, 20_000)
    assert to_form(from_form(to_form(learned))) == to_form(learned)


def test_text_cells_give_the_reference_that_the_builder_gives():
    rng = np.random.default_rng(1)
    cells = [["7", "007", "2.50", "x", "NA", "", "1e3"][i] for i in rng.integers(0, 7, 4000)]
    columns = {"x": TextValues(cells=cells)}
    numeric, categorical = (learn(columns, parts=3, kinds={"x": kind}).reference for kind in ("numeric", "categorical"))

    binned = [Binner(reference.columns).count(columns) for reference in (numeric, categorical)]

    assert numeric.columns[0].points.tolist() == [2.5, 7.0, 1000.0]
    assert set(categorical.columns[0].categories) == {"7", "007", "2.50", "x", "NA", "1e3"}
    assert np.array_equal(numeric.counts, binned[0])
    assert np.array_equal(categorical.counts, binned[1])


def test_numbers_and_booleans_of_a_categorical_column_have_their_names():
    values = objects([1, 1.0, 2.5, True, False, "1", "x", None, [], float("inf"), 2**60 + 1, 1e300] * 5)
    reference = learn({"x": values}, kinds={"x": "categorical"}).reference

    assert set(reference.columns[0].categories) == {
        "1", "2.5", "true", "false", "x", "inf", str(2**60 + 1), "1e+300",
    }  # fmt: skip
    assert np.array_equal(reference.counts, counts_of(reference, {"x": values}))


def test_booleans_among_numbers_are_zero_and_one():
    rng = np.random.default_rng(2)
    few = objects([*rng.integers(0, 5, 400).tolist(), *[True] * 30, "x"])
    many = objects([*rng.standard_normal(4000).tolist(), *[True] * 30, *[False] * 20, "x"])

    for values in (few, many):
        reference = learn({"x": values}).reference
        assert reference.columns[0].kind == "numeric"
        assert np.array_equal(reference.counts, counts_of(reference, {"x": values}))


# --- coarse columns -------------------------------------------------------------------------------------------------


def laws(rng, n):
    """Columns of all sorts, most of them with far more values than cells."""
    return {
        "normal": rng.standard_normal(n),
        "offset": 1e9 + rng.standard_normal(n),
        "lognormal": rng.lognormal(0, 2, n),
        "zero_inflated": np.where(rng.random(n) < 0.3, 0.0, rng.lognormal(0, 1, n)),
        "zero_between": np.where(rng.random(n) < 0.3, 0.0, rng.standard_normal(n)),
        "two_decimals": np.round(rng.gamma(2, 20, n), 2),
        "integers": rng.integers(0, 20_000, n),
        "heavy_atom": np.where(rng.random(n) < 0.3, 0.1, rng.standard_normal(n)),
        "light_atom": np.where(rng.random(n) < 0.06, 0.1, rng.standard_normal(n)),
        "cauchy": rng.standard_cauchy(n),
        "missing": np.where(rng.random(n) < 0.1, np.nan, rng.random(n)),
        "few": rng.choice(list("abcde"), n, p=[0.5, 0.2, 0.2, 0.07, 0.03]),
        "many": np.array([f"k{i}" for i in np.minimum(rng.zipf(1.3, n), 10**6)]),
        "flag": rng.random(n) < 0.2,
    }


def naive_counts(column, values):
    """Value bins from the definition of the bins."""
    edges = []
    for point, atom in zip(column.points.tolist(), column.atoms.tolist(), strict=True):
        edges += [np.nextafter(point, -np.inf)] * atom + [point]
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)


@pytest.mark.parametrize("name", [name for name in laws(np.random.default_rng(0), 1) if name not in ("few", "many", "flag")])  # fmt: skip
@pytest.mark.parametrize("n", [10_000, 60_000])
def test_counts_of_coarse_columns_are_those_of_the_rows(name, n):
    values = laws(np.random.default_rng(3), n)[name]
    sketch = sketch_of({name: values}, parts=5)
    reference = learned_reference(sketch, kinds={}, provenance={}, **FACTS).reference
    column = reference.columns[0]

    assert sketch.columns[name].cells.shift > 0
    assert not reference.exact[0]
    assert column.points.size <= 256
    assert np.array_equal(reference.counts, counts_of(reference, {name: values}))
    assert np.array_equal(reference.counts[:-2], naive_counts(column, values[~np.isnan(values)]))
    assert column.points[-1] == np.nanmax(values)
    assert column.points[0] in (np.nanmin(values), np.nextafter(np.nanmin(values), -np.inf))
    if name != "cauchy":
        assert reference.mean[0] == pytest.approx(np.nanmean(values), abs=0.01 * np.nanstd(values))
        assert reference.deviation[0] == pytest.approx(np.nanstd(values), rel=0.01)


def test_zero_is_an_atom_with_a_group_of_its_own_beside_continuous_values():
    reference = learn({"x": laws(np.random.default_rng(4), 10_000)["zero_between"]}).reference
    column, starts = reference.columns[0], reference.group_starts[0].tolist()
    own = int(np.flatnonzero(column.points == 0)[0])
    bin_of_zero = own + int(column.atoms[: own + 1].sum())

    assert column.atoms[own]
    assert {bin_of_zero, bin_of_zero + 1} <= set(starts)


def test_a_heavy_value_that_shares_its_cell_is_in_a_group_with_that_cell_alone():
    values = laws(np.random.default_rng(5), 10_000)["heavy_atom"]
    reference = learn({"x": values}).reference
    groups = np.add.reduceat(reference.counts[:-2], reference.group_starts[0])

    assert (values == 0.1).sum() <= groups.max() <= (values == 0.1).sum() + 30


def test_a_heavy_first_cell_makes_no_empty_group():
    rng = np.random.default_rng(6)
    values = np.concatenate([np.full(6000, 1.0), 1 + rng.random(50) * 1e-12, 2 + rng.random(9000)])
    reference = learn({"x": values}).reference

    assert np.array_equal(reference.counts, counts_of(reference, {"x": values}))
    assert np.add.reduceat(reference.counts[:-2], reference.group_starts[0]).min() > 0


def test_the_least_double_is_not_left_behind():
    values = np.concatenate([np.full(2, -np.finfo(float).max), [-np.finfo(float).max * (1 - 1e-12)], np.random.default_rng(7).random(9000)])  # fmt: skip
    reference = learn({"x": values}).reference

    assert np.isfinite(reference.columns[0].points).all()
    assert reference.counts.sum() == values.size


def test_infinities_are_out_of_the_learned_range():
    values = np.concatenate([[-np.inf, np.inf, np.inf], np.random.default_rng(8).standard_normal(9000)])
    reference = learn({"x": values}).reference

    assert (reference.counts[0], reference.counts[-3]) == (1, 2)
    assert np.array_equal(reference.counts, counts_of(reference, {"x": values}))


def test_the_largest_resolution_makes_every_cell_a_bin():
    values = np.random.default_rng(9).standard_normal(30_000)
    sketch = sketch_of({"x": values})
    reference = learned_reference(sketch, kinds={}, provenance={}, resolution=4096, **FACTS).reference

    assert reference.columns[0].points.size == sketch.columns["x"].cells.lows.size
    assert np.array_equal(reference.counts, counts_of(reference, {"x": values}))


def test_unchanged_traffic_does_not_look_drifted():
    """15 learned references, 20 windows each: 300 of every law."""
    rejected, ks = [], []
    for seed in range(15):
        rng = np.random.default_rng(100 + seed)
        reference = learn(laws(rng, 10_000), parts=10).reference
        assessor, binner = Assessor(reference), Binner(reference.columns)
        for _ in range(20):
            window = {name: ColumnValues(values=values) for name, values in laws(rng, 2000).items()}
            comparison, evidence = assessor.assess(binner.count(window))
            rejected.append(np.nan_to_num(evidence.pvalues, nan=1.0) <= 0.05)
            ks.append(statistics(comparison)["ks"])
    rate = np.mean(rejected, axis=0)
    names = [column.name for column in reference.columns]

    assert len(names) == 14
    assert {name: float(r) for name, r in zip(names, rate[0], strict=True) if not 0.01 <= r <= 0.09} == {}
    assert 0.01 <= rate[EVIDENCE.index("missing"), names.index("missing")] <= 0.09
    assert rate[EVIDENCE.index("unseen")].max() <= 0.09
    numeric = np.array(ks)[:, reference.layout.numeric]
    assert numeric.mean(axis=0).max() < 0.025  # 0.021 is what chance gives
    assert numeric.max() < 0.06


def test_a_shift_is_found():
    rng = np.random.default_rng(10)
    reference = learn({"x": rng.standard_normal(10_000), "a": laws(rng, 10_000)["heavy_atom"]}).reference

    _, evidence = Assessor(reference).assess(counts_of(reference, {"x": 0.3 + rng.standard_normal(2000), "a": rng.standard_normal(2000)}))  # fmt: skip

    assert (evidence.pvalues[0] < 1e-6).all()


# --- missing columns ------------------------------------------------------------------------------------------------


def events(rng, n):
    """Requests and responses as separate events; both carry an identifier that is no input."""
    response = np.arange(2 * n) % 2 == 1
    ids = np.array([f"request-{i // 2}" for i in range(2 * n)])
    return {
        "id": ColumnValues(values=ids),
        "x": ColumnValues(values=np.where(response, np.nan, rng.standard_normal(2 * n)), absent=response),
        "y": ColumnValues(values=rng.integers(0, 5, 2 * n), absent=response | (rng.random(2 * n) < 0.2)),
        "out": ColumnValues(values=rng.standard_normal(2 * n), absent=~response),
    }


def test_responses_are_not_requests_without_inputs():
    columns = events(np.random.default_rng(11), 6000)
    learned = learn(columns, roles={"out": "output"}, parts=4)
    reference = learned.reference

    assert [f.name for f in learned.findings if f.kind is None] == ["id"]
    assert [column.role for column in reference.columns] == ["output", "input", "input"]
    assert np.array_equal(reference.counts, Binner(reference.columns).count(columns))
    assert reference.counts[reference.layout.missing].tolist() == [0, 0, int(columns["y"].absent.sum()) - 6000]


def test_where_patterns_are_too_many_the_rows_of_the_role_count():
    rng = np.random.default_rng(12)
    columns = {
        f"c{i:02}": ColumnValues(values=rng.integers(0, 3, 3000), absent=rng.random(3000) < 0.5) for i in range(12)
    }
    reference = learn(columns, parts=3).reference

    assert np.array_equal(reference.counts, Binner(reference.columns).count(columns))


# --- what columns are -----------------------------------------------------------------------------------------------

TEXT = "text, 2 distinct"
IDS = [f"id-{i}" for i in range(300)]


@pytest.mark.parametrize(
    ("values", "declared", "kind", "note"),
    [
        (np.arange(300) % 5, None, "numeric", "numbers"),
        (objects([*range(5)] * 57 + ["x"] * 15), None, "numeric", "numbers, 5.0% other values count as invalid"),
        (objects([*range(5)] * 56 + ["x", "y"] * 10), None, "categorical", "text, 7 distinct, mixed with 93% numbers"),
        (np.array(["a", "b"] * 150), None, "categorical", TEXT),
        (np.arange(300) % 2 == 0, None, "categorical", "booleans"),
        (TextValues(cells=["1", "2", "NA"] * 100), None, "numeric", "numbers"),
        (TextValues(cells=["NA", "x"] * 150), None, "categorical", TEXT),
        (np.full(300, np.nan), None, None, "no value in 300 rows"),
        (np.full(300, np.nan), "numeric", "numeric", "warning: no value in 300 rows"),
        (np.full(300, np.nan), "categorical", "categorical", "warning: no value in 300 rows"),
        (objects([[1], [2], "x"] * 100), None, None, "lists or objects"),
        (np.full(300, np.inf), None, None, "no finite number"),
        (np.full(300, np.inf), "numeric", "numeric", ""),
        (np.array(IDS), None, None, "looks like an identifier: 100% of the values are distinct"),
        (np.array(IDS[:150] * 2), None, None, "looks like an identifier: 100% of the values occur once or twice"),
        (np.array(IDS[:100] * 3), None, "categorical", "text, 100 distinct"),
        (np.array(IDS), "categorical", "categorical", ""),
        (np.array(IDS), "numeric", "numeric", "warning: 100.0% of the values are not numbers and count as invalid"),
        (np.array(["x" * 2000] * 300), None, None, "looks like an identifier or free text: more than 10,000 texts, or one of over 1,024 bytes"),
        (np.array(["x" * 2000] * 300), "categorical", None, "declared categorical, but looks like an identifier or free text: more than 10,000 texts, or one of over 1,024 bytes"),
        (np.arange(300) / 3, "numeric", "numeric", ""),
        (objects([f"t{i}" for i in range(3000)] + [i / 7 for i in range(3000)]), None, None, "there are too many numbers, or too many ways of writing them, to name each"),
        (np.arange(300, dtype=np.float32) / 3, "categorical", None, "declared categorical, but there are too many numbers, or too many ways of writing them, to name each"),
        (np.arange(1000, 1300), None, None, "looks like an identifier: a counter, each integer of a range once"),
        (np.arange(1000, 1300), "numeric", "numeric", ""),
        (np.arange(100_000), None, None, "looks like an identifier: a counter, each integer of a range once"),
        (np.random.default_rng(0).integers(0, 100_000, 100_000), None, "numeric", "numbers"),
        (np.arange(300) * 2, None, "numeric", "numbers"),
        (2**60 + 1 + np.arange(300), None, None, "looks like an identifier: integers that no double holds; declare it numeric to read them rounded"),
        (2**60 + 1 + np.arange(300), "numeric", "numeric", "warning: integers that no double holds are rounded, and those that occur often may look like drift"),
        (2**60 * (np.arange(300) % 3), None, "numeric", "numbers"),
    ],
)  # fmt: skip
def test_what_a_column_is_is_said_with_the_reason(values, declared, kind, note):
    kinds = {} if declared is None else {"x": declared}

    assert found({"x": values}, kinds)["x"] == (kind, note)


def test_a_hundred_rows_are_too_few_to_call_text_an_identifier():
    columns = {"x": np.array(IDS[:100])}

    assert learn(columns).findings[0].kind == "categorical"


def test_integers_that_no_double_holds_make_a_column_inexact():
    reference = learn({"x": 2**60 + 1 + np.arange(300)}, kinds={"x": "numeric"}).reference

    assert not reference.exact[0]


def test_columns_of_nothing_but_missing_or_infinite_values_can_be_declared():
    reference = learn(
        {"n": np.full(5, np.nan), "i": np.array([np.inf, -np.inf, np.inf, np.nan, 1.0])[:5] * np.inf, "c": np.full(5, np.nan)},
        kinds={"n": "numeric", "i": "numeric", "c": "categorical"},
    ).reference  # fmt: skip

    assert [column.name for column in reference.columns] == ["c", "i", "n"]
    assert reference.counts[reference.layout.missing].tolist() == [5, 1, 5]
    assert reference.counts[reference.layout.starts].tolist() == [0, 4, 0]


def test_a_declared_column_that_never_came_is_named():
    findings = learn({"x": np.arange(5.0)}, kinds={"y": "categorical"}).findings

    assert [(f.name, f.kind, f.note) for f in findings if f.declared] == [
        ("y", None, "declared categorical, but no row had it")
    ]


def test_without_rows_or_columns_there_is_no_reference():
    with pytest.raises(EmptyReferenceError, match="no row"):
        learned_reference(merged([]), kinds={}, provenance={}, **FACTS)
    with pytest.raises(EmptyReferenceError, match=r"no column left to monitor \(x: no value in 3 rows\)"):
        learn({"x": np.full(3, np.nan)})
    with pytest.raises(EmptyReferenceError, match="the rows have none"):
        learned_reference(Sketch.of({}, 3, {}), kinds={}, provenance={}, **FACTS)
