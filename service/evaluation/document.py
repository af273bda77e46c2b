"""Evaluations as the documents that users rely on: `driftline.evaluation/1` and `driftline.check/1`. Pure."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from service.domain import Evaluation, Reason, Verdict
from service.windows.times import format_instant

__all__ = ["Overall", "check_chunks", "evaluation_document"]

EVALUATION_FORMAT = "driftline.evaluation/1"
CHECK_FORMAT = "driftline.check/1"


def evaluation_document(evaluation: Evaluation) -> dict[str, Any]:
    """Plain dictionary of an evaluation; holds no NaN and no infinity."""
    document: dict[str, Any] = {"format": EVALUATION_FORMAT} | msgspec.to_builtins(evaluation)
    if not evaluation.rules:
        del document["rules"]
    window = evaluation.window
    document["window"] = {
        "start": None if window.start_us is None else format_instant(window.start_us),
        "end": None if window.end_us is None else format_instant(window.end_us),
        "size": window.size,
    }
    return document


class Overall:
    """Verdict over several windows: any drifted, else any stable, else undecided for the reason of the first."""

    def __init__(self) -> None:
        self._verdicts: set[Verdict] = set()
        self._reason: Reason | None = None

    def watched(self, evaluations: Iterable[Evaluation]) -> Iterator[Evaluation]:
        """Pass evaluations on, and take note of them."""
        for evaluation in evaluations:
            self._verdicts.add(evaluation.verdict)
            self._reason = self._reason or evaluation.reason
            yield evaluation

    @property
    def verdict(self) -> Verdict:
        """Verdict over all windows seen so far."""
        return "drifted" if "drifted" in self._verdicts else "stable" if "stable" in self._verdicts else "undecided"

    @property
    def reason(self) -> Reason | None:
        """Why it is undecided."""
        return (self._reason or "no_rows") if self.verdict == "undecided" else None


def check_chunks(
    evaluations: Iterable[Evaluation], overall: Overall, reference_id: str, rejected_rows: int
) -> Iterator[bytes]:
    """Write the document of a whole check piece by piece: a year of hours need not be held at once.

    Parameters
    ----------
    evaluations : iterable of Evaluation
        Watched by `overall`, whose verdict stands at the end.
    overall : Overall
    reference_id : str
    rejected_rows : int

    Yields
    ------
    bytes
        Parts of one JSON document.
    """
    head = {"format": CHECK_FORMAT, "reference_id": reference_id, "rejected_rows": rejected_rows}
    yield msgspec.json.encode(head)[:-1] + b',"evaluations":['
    for number, evaluation in enumerate(evaluations):
        yield (b"," if number else b"") + msgspec.json.encode(evaluation_document(evaluation))
    tail = {"verdict": overall.verdict, "reason": overall.reason}
    yield b"]," + msgspec.json.encode(tail)[1:] + b"\n"
