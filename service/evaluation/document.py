"""Evaluations as the documents that users rely on: `driftline.evaluation/1` and `driftline.check/1`. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from service.domain import Evaluation, Reason, Verdict
from service.windows.times import format_instant

__all__ = ["check_document", "evaluation_document", "overall"]

EVALUATION_FORMAT = "driftline.evaluation/1"
CHECK_FORMAT = "driftline.check/1"


def evaluation_document(evaluation: Evaluation) -> dict[str, Any]:
    """Plain dictionary of an evaluation; holds no NaN and no infinity."""
    document: dict[str, Any] = {"format": EVALUATION_FORMAT} | asdict(evaluation)
    window = evaluation.window
    document["window"] = {
        "start": None if window.start_us is None else format_instant(window.start_us),
        "end": None if window.end_us is None else format_instant(window.end_us),
        "size": window.size,
    }
    return document


def check_document(evaluations: Sequence[Evaluation], reference_id: str, rejected_rows: int) -> dict[str, Any]:
    """Plain dictionary of a whole check."""
    verdict, reason = overall(evaluations)
    return {
        "format": CHECK_FORMAT,
        "reference_id": reference_id,
        "verdict": verdict,
        "reason": reason,
        "rejected_rows": rejected_rows,
        "evaluations": [evaluation_document(evaluation) for evaluation in evaluations],
    }


def overall(evaluations: Sequence[Evaluation]) -> tuple[Verdict, Reason | None]:
    """Any window drifted, else any stable, else undecided."""
    verdicts = {evaluation.verdict for evaluation in evaluations}
    if "drifted" in verdicts:
        return "drifted", None
    if "stable" in verdicts:
        return "stable", None
    return "undecided", next((evaluation.reason for evaluation in evaluations), "no_rows")
