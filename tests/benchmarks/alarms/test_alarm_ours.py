"""The small form of `bench_alarms.py`: the alarm as shipped, on one replicate of two settings, and what it must not miss.

Seeds and settings are the benchmark's first; bounds are far from what was measured over 50 replicates, so a test that fails has
found a change of the alarm, not of luck.
"""

import numpy as np
import ours
import pytest
from drifts import DRIFTS, TRIVIAL
from scoring import DETECTION_HOURS, notices
from streams import SETTINGS, world_of


@pytest.fixture(scope="module", params=["iid_200", "season_1000"])
def world(request):
    return world_of(SETTINGS[request.param], 0)


@pytest.fixture(scope="module")
def scorer(world):
    return ours.fit(world)


def test_four_weeks_without_drift_cost_little(world, scorer):
    said = scorer.score(world.production())["ours"]

    assert len(notices(said.fires, said.holds)) <= 4


def test_most_drifts_are_found_in_a_day(world, scorer):
    found = {}
    for drift in DRIFTS:
        drifted = world.drifted(drift)
        fires = scorer.score(drifted.stream)["ours"].fires
        found[drift.name] = bool(fires[drifted.onset : drifted.onset + DETECTION_HOURS].any())

    assert found["mean +.5"]
    assert found["sd x1.25"]
    assert np.mean([hit for name, hit in found.items() if name != TRIVIAL]) >= 0.6


def test_the_replay_says_beforehand_what_it_costs(world, scorer):
    facts = scorer.score(world.production())["ours"].facts

    assert 0 <= facts["replayed per 30 d"] <= 5
