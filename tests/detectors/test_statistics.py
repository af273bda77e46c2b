"""Every statistic against scipy, or a naive loop written from its formula."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from making import comparison_of, counts_of, reference_of
from scipy import stats
from scipy.spatial.distance import jensenshannon

from detectors.arrays import Counts
from detectors.binning import Binner
from detectors.catalog import CATALOG, statistics
from detectors.comparison import Comparer, Comparison
from detectors.psi import psi_bias


def samples():
    rng = np.random.default_rng(0)
    yield "continuous", rng.standard_normal(500), rng.normal(0.3, 1.2, 300)
    yield "continuous, large", rng.standard_normal(20_000), rng.normal(0.02, 1, 5000)
    yield "rounded reference", rng.standard_normal(800).round(1), rng.standard_normal(400)
    yield "rounded window", rng.standard_normal(200), rng.standard_normal(400).round(1)
    yield "both rounded", rng.standard_normal(800).round(1), rng.standard_normal(400).round(1)
    yield "integers", rng.poisson(4, 1000), rng.poisson(5, 200)
    yield "many integers", rng.poisson(1000, 5000), rng.poisson(1010, 500)
    yield "zero-inflated", np.where(rng.random(900) < 0.7, 0.0, rng.random(900)), rng.random(100)
    yield "zero-inflated, both", *(np.where(rng.random(900) < p, 0.0, rng.lognormal(size=900)) for p in (0.7, 0.5))
    yield "constant", np.full(50, 3.0), np.full(20, 3.0)
    yield "constant, moved", np.full(50, 3.0), np.full(20, 4.0)
    yield "disjoint", rng.random(100), rng.random(80) + 5
    yield "disjoint below", rng.random(100), rng.random(80) - 5
    yield "two rows each", np.array([1.0, 2.0]), np.array([1.5, 2.0])
    yield "two equal rows", np.array([1.0, 1.0]), np.array([1.0, 1.0])
    yield "one row", np.array([1.0]), np.array([2.0])
    yield "heavy tails", rng.standard_cauchy(1000), rng.standard_cauchy(1000)
    yield "one outlier", np.append(rng.standard_normal(1000), 1e300), rng.standard_normal(500)
    yield "infinite window", rng.standard_normal(100), np.array([-np.inf, 0.0, np.inf, np.inf])
    yield "infinite reference", np.append(rng.standard_normal(100), [np.inf, -np.inf]), rng.standard_normal(60)
    yield "float32", rng.standard_normal(400).astype(np.float32), rng.standard_normal(300).astype(np.float32)
    yield "large integers", 2**60 + rng.integers(0, 50, 300), 2**60 + rng.integers(0, 60, 200)


SAMPLES = {name: (reference, current) for name, reference, current in samples()}


def scipy_ks(reference, current):
    with np.errstate(all="ignore"):  # scipy's p-value, which we do not ask for, divides by zero for one row
        return stats.ks_2samp(reference, current, method="asymp").statistic


def computed(reference, current, **kept):
    made = reference_of({"x": reference}, **kept)
    numbers = statistics(comparison_of(made, {"x": current}))
    return made, {name: float(values[0]) for name, values in numbers.items()}


def groups_of(made, current):
    start, end = made.layout.offsets[:2]
    window = counts_of(made, {"x": current})[start : end - 2]
    return tuple(np.add.reduceat(counts, made.group_starts[0]).tolist() for counts in (made.counts[: end - 2], window))


@pytest.mark.parametrize("name", SAMPLES)
def test_ks_is_scipys_or_brackets_it(name):
    reference, current = SAMPLES[name]
    truth = scipy_ks(reference, current)

    made, found = computed(reference, current)

    assert found["ks"] - 1e-12 <= truth <= found["ks_upper"] + 1e-12
    if np.unique(reference).size <= 256 and np.isfinite(reference.astype(float)).all():
        assert found["ks"] == pytest.approx(truth, abs=1e-12)
        assert found["ks_upper"] == pytest.approx(truth, abs=1e-12)
    assert made.counts.sum() == reference.size


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(2, 300), elements=st.integers(-9, 9).map(float) | st.floats(-10, 10)),
    hnp.arrays(np.float64, st.integers(2, 120), elements=st.integers(-9, 9).map(float) | st.floats(-10, 10)),
    st.sampled_from([32, 256]),
)
def test_ks_of_any_two_samples(reference, current, resolution):
    truth = scipy_ks(reference, current)

    _, found = computed(reference, current, resolution=resolution)

    assert found["ks"] - 1e-12 <= truth <= found["ks_upper"] + 1e-12
    if np.unique(reference).size <= resolution:
        assert found["ks"] == pytest.approx(truth, abs=1e-12)


def test_the_bracket_is_below_four_thousandths_wide_at_256_points():
    rng = np.random.default_rng(1)
    widths = [
        found["ks_upper"] - found["ks"]
        for _ in range(20)
        for _, found in [computed(rng.standard_normal(20_000), rng.standard_normal(3000))]
    ]

    assert np.median(widths) < 0.0045
    assert max(widths) < 0.01


@pytest.mark.parametrize("name", SAMPLES)
def test_chi2_and_g_are_scipys_on_the_same_groups(name):
    reference, current = SAMPLES[name]
    made, found = computed(reference, current)
    table = np.array(groups_of(made, current))
    table = table[:, table.sum(axis=0) > 0]

    chi2 = stats.chi2_contingency(table, correction=False).statistic
    g = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic

    assert found["chi2"] == pytest.approx(chi2, rel=1e-9, abs=1e-12)
    assert found["g"] == pytest.approx(g, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", SAMPLES)
def test_distances_between_shares_are_those_of_the_formulas(name):
    reference, current = SAMPLES[name]
    made, found = computed(reference, current)
    r, c = (np.array(side, dtype=float) for side in groups_of(made, current))
    q, p = r / r.sum(), c / c.sum()

    assert found["js_distance"] == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    assert found["hellinger"] == pytest.approx(math.sqrt(max(0.0, 1 - np.sqrt(p * q).sum())), abs=1e-7)
    assert found["total_variation"] == pytest.approx(np.abs(p - q).sum() / 2, abs=1e-12)
    assert found["l_infinity"] == pytest.approx(np.abs(p - q).max(), abs=1e-12)


@pytest.mark.parametrize("name", SAMPLES)
def test_psi_and_kl_are_the_naive_loop_over_smoothed_shares(name):
    reference, current = SAMPLES[name]
    made, found = computed(reference, current)
    pairs = [(r, c) for r, c in zip(*groups_of(made, current), strict=True) if r + c > 0]
    m, n, k = sum(r for r, _ in pairs), sum(c for _, c in pairs), len(pairs)
    psi = kl = 0.0
    for r, c in pairs:
        q = (r + 0.5) / (m + k / 2)
        p = (c + k / 2 * q) / (n + k / 2)
        psi += (p - q) * math.log(p / q)
        kl += p * math.log(p / q)

    assert found["psi"] == pytest.approx(psi, rel=1e-9, abs=1e-12)
    assert found["kl"] == pytest.approx(kl, rel=1e-9, abs=1e-12)
    assert found["psi_excess"] == pytest.approx(psi - (k - 1) * (n / (n + k / 2) ** 2 + 1 / m), rel=1e-9, abs=1e-12)
    assert found["kl"] == pytest.approx(stats.entropy(*_smoothed(pairs, n, m, k)), rel=1e-9, abs=1e-9)


def _smoothed(pairs, n, m, k):
    q = [(r + 0.5) / (m + k / 2) for r, _ in pairs]
    return [(c + k / 2 * s) / (n + k / 2) for (_, c), s in zip(pairs, q, strict=True)], q


def fine(made, current):
    """Fine counts and support of one column by a naive loop over bins."""
    end = made.layout.offsets[1]
    window = counts_of(made, {"x": current})[: end - 2].tolist()
    past = made.counts[: end - 2].tolist()
    points = made.columns[0].points.astype(float).tolist()
    bounds = []
    for point, atom in zip(points, made.columns[0].atoms.tolist(), strict=True):
        bounds += [point] * (1 + atom)
    support = [points[0]]
    for number in range(1, len(past) - 1):
        mean = made.means[number]
        support.append(bounds[number - 1] / 2 + bounds[number] / 2 if math.isnan(mean) else mean)
    return past, window, [*support, points[-1]]


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "large integers"])
def test_wasserstein_is_scipys_on_the_same_bins(name):
    reference, current = SAMPLES[name]
    made, found = computed(reference, current)
    past, window, support = fine(made, current)

    with np.errstate(all="ignore"):
        expected = stats.wasserstein_distance(support, support, past, window)

    assert found["wasserstein"] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    if made.deviation[0] > 0:
        assert found["wasserstein_normed"] == pytest.approx(expected / made.deviation[0], rel=1e-9, abs=1e-9)
    else:
        assert math.isnan(found["wasserstein_normed"])


def test_wasserstein_of_binned_data_is_near_that_of_the_rows():
    reference, current = SAMPLES["continuous, large"]

    assert computed(reference, current)[1]["wasserstein"] == pytest.approx(
        stats.wasserstein_distance(reference, current), abs=0.01
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_cramer_von_mises_and_anderson_darling_are_the_naive_loop(name):
    reference, current = SAMPLES[name]
    made, found = computed(reference, current)
    past, window, _ = fine(made, current)
    m, n = sum(past), sum(window)
    cvm = ad = 0.0
    below_past = below_window = 0
    for r, c in zip(past, window, strict=True):
        below_past += r
        below_window += c
        gap = below_window / n - below_past / m
        pooled = (below_past + below_window) / (n + m)
        cvm += (r + c) / (n + m) * gap**2
        if 0 < pooled < 1:
            ad += (r + c) / (n + m) * gap**2 / (pooled * (1 - pooled))

    assert found["cramer_von_mises"] == pytest.approx(n * m / (n + m) * cvm, rel=1e-9, abs=1e-12)
    assert found["anderson_darling"] == pytest.approx(n * m / (n + m) * ad, rel=1e-9, abs=1e-12)


def test_cramer_von_mises_of_rows_without_ties_is_scipys():
    rng = np.random.default_rng(2)
    reference = np.arange(0, 200, 2.0)
    current = rng.choice(np.arange(1, 200, 2.0), 40, replace=False)
    n, m = 40, 100

    # scipy's statistic is centred differently: T = U / (nm (n + m)) - (4nm - 1) / (6 (n + m)), Anderson (1962), eq. 9
    assert computed(reference, current)[1]["cramer_von_mises"] == pytest.approx(
        stats.cramervonmises_2samp(reference, current).statistic, abs=1 / (n + m)
    )


# Laws over the whole catalogue


def tables(seed):
    rng = np.random.default_rng(seed)
    return {
        "normal": rng.standard_normal(1000),
        "integer": rng.poisson(3, 1000),
        "category": rng.choice(["a", "b", "c", "d"], 1000, p=[0.6, 0.3, 0.08, 0.02]),
        "zeros": np.where(rng.random(1000) < 0.5, 0.0, rng.lognormal(size=1000)),
    }


@pytest.mark.parametrize("detector", CATALOG, ids=lambda d: d.name)
def test_identical_counts_are_at_distance_zero(detector):
    reference = reference_of(tables(0))

    values = detector.compute(Comparer(reference).compare(reference.counts))

    if detector.name == "psi_excess":
        values = values + psi_bias(Comparer(reference).compare(reference.counts).groups)
    numeric = [0, 1, 3]
    tolerance = 1e-3 if detector.name in ("psi", "psi_excess", "kl") else 0.0  # smoothing is not symmetric
    if detector.name == "ks_upper":  # the bracket does not know that the rows within a bin are the same too
        assert (values[numeric] <= 0.01).all()
        assert values[1] == 0
    else:
        assert np.abs(values[numeric]).max() <= tolerance
    if detector.reads == "groups":
        assert abs(values[2]) <= tolerance
    else:
        assert np.isnan(values[2])


@pytest.mark.parametrize("detector", [d for d in CATALOG if d.symmetric], ids=lambda d: d.name)
def test_exchanging_window_and_reference_changes_nothing(detector):
    reference = reference_of(tables(0))
    there = Comparer(reference).compare(counts_of(reference, tables(1)))
    groups, fine = there.groups, there.fine
    back = Comparison(
        replace(groups, reference=groups.current, current=groups.reference),
        replace(fine, reference=fine.current, current=fine.reference, reference_sums=fine.sums),
    )

    assert detector.compute(there) == pytest.approx(detector.compute(back), rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("detector", CATALOG, ids=lambda d: d.name)
def test_the_order_of_columns_does_not_matter(detector):
    names = ["zeros", "category", "normal", "integer"]
    before, now = tables(0), tables(1)
    reference, shuffled = reference_of(before), reference_of({name: before[name] for name in names})

    one = detector.compute(comparison_of(reference, now))
    other = detector.compute(comparison_of(shuffled, now))

    assert one[[list(before).index(name) for name in names]] == pytest.approx(other, nan_ok=True, rel=1e-12)


@pytest.mark.parametrize("detector", CATALOG, ids=lambda d: d.name)
def test_windows_side_by_side_are_windows_one_by_one(detector):
    reference = reference_of(tables(0))
    windows = [counts_of(reference, tables(seed)) for seed in (1, 2, 3)]
    comparer = Comparer(reference)

    together = detector.compute(comparer.compare(Counts(np.stack(windows))))

    for row, counts in enumerate(windows):
        assert np.array_equal(together[row], detector.compute(comparer.compare(counts)), equal_nan=True)


@pytest.mark.parametrize("detector", CATALOG, ids=lambda d: d.name)
def test_without_rows_there_is_no_number(detector):
    reference = reference_of({"x": np.arange(50.0), "c": np.array(["a", "b"] * 25)})

    empty = Counts(np.zeros(reference.layout.n_bins_total, dtype=np.int64))

    assert np.isnan(detector.compute(Comparer(reference).compare(empty))).all()


@pytest.mark.parametrize("detector", CATALOG, ids=lambda d: d.name)
def test_a_reference_without_numeric_columns_and_one_without_values(detector):
    categories = reference_of({"c": np.array(["a", "b"] * 25)})
    empty = reference_of({"x": np.full(3, np.nan)})

    value = detector.compute(comparison_of(categories, {"c": np.array(["a"] * 9)}))[0]

    assert np.isnan(value) == (detector.reads == "bins")
    assert np.isnan(detector.compute(comparison_of(empty, {"x": np.arange(9.0)}))[0])


def test_inputs_are_not_written_to():
    reference = reference_of(tables(0))
    counts = counts_of(reference, tables(1))
    before = counts.copy()
    counts.flags.writeable = False

    statistics(Comparer(reference).compare(counts))

    assert np.array_equal(counts, before)
    assert not reference.counts.flags.writeable


def test_counts_of_another_reference_are_refused():
    reference = reference_of(tables(0))

    with pytest.raises(ValueError, match="counts: 3 bins"):
        Comparer(reference).compare(Counts(np.zeros(3, dtype=np.int64)))


def test_ten_times_the_rows_give_nearly_the_same_excess():
    rng = np.random.default_rng(3)
    reference = reference_of({"x": rng.standard_normal(20_000)})
    binner = Binner(reference.columns)
    comparer = Comparer(reference)
    excess = [
        np.mean(
            [
                statistics(comparer.compare(binner.count_rows(rng.normal(0.5, 1, (n, 1)))))["psi_excess"][0]
                for _ in range(100_000 // n)
            ]
        )
        for n in (300, 3000)
    ]

    assert excess[0] == pytest.approx(excess[1], abs=0.02)
    assert excess[1] == pytest.approx(0.238, abs=0.02)
