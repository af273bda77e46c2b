"""P-values against scipy, and their behaviour when nothing changed."""

import itertools

import numpy as np
import pytest
from making import counts_of, reference_of
from scipy import stats

from detectors.arrays import Counts
from detectors.binning import Binner
from detectors.comparison import Comparer, GroupPair
from detectors.evidence import EVIDENCE, Assessor
from detectors.ks_null import KsNull, survival
from detectors.pearson import omnibus_pvalue
from detectors.power import smallest_detectable_shift
from detectors.psi import excess_of, psi_excess
from detectors.quality import Quality
from detectors.two_bins import EXPECTED_MIN, share_pvalue, unseen_pvalue

DRAWS = 20_000
DECILES = tuple(np.round(np.arange(1, 10) / 10, 3).tolist())


def pair(reference, current):
    starts = np.cumsum([0, *map(len, reference[:-1])]).astype(np.intp)
    sizes = np.array(list(map(len, reference)), dtype=np.intp)
    return GroupPair(Counts(np.concatenate(reference)), Counts(np.concatenate(current)), starts, sizes)


def test_shares_of_few_rows_have_the_exact_hypergeometric_pvalue():
    rng = np.random.default_rng(0)
    n, m = rng.integers(1, 3000, (2, 4000))
    c = np.minimum(rng.poisson(rng.choice([0, 1, 5, 50], 4000)), n)
    r = np.minimum(rng.poisson(rng.choice([0, 1, 5, 500], 4000)), m)
    flip = rng.random(4000) < 0.3
    c, r = np.where(flip, n - c, c), np.where(flip, m - r, r)
    total, marked = n + m, c + r

    found = share_pvalue(c, n, r, m)

    tails = stats.hypergeom.cdf(c, total, marked, n), stats.hypergeom.sf(c - 1, total, marked, n)
    expected = np.minimum(1, 2 * np.minimum(*tails))
    exact = (np.minimum(n, m) * np.minimum(marked, total - marked) / total < EXPECTED_MIN) & ~np.isnan(found)
    assert exact.sum() > 1500
    assert found[exact] == pytest.approx(expected[exact], rel=1e-8)
    nothing = (marked == 0) | (marked == total)
    assert np.array_equal(np.isnan(found), nothing)


def test_shares_of_many_rows_have_pearsons_pvalue():
    c, n, r, m = (np.array([value]) for value in (130, 1000, 1000, 10_000))
    table = [[130, 870], [1000, 9000]]

    expected = stats.chi2_contingency(table, correction=False).pvalue

    assert share_pvalue(c, n, r, m)[0] == pytest.approx(expected, rel=0.02)


def test_the_far_tail_keeps_its_digits():
    found = share_pvalue(*(np.array([value]) for value in (60, 1000, 0, 100_000)))[0]

    assert found == pytest.approx(2 * stats.hypergeom.sf(59, 101_000, 60, 1000), rel=1e-6)
    assert 0 < found < 1e-100


def test_a_category_that_never_occurred_has_the_product_as_pvalue():
    n, m, c = 1000, 10_000, 4
    product = np.prod([(n - i) / (n + m - i) for i in range(c)])

    zero = np.array([0])

    assert unseen_pvalue(np.array([c]), np.array([n]), zero, zero, np.array([m]))[0] == pytest.approx(product, rel=1e-9)


def test_one_unseen_value_in_ten_thousand_is_no_drift():
    rng = np.random.default_rng(1)
    reference = reference_of({"x": rng.choice(["a", "b"], 10_000)})
    window = rng.choice(["a", "b"], 10_000)
    window[0] = "new"
    counts = counts_of(reference, {"x": window})

    _, evidence = Assessor(reference).assess(counts)

    assert evidence.pvalues[EVIDENCE.index("unseen"), 0] > 0.4
    assert evidence.effects[EVIDENCE.index("unseen"), 0] < 0.005


