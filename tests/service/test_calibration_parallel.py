"""Folds of a large replay are scored in processes, those of a small one where they are."""

import os
from dataclasses import replace

import numpy as np
from making import reference_of

from detectors.calibration.replay import Scored
from detectors.reference import Blocks
from service.calibration.parallel import mapper_for


def _with_blocks(*shape):
    reference = reference_of({"x": np.arange(100.0)})
    n = shape[0]
    blocks = Blocks(starts_s=np.arange(n), rows=np.ones(n, dtype=np.int64), counts=np.zeros(shape, dtype=np.int64))
    return replace(reference, blocks=blocks)


def _score(fold):
    own = np.array([fold])
    return [Scored(scale=os.getpid(), ends=own, evidence=own / 10, independent=1.0)]


def test_a_small_replay_stays_in_this_process():
    assert mapper_for(_with_blocks(10, 12), 4) is map
    assert mapper_for(reference_of({"x": np.arange(100.0)}), 4) is map


def test_one_core_has_nobody_to_share_with():
    assert mapper_for(_with_blocks(1500, 1000), 1) is map


def test_a_large_replay_is_shared_and_comes_back_in_order():
    found = list(mapper_for(_with_blocks(1500, 1000), 2)(_score, [3, 1, 2]))

    assert [some[0].ends.tolist() for some in found] == [[3], [1], [2]]
    assert os.getpid() not in {some[0].scale for some in found}


def test_as_many_processes_as_cores_by_default():
    assert (mapper_for(_with_blocks(1500, 1000)) is map) == ((os.cpu_count() or 1) == 1)
