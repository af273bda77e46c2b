"""Evaluations made again because late rows came. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from service.domain import Evaluation
from service.ports import EvaluationRow

__all__ = ["Correction", "corrected", "torn_silence"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """An evaluation with its new revision, and whether it says drift for the first time."""

    evaluation: Evaluation
    newly_drifted: bool


def corrected(evaluation: Evaluation, before: Sequence[EvaluationRow]) -> Correction:
    """Give an evaluation the revision after the one that it replaces.

    Parameters
    ----------
    evaluation : Evaluation
    before : sequence of EvaluationRow
        Of windows of this size that end where it ends.
    """
    same = [
        row
        for row in before
        if row.start_us == evaluation.window.start_us and row.reference_id == evaluation.reference_id
    ]
    drifted_before = any(row.verdict == "drifted" for row in same)
    revision = max((row.revision for row in same), default=0) + 1
    return Correction(
        evaluation=replace(evaluation, revision=revision),
        newly_drifted=evaluation.verdict == "drifted" and not drifted_before and evaluation.scale is not None,
    )


def torn_silence(
    after: Sequence[EvaluationRow], start_us: int, end_us: int
) -> Iterator[tuple[EvaluationRow, int, int]]:
    """What is left of the record of silence that a base window lay in: the parts before and behind it.

    Parameters
    ----------
    after : sequence of EvaluationRow
        Of base windows that end after `start_us`.
    start_us, end_us : int
        The base window that has rows now.

    Yields
    ------
    (the record, start, end)
    """
    for row in after:
        if row.rows == 0 and row.start_us <= start_us and end_us <= row.end_us:
            if row.start_us < start_us:
                yield row, row.start_us, start_us
            if end_us < row.end_us:
                yield row, end_us, row.end_us