@pytest.mark.parametrize(("exponent", "m", "n"), [(1.2, 5000, 500), (1.5, 2000, 2000), (2.0, 500, 2000)])
def test_unseen_categories_of_unchanged_traffic_are_expected(exponent, m, n):
    rng = np.random.default_rng(2)
    weights = np.arange(1, 50_001) ** -exponent
    cdf = np.cumsum(weights / weights.sum())
    pvalues = []
    for _ in range(600):
        past, now = np.searchsorted(cdf, rng.random(m)), np.searchsorted(cdf, rng.random(n))
        names, often = np.unique(past, return_counts=True)
        facts = (np.sum(~np.isin(now, names)), n, np.sum(often == 1), np.sum(often == 2), m)
        pvalues.append(unseen_pvalue(*(np.array([value]) for value in facts))[0])

    rate = np.mean(np.nan_to_num(pvalues, nan=1.0) <= 0.05)

    assert rate <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 600)


def test_pearsons_pvalue_is_scipys_where_nothing_is_merged():
    rng = np.random.default_rng(3)
    reference = rng.integers(400, 600, (40, 10))
    current = rng.integers(20, 90, (40, 10))

    found, test_groups, _ = omnibus_pvalue(pair(list(reference), list(current)))

    expected = [
        stats.chi2_contingency([c, r], correction=False).pvalue for c, r in zip(current, reference, strict=True)
    ]
    assert found == pytest.approx(expected, rel=1e-9)
    assert (test_groups == 10).all()


def naive_merge(reference, current):
    n, m = sum(current), sum(reference)
    groups, r_sum, c_sum, expected = [], 0, 0, 0.0
    for r, c in zip(reference, current, strict=True):
        r_sum, c_sum, expected = r_sum + r, c_sum + c, expected + r * n / m
        if expected >= 9 and r_sum >= 45:
            groups.append([c_sum, r_sum])
            r_sum, c_sum, expected = 0, 0, 0.0
    if r_sum or c_sum or expected:
        if groups:
            groups[-1] = [groups[-1][0] + c_sum, groups[-1][1] + r_sum]
        else:
            groups.append([c_sum, r_sum])
    return groups


def test_sparse_groups_are_merged_with_their_neighbours():
    rng = np.random.default_rng(4)
    reference = [np.sort(rng.integers(1, 300, rng.integers(2, 30)))[::-1] for _ in range(200)]
    current = [rng.multinomial(rng.integers(30, 400), r / r.sum()) for r in reference]

    found, test_groups, merged = omnibus_pvalue(pair(reference, current))

    for column, (r, c) in enumerate(zip(reference, current, strict=True)):
        groups = naive_merge(r.tolist(), c.tolist())
        if len(groups) == 1:
            continue
        assert test_groups[column] == len(groups)
        start, size = merged.starts[column], merged.sizes[column]
        assert merged.current[start : start + size].tolist() == [group[0] for group in groups]
        expected = stats.chi2_contingency(np.array(groups).T, correction=False).pvalue
        assert found[column] == pytest.approx(expected, rel=1e-9)


def test_a_column_with_one_group_far_ahead_is_tested_by_its_share():
    groups = pair([np.array([9900, 100]), np.array([500, 500])], [np.array([50, 50]), np.array([50, 50])])

    found, test_groups, _ = omnibus_pvalue(groups)

    assert found[0] == pytest.approx(2 * stats.hypergeom.cdf(50, 10_100, 9950, 100), rel=1e-6)
    assert test_groups.tolist() == [2, 2]


def test_a_small_reference_is_tested_by_its_lower_half():
    groups = pair([np.full(10, 4)], [np.array([30, 20, 10, 10, 5, 5, 5, 5, 5, 5])])

    found, test_groups, _ = omnibus_pvalue(groups)

    assert test_groups.tolist() == [2]
    expected = stats.chi2_contingency([[75, 25], [20, 20]], correction=False).pvalue
    assert found[0] == pytest.approx(expected, rel=1e-9)


def test_a_share_far_from_the_other_warns_of_nothing():
    assert share_pvalue(*(np.array([value]) for value in (2000, 2000, 0, 10**6)))[0] < 1e-300


