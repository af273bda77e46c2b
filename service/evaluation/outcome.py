"""From evaluations of a closed window to what is written about it. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from service.alerts.decision import Decision, Subject
from service.domain import Evaluation, Reason, Verdict
from service.evaluation.document import evaluation_document
from service.ports import CountsRead, EvaluationRow, Series

__all__ = ["decision_of", "row_of", "rows_read"]


def row_of(evaluation: Evaluation) -> EvaluationRow:
    """Row of an evaluation for the store."""
    start_us, end_us = evaluation.window.start_us, evaluation.window.end_us
    assert start_us is not None  # noqa: S101 - only `check` evaluates data without times
    assert end_us is not None  # noqa: S101
    return EvaluationRow(
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
        document=msgspec.json.encode(evaluation_document(evaluation)),
    )


def rows_read(evaluation: Evaluation) -> CountsRead:
    """What an evaluation rests on."""
    row_start, row_end = evaluation.window.start_us, evaluation.window.end_us
    assert row_start is not None  # noqa: S101 - as above
    assert row_end is not None  # noqa: S101
    series = Series(model=evaluation.model, version=evaluation.version, reference_id=evaluation.reference_id)
    return CountsRead(series=series, first_us=row_start, last_us=row_end, rows=evaluation.rows)


def decision_of(evaluations: Sequence[Evaluation], start_us: int, end_us: int, *, correction: bool = False) -> Decision:
    """Outcome of a closed base window: drifted if any scale says so, else stable if any does. Views have no say."""
    deciding = [evaluation for evaluation in evaluations if evaluation.scale is not None]
    first = evaluations[0]
    verdict, reason = _verdict(deciding)
    return Decision(
        subject=Subject(model=first.model, version=first.version, segment=first.segment or ""),
        reference_id=first.reference_id,
        window_start_us=start_us,
        window_end_us=end_us,
        verdict=verdict,
        reason=reason,
        evaluations=[_document(evaluation) for evaluation in deciding],
        correction=correction,
    )


def _verdict(deciding: Sequence[Evaluation]) -> tuple[Verdict, Reason | None]:
    verdicts = {evaluation.verdict for evaluation in deciding}
    if "drifted" in verdicts:
        return "drifted", None
    if "stable" in verdicts:
        return "stable", None
    return "undecided", next((evaluation.reason for evaluation in deciding if evaluation.reason), "no_rows")


def _document(evaluation: Evaluation) -> dict[str, Any]:
    return evaluation_document(evaluation)
