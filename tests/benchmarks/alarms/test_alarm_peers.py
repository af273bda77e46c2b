import numpy as np
import peers
import pytest
from measures import Gauge, doane_edges, log_chi2_tail, log_ks_tail
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import gammaln, logsumexp
from streams import DRIFTS, Setting, world_of

_NUMERIC, _COUNTED, _CATEGORICAL = (0, 6, 9, 10, 13, 15), 14, (16, 17, 19)


@pytest.fixture(scope="module")
def world():
    return world_of(Setting(name="peers", rows_per_hour=40, noise=True), seed=0)


@pytest.fixture(scope="module")
def drifted(world):
    return world.drifted(DRIFTS[1]).stream


@pytest.fixture(scope="module")
def measures(world, drifted):
    return Gauge(world.reference).measure(drifted)


def _values(stream, column, window):
    cells = slice(*stream.cell_offsets[column : column + 2] - [0, 2])
    counts = stream.cells[:, cells].sum(axis=0, dtype=np.int64) if window is None else stream.cells[window, cells]
    return np.repeat(stream.cell_values[cells], counts)


@pytest.mark.parametrize("column", _NUMERIC)
@pytest.mark.parametrize("window", [0, 60])
def test_measures_of_numbers_are_those_of_scipy(world, drifted, measures, column, window):
    reference, now = _values(world.reference, column, None), _values(drifted, column, window)

    ks = stats.ks_2samp(now, reference, method="asymp")
    widths = np.linspace(reference.min(), reference.max(), 11)
    shares = [np.histogram(part, widths)[0] / part.size for part in (now, reference)]

    assert measures.ks[window, column] == pytest.approx(ks.statistic)
    assert measures.log_pvalue[window, column] == pytest.approx(np.log(ks.pvalue), rel=0.02, abs=0.05)
    distance = stats.wasserstein_distance(now, reference) / reference.std()
    assert measures.wasserstein[window, column] == pytest.approx(distance)
    assert measures.mean[window, column] == pytest.approx(now.mean())
    assert measures.deviation[window, column] == pytest.approx(now.std())
    outside = 1 - shares[0].sum()
    expected = jensenshannon([*shares[0], outside], [*shares[1], 0], base=2) ** 2
    assert measures.js_equal_widths[window, column] == pytest.approx(expected)


@pytest.mark.parametrize("column", _NUMERIC)
def test_js_distance_of_numbers_is_that_of_nannyml(world, drifted, measures, column):
    reference, now = _values(world.reference, column, None), _values(drifted, column, 60)

    bins = np.histogram_bin_edges(reference, bins="doane")
    if np.unique(reference).size <= 50:
        shares = [[np.mean(part == value) for value in np.unique(reference)] for part in (now, reference)]
    else:
        shares = [np.histogram(part, bins)[0] / part.size for part in (now, reference)]
    expected = jensenshannon([*shares[0], max(0, 1 - sum(shares[0]))], [*shares[1], 0], base=2)

    assert measures.js_distance[60, column] == pytest.approx(expected)


@pytest.mark.parametrize("column", [_COUNTED, *_CATEGORICAL])
def test_js_distance_and_chi_square_of_single_values_are_those_of_scipy(world, drifted, measures, column):
    reference, now = _values(world.reference, column, None), _values(drifted, column, 60)
    values = np.unique(reference)
    counts = [np.array([np.count_nonzero(part == value) for value in values]) for part in (now, reference)]

    assert measures.js_distance[60, column] == pytest.approx(jensenshannon(*counts, base=2))
    pvalue = stats.chi2_contingency(np.stack(counts), correction=False).pvalue
    assert measures.log_chi2_pvalue[60, column] == pytest.approx(np.log(pvalue))
    if column != _COUNTED:
        shares = [part / part.sum() for part in counts]
        assert measures.log_pvalue[60, column] == pytest.approx(np.log(pvalue))
        assert measures.l_infinity[60, column] == pytest.approx(np.abs(shares[0] - shares[1]).max())
        assert measures.cramers_v[60, column] == pytest.approx(_deepchecks_v(*counts))
        filled = [np.where(part > 0, part, 1e-4) for part in shares]
        expected = sum((p - q) * np.log(p / q) for p, q in zip(*filled, strict=True))
        assert measures.psi[60, column] == pytest.approx(expected)