@pytest.mark.parametrize(("m", "n"), [(60, 1000), (100, 1000), (100, 100_000), (300, 100_000), (1000, 100_000)])
def test_small_references_are_not_too_quick_to_see_drift_in_large_windows(m, n):
    rng = np.random.default_rng(m + n)
    past = np.diff(-(-np.arange(11) * m // 10))
    mass = rng.dirichlet(past + np.arange(10) // 9, 4000)

    pvalues = omnibus_pvalue(pair(list(np.tile(past, (4000, 1))), list(rng.multinomial(n, mass))))[0]

    assert np.mean(pvalues <= 0.05) <= 0.075
    assert np.mean(pvalues <= 0.01) <= 0.02


CATEGORY_LAWS = {
    "200 alike": np.full(200, 1 / 200),
    "30 alike": np.full(30, 1 / 30),
    "12 alike": np.full(12, 1 / 12),
    "5,000 by rank": np.arange(1, 5001) ** -1.1,
    "50 by rank": np.arange(1, 51) ** -0.9,
    "300 lognormal": np.random.default_rng(3).lognormal(size=300),
    "99 to 1": np.array([99.0, 1.0]),
}


@pytest.mark.parametrize("law", CATEGORY_LAWS)
def test_being_frequent_by_luck_is_no_drift(law):
    """Groups are chosen by the counts that are tested; unchanged categories must not pay for it."""
    rng = np.random.default_rng(0)
    cdf = np.cumsum(CATEGORY_LAWS[law] / CATEGORY_LAWS[law].sum())
    names = np.array([f"c{i}" for i in range(cdf.size)])
    rejected = []
    for m, n in ((100, 100), (1000, 300), (1000, 5000), (5000, 5000)):
        for _ in range(25):
            past, *windows = (
                names[np.minimum(np.searchsorted(cdf, rng.random(k)), cdf.size - 1)] for k in (m, n, n, n)
            )
            reference = reference_of({"x": past})
            assessor = Assessor(reference)
            rejected += [assessor.assess(counts_of(reference, {"x": w}))[1].pvalues[0, 0] <= 0.05 for w in windows]

    # 300 windows of 100 references: three standard errors, clustered by reference
    assert np.mean(rejected) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def test_single_groups_and_empty_sides_have_no_pvalue():
    empty = np.array([0, 0])
    full = np.array([50, 50])
    groups = pair([np.array([100]), full, empty, np.array([100, 0])], [np.array([100]), empty, full, np.array([50, 0])])

    found, test_groups, _ = omnibus_pvalue(groups)

    assert np.isnan(found).all()
    assert test_groups[0] == 1


def assert_nominal(pvalues, n):
    slack = 1.0 if n >= 100 else 1.3
    for alpha in (0.05, 0.01):
        rate = np.mean(pvalues <= alpha)
        assert 0.8 * alpha <= rate <= slack * (alpha + 3 * np.sqrt(alpha * (1 - alpha) / DRAWS)), (n, alpha, rate)


@pytest.mark.parametrize("n", [30, 33, 34, 50, 80, 100, 300, 1000, 10_000, 100_000])
def test_unchanged_columns_are_rejected_at_the_nominal_rate(n):
    """20,000 references of 10,000 rows, each with its own deciles, and a window of each.

    The true mass between order statistics is Dirichlet whatever the distribution, so counts can be drawn exactly.
    """
    rng = np.random.default_rng(n)
    mass = rng.dirichlet([1000] * 9 + [1001], DRAWS)
    current = rng.multinomial(n, mass)
    groups = pair(list(np.full((DRAWS, 10), 1000)), list(current))

    pvalues = omnibus_pvalue(groups)[0]

    assert_nominal(pvalues, n)
    if n >= 100:
        assert abs(np.mean(excess_of(groups))) < 0.006


@pytest.mark.parametrize("n", [30, 100, 300])
def test_unchanged_rows_are_rejected_at_the_nominal_rate(n):
    """The same from raw rows: 10 references of 50 columns and 40 windows of each."""
    rng = np.random.default_rng(n)
    pvalues, ks, excess = [], [], []
    for _ in range(10):
        reference = reference_of({f"c{i}": rng.standard_normal(10_000) for i in range(50)})
        comparer, binner = Comparer(reference), Binner(reference.columns)
        null = KsNull(comparer.compare(reference.counts).groups, np.arange(50))
        for _ in range(DRAWS // 500):
            comparison = comparer.compare(binner.count_rows(rng.standard_normal((n, 50))))
            pvalues.append(omnibus_pvalue(comparison.groups)[0])
            ks.append(null.pvalue(comparison.groups))
            excess.append(psi_excess(comparison))

    assert_nominal(np.concatenate(pvalues), n)
    assert np.mean(np.concatenate(ks) <= 0.05) == pytest.approx(0.05, abs=0.012)
    assert np.mean(np.concatenate(ks) <= 0.01) == pytest.approx(0.01, abs=0.007)
    if n >= 100:
        assert abs(np.mean(excess)) < 0.006


def test_the_null_of_ks_on_groups_is_the_bridge_on_the_grid():
    rng = np.random.default_rng(5)
    for grid in (DECILES, (0.05, 0.6, 0.9), (0.4, 0.4005, 0.9), (0.001, 0.5, 0.999), (0.5,), (0.999,)):
        times = np.array([*grid, 1.0])
        walk = np.cumsum(rng.standard_normal((100_000, times.size)) * np.sqrt(np.diff(times, prepend=0.0)), axis=1)
        highest = np.abs(walk - times * walk[:, -1:])[:, :-1].max(axis=1)
        x = np.array([0.4, 0.7, 1.0, 1.4])
        assert survival(x, grid) == pytest.approx(np.mean(highest[:, None] >= x, axis=0), abs=0.008)


def test_the_tail_of_ks_falls_without_a_step():
    p = survival(np.linspace(0.0, 6.0, 601), DECILES).tolist()

    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(p))
    assert 0 < p[-1] < 1e-30
    assert p[0] == pytest.approx(1.0, abs=0.01)
    assert np.isnan(survival(np.array([np.nan]), DECILES)).all()


def test_ks_has_no_pvalue_for_categories_empty_windows_and_single_groups():
    reference = reference_of({"x": np.arange(50.0), "c": np.array(["a", "b"] * 25), "k": np.full(50, 3.0)})
    assessor = Assessor(reference)

    def ks(columns):
        return assessor.assess(counts_of(reference, columns))[1].ks

    assert np.isnan(ks({"x": np.arange(0.0)})).all()
    found = ks({"x": np.arange(9.0), "c": np.array(["a"] * 9), "k": np.full(9, 3.0)})
    assert np.isnan(found).tolist() == [False, True, True]


def test_quality_counts_what_is_missing_invalid_unseen_and_out_of_range():
    reference = reference_of({"x": np.arange(50.0), "c": np.array(["a", "b"] * 25), "e": np.full(50, np.nan)})
    window = {
        "x": np.array([-1, 1, 99, None, "t"], dtype=object),
        "c": np.array(["a", "new", None, [], "b"], dtype=object),
        "e": np.array([1.0, np.nan, 2.0, 3.0, 4.0]),
    }

    found = Quality(reference.layout, counts_of(reference, window))

    assert found.rows.tolist() == [5, 5, 5]
    assert found.present.tolist() == [3, 3, 4]
    assert found.missing_ratio.tolist() == [0.2, 0.2, 0.2]
    assert found.invalid_ratio.tolist() == [0.2, 0.2, 0.0]
    assert found.unseen_ratio.tolist() == [0.0, 1 / 3, 0.0]
    assert found.out_of_range_ratio.tolist() == [2 / 3, 0.0, 0.0]


def test_the_smallest_detectable_shift_is_found_four_times_in_five():
    rng = np.random.default_rng(6)
    reference = reference_of({"x": rng.standard_normal(20_000)})
    comparer, binner = Comparer(reference), Binner(reference.columns)
    for n in (100, 1000):
        tested = omnibus_pvalue(comparer.compare(binner.count_rows(rng.standard_normal((n, 1)))).groups)[2]
        shift = smallest_detectable_shift(tested, np.array([0.001]), 0.0)[0]

        found = []
        for _ in range(600):
            groups = comparer.compare(binner.count_rows(rng.normal(shift, 1, (n, 1)))).groups
            found.append(omnibus_pvalue(groups)[0][0] <= 0.001)

        assert 0.7 < np.mean(found) < 0.93


def test_the_effect_gate_bounds_the_smallest_shift_of_large_windows():
    groups = pair([np.full(10, 10**6)], [np.full(10, 10**6)])

    assert smallest_detectable_shift(groups, np.array([0.001]), 0.005)[0] == pytest.approx(0.0727, rel=0.01)
    assert np.isnan(smallest_detectable_shift(pair([np.array([5])], [np.array([5])]), np.array([0.001]), 0.005)[0])
