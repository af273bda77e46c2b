"""Evaluations made again because late rows came. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from service.domain import Evaluation
from service.ports import EvaluationRow

__all__ = ["Correction", "Stretch", "corrected", "silent_parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """An evaluation with its new revision, and whether it says drift for the first time."""

    evaluation: Evaluation
    newly_drifted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of base windows without rows.

    Parameters
    ----------
    start_us, end_us : int
    record : EvaluationRow or None
        The record of silence that it is, or is left of; None where nothing was recorded.
    """

    start_us: int
    end_us: int
    record: EvaluationRow | None = None


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
        newly_drifted=evaluation.verdict == "drifted" and not drifted_before,
    )


def silent_parts(stretches: Iterable[Stretch], windows: Sequence[tuple[int, int]]) -> Iterator[Stretch]:
    """What is left of stretches of silence in which rows came late.

    Parameters
    ----------
    stretches : iterable of Stretch
        None of them within another one.
    windows : sequence of (int, int)
        Start and end of each base window that has rows now, in order.
    """
    for stretch in stretches:
        at_us = stretch.start_us
        for start_us, end_us in windows:
            if stretch.start_us <= start_us < stretch.end_us:
                if at_us < start_us:
                    yield replace(stretch, start_us=at_us, end_us=start_us)
                at_us = end_us
        if at_us < stretch.end_us:
            yield replace(stretch, start_us=at_us)
