import random
from functools import partial

from sidecar_rounds import proved, trouble


def test_three_sidecars_and_their_centre_killed_and_stopped_give_the_verdicts_of_one_process(tmp_path):
    outcome = proved(tmp_path, partial(trouble, rounds=6, rng=random.Random(4)), 4, sidecars=3, quick=True)

    assert not outcome.faults, str(outcome)


def test_sidecars_of_two_replicas_whose_batches_go_now_here_now_there_give_the_verdicts_of_one_process(tmp_path):
    harm = partial(trouble, rounds=3, rng=random.Random(5))

    outcome = proved(tmp_path, harm, 5, sidecars=3, replicas=2, quick=True)

    assert not outcome.faults, str(outcome)
