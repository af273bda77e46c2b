"""From evaluations of a closed window to what is written about it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from service.alerts.decision import Decision, Subject
from service.domain import Evaluation, Reason, Verdict
from service.evaluation.document import evaluation_document
from service.ports import CountsRead, EvaluationRow, Series

__all__ = ["Outcome", "decision_of", "outcome_of", "rows_read"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """An evaluation, as people and as the store get it."""

    evaluation: Evaluation
    document: Mapping[str, Any]
    row: EvaluationRow


def outcome_of(evaluation: Evaluation) -> Outcome:
    """Document and row of an evaluation; a third of a millisecond for 50 columns."""
    start_us, end_us = _bounds_us(evaluation)
    document = evaluation_document(evaluation)
    row = EvaluationRow(
        model=evaluation.model,
        version=evaluation.version,
        segment=evaluation.segment or "",
        reference_id=evaluation.reference_id,
        size=evaluation.window.size,
        start_us=start_us,
        end_us=end_us,
        verdict=evaluation.verdict,
        rows=evaluation.rows,
        revision=evaluation.revision,
        document=msgspec.json.encode(document),
    )
    return Outcome(evaluation=evaluation, document=document, row=row)


def rows_read(evaluation: Evaluation) -> CountsRead:
    """What an evaluation rests on."""
    start_us, end_us = _bounds_us(evaluation)
    series = Series(model=evaluation.model, version=evaluation.version, reference_id=evaluation.reference_id)
    return CountsRead(series=series, first_us=start_us, last_us=end_us, rows=evaluation.rows)


def decision_of(
    outcomes: Sequence[Outcome], start_us: int, end_us: int, *, correction: bool = False
) -> Decision | None:
    """Outcome of a closed base window: drifted if any scale says so, else stable if any does.

    Views have no say; without a scale that is due there is nothing to decide (None).
    """
    deciding = [outcome for outcome in outcomes if outcome.evaluation.scale is not None]
    if not deciding:
        return None
    first = deciding[0].evaluation
    verdict, reason = _verdict([outcome.evaluation for outcome in deciding])
    return Decision(
        subject=Subject(model=first.model, version=first.version, segment=first.segment or ""),
        reference_id=first.reference_id,
        window_start_us=start_us,
        window_end_us=end_us,
        verdict=verdict,
        reason=reason,
        evaluations=[outcome.document for outcome in deciding],
        correction=correction,
    )


def _verdict(deciding: Sequence[Evaluation]) -> tuple[Verdict, Reason | None]:
    verdicts = {evaluation.verdict for evaluation in deciding}
    if "drifted" in verdicts:
        return "drifted", None
    if "stable" in verdicts:
        return "stable", None
    return "undecided", next((evaluation.reason for evaluation in deciding if evaluation.reason), "no_rows")


def _bounds_us(evaluation: Evaluation) -> tuple[int, int]:
    start_us, end_us = evaluation.window.start_us, evaluation.window.end_us
    assert start_us is not None  # noqa: S101 - only `check` evaluates data without times
    assert end_us is not None  # noqa: S101
    return start_us, end_us
