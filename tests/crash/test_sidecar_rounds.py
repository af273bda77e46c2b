import random
from functools import partial

from proof import prove
from sidecar_rounds import trouble


def test_three_sidecars_and_their_centre_killed_and_stopped_give_the_verdicts_of_one_process(tmp_path):
    outcome = prove(tmp_path, partial(trouble, rounds=6, rng=random.Random(4)), seed=4, sidecars=3, quick=True)

    assert not outcome.faults, str(outcome)
