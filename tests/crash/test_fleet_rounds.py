import random
from functools import partial

from fleet_rounds import WAYS_QUICK, proved, trouble


def test_three_replicas_to_which_everything_happens_give_the_counts_and_verdicts_of_one_process(tmp_path):
    harm = partial(trouble, rounds=len(WAYS_QUICK), rng=random.Random(3), quick=True, ways=WAYS_QUICK)

    outcome = proved(tmp_path, harm, 3, quick=True, event_s_per_s=1_200)

    assert not outcome.faults, str(outcome)