def _deepchecks_v(now, reference):
    rare = reference / reference.sum() < 0.01
    now, reference = (np.append(part[~rare], part[rare].sum()) for part in (now, reference))
    table = np.stack([np.round(now), np.round(reference * (now.sum() / reference.sum()))])
    table = table[:, table.any(axis=0)]
    n, (r, k) = table.sum(), table.shape
    phi = max(0, stats.chi2_contingency(table, correction=False)[0] / n - (k - 1) * (r - 1) / (n - 1))
    r, k = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return np.sqrt(phi / min(k - 1, r - 1))


def test_psi_of_deciles_is_that_of_a_plain_loop(world, drifted, measures):
    counts, reference = drifted.counts[60, :10], world.reference.counts[:, :10].sum(axis=0)
    expected = 0.0
    for p, q in zip(counts / counts.sum(), reference / reference.sum(), strict=True):
        filled = p or 1e-4
        expected += (filled - q) * np.log(filled / q)

    assert measures.psi[60, 0] == pytest.approx(expected)


def test_doanes_edges_are_those_of_numpy():
    values = np.random.default_rng(0).lognormal(size=5000).round(2)
    distinct, counts = np.unique(values, return_counts=True)

    np.testing.assert_allclose(doane_edges(distinct, counts), np.histogram_bin_edges(values, bins="doane"))


def test_tails_are_those_of_scipy_and_go_on_where_they_underflow():
    x, dof = np.array([5.0, 30.0, 200.0, 600.0]), np.array([9.0, 4.0, 29.0, 1.0])
    np.testing.assert_allclose(log_chi2_tail(x, dof), stats.chi2.logsf(x, dof), rtol=1e-9)
    far, terms = np.array([1450.0, 2000.0, 5000.0]), np.arange(15)
    exact = [logsumexp(terms * np.log(x / 2) - gammaln(terms + 1)) - x / 2 for x in far]  # an even number of degrees
    np.testing.assert_allclose(log_chi2_tail(far, np.full(3, 30.0)), exact, rtol=1e-4)
    assert np.all(np.diff(log_chi2_tail(np.linspace(1, 3000, 1000), np.full(1000, 9.0))) < 0)

    ks = np.array([0.02, 0.05, 0.1, 0.2])
    np.testing.assert_allclose(
        log_ks_tail(ks, np.full(4, 900.0)), np.log(stats.kstwo.sf(ks, 900)), rtol=0.02, atol=0.01
    )
    assert np.all(np.diff(log_ks_tail(np.linspace(0.02, 0.9, 1000), np.full(1000, 900.0))) < 0)


def test_every_rule_sees_a_large_drift_better_than_none(world):
    fitted = peers.fit(world)
    clean, drifted = fitted.score(world.production(96)), world.drifted(DRIFTS[1])
    after = fitted.score(drifted.stream)

    for name, verdicts in after.items():
        assert verdicts.scores.shape == (96,)
        assert np.all(np.isfinite(verdicts.scores)), name
        np.testing.assert_array_equal(verdicts.fires, verdicts.scores >= 1)
        if "half" not in name:
            assert np.median(verdicts.scores[drifted.onset :]) > np.median(clean[name].scores), name


def test_a_rule_scores_its_worst_column(measures):
    own = measures
    worst = peers.evidently(measures, own)
    half = peers.evidently_half(measures, own)

    beyond = np.where(measures.numeric, measures.wasserstein, measures.js_distance * np.sqrt(np.log(2))) >= 0.1
    np.testing.assert_array_equal(worst >= 1, beyond.any(axis=1))
    np.testing.assert_array_equal(half >= 1, beyond.mean(axis=1) >= 0.5)
    np.testing.assert_array_equal(peers.ks_chi2(measures, own) >= 1, (measures.log_pvalue <= np.log(0.05)).any(axis=1))
    np.testing.assert_array_equal(
        peers.alibi_detect(measures, own) >= 1, (measures.log_pvalue <= np.log(0.05 / 20)).any(axis=1)
    )
