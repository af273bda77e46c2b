import random
from functools import partial

from kill_rounds import kill
from proof import prove


def test_kills_under_load_lose_no_row_and_no_notice_and_double_none(tmp_path):
    outcome = prove(tmp_path, partial(kill, rounds=5, rng=random.Random(5)), seed=5, quick=True)

    assert not outcome.faults, str(outcome)
