"""A trivial shift is no evidence: p-values are those of "at most that"."""

import numpy as np
import pytest
from calibrating import drawn, hours_of, past_of, starts_of
from scipy.stats import norm

from detectors.calibration.calibrated import Calibration

SHAPES = [("numeric", 10), ("categorical", 6)]
DAYS, ROWS = 28, 1000


@pytest.fixture(scope="module")
def reference():
    return drawn(np.random.default_rng(0), SHAPES, np.full(24 * DAYS, ROWS))


def found(reference, trivial_shift, segments, scale=1):
    past = past_of(SHAPES, reference, trivial_shift=trivial_shift)
    hours = hours_of(starts_of(segments.shape[0], first=24 * DAYS))
    groups, strata = past.traits.groups(segments), past.strata(hours)
    return Calibration(past).window(groups, strata, lambda fit: fit.variability[scale])


def shifted(reference, rows):
    """A window whose first column leans a little to the right."""
    shares = reference.sum(axis=0) / reference.sum(axis=0)[: SHAPES[0][1] + 2].sum()
    lean = np.ones(shares.size)
    lean[: SHAPES[0][1]] += np.linspace(-0.03, 0.03, SHAPES[0][1])
    return np.round(shares * lean * rows).astype(np.int64)[None]


def test_location_gives_up_the_length_of_a_trivial_shift(reference):
    window = shifted(reference, 100_000)
    plain, with_trivial = found(reference, 0.0, window), found(reference, 0.01, window)

    z = norm.isf(plain.location[0, 0] / 2)
    expected = 2 * norm.sf(z - 0.01 / np.sqrt(plain.variance[0, 0]))
    assert with_trivial.location[0, 0] == pytest.approx(expected, rel=0.05)  # a Student t of many degrees of freedom
    assert with_trivial.effect[0, 0] == plain.effect[0, 0]


def test_what_is_smaller_is_no_evidence_however_many_rows(reference):
    window = shifted(reference, 10_000_000)

    assert found(reference, 0.0, window).pvalue[0, 0] < 1e-4
    assert found(reference, 0.1, window).pvalue[0, 0] == pytest.approx(1, abs=1e-6)


def test_p_values_of_values_only_rise_and_shares_stay(reference):
    windows = drawn(np.random.default_rng(1), SHAPES, np.full(40, ROWS), missing=0.06)
    for window in windows:
        plain, with_trivial = found(reference, 0.0, window[None]), found(reference, 0.02, window[None])
        values = slice(0, len(SHAPES))
        assert np.all(with_trivial.pvalue[0, values] >= plain.pvalue[0, values] - 1e-12)
        np.testing.assert_array_equal(with_trivial.pvalue[0, 2:], plain.pvalue[0, 2:])
