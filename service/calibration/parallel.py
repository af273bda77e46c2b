"""Folds of a large replay in processes of their own: what they do is too fine-grained for threads to gain anything."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from detectors.calibration.replay import Mapper, Score, Scored
from detectors.reference import Reference

__all__ = ["mapper_for"]

_LARGE: Final = 1_500_000
"""Counts of the blocks: from about two seconds of work on. Below, a process starts more slowly than it helps."""

_PROCESSES_MAX: Final = 8

_score: list[Score] = []  # of this process, once for all folds: it holds the whole past


def mapper_for(reference: Reference, processes: int | None = None) -> Mapper:
    """`map`, or one that shares the work among processes where there is much of it.

    Parameters
    ----------
    reference : Reference
    processes : int, optional
        By default as many as there are cores, up to eight.
    """
    n = min(os.cpu_count() or 1, _PROCESSES_MAX) if processes is None else processes
    large = reference.blocks is not None and reference.blocks.counts.size >= _LARGE
    if n < 2 or not large:  # noqa: PLR2004 - nobody to share with
        return map

    def in_processes(score: Score, folds: Iterable[int]) -> Iterator[list[Scored]]:
        # Not forked: there may be a thread that draws a progress bar.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(n, mp_context=context, initializer=_take, initargs=(score,)) as pool:
            yield from pool.map(_scored, folds)

    return in_processes


def _take(score: Score) -> None:
    _score[:] = [score]


def _scored(fold: int) -> list[Scored]:
    return _score[0](fold)
