"""P-values of unchanged traffic are as rare as they say: the small form of `bench_pvalues.py`."""

import numpy as np
import pytest
from bench_pvalues import LINES, SCENARIOS, SURE, rates_of

REPLICATES = 4


@pytest.mark.parametrize(
    "name",
    [
        "iid, 1000",
        "season and noise, 1000",
        "swing and noise, 30 to 3000",
        "noise in all directions, 20000",
    ],
)
def test_small_pvalues_of_unchanged_traffic_are_rare(name):
    found = [rates_of(SCENARIOS[name], 100 + seed, (1,)) for seed in range(REPLICATES)]

    for kind in ("numeric", "categorical", "share"):
        rates = np.array([one[1, kind] for one in found])
        mean, error = rates.mean(axis=0), rates.std(axis=0, ddof=1) / np.sqrt(REPLICATES)
        worst = np.array(SCENARIOS[name].worst) * LINES[:3]
        assert (mean - SURE * error <= [*worst, 0.002]).all(), kind
        assert mean[0] > 0.01, kind  # nor is it valid by never saying anything


def test_blocks_of_six_hours_have_no_favourite_directions():
    """The axes of a category of 30 values were chosen by the blocks that then said how quiet they are: .2 at .05."""
    found = [rates_of(SCENARIOS["noise in all directions, 20000"], seed, (6,))[6, "categorical"] for seed in range(4)]

    assert np.mean(found, axis=0)[0] < 0.1
