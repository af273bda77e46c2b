"""A decision: what one closed base window said, and the evaluations that it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.domain import Verdict

__all__ = ["TIERS", "Decision", "Subject"]

TIERS: Final[tuple[str | None, ...]] = (None, "alarm", "major")
"""From weak to strong; an evaluation without a calibrated alarm has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who is watched: a version of a model, in one segment of its traffic ("" is all of it)."""

    model: str
    version: str
    segment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Outcome of one closed base window.

    Parameters
    ----------
    subject : Subject
    reference_id : str
    window_start_us, window_end_us : int
    verdict : {"stable", "drifted", "undecided"}
    reason : str or None
        Why it is undecided.
    evaluations : sequence of dict
        The documents (`driftline.evaluation/1`) that it rests on, those of larger scales too.
    correction : bool
        Late rows made another verdict of an older window, which no look before had found drifted. A correction may open
        an episode; it never closes, renumbers or counts towards closing one.
    """

    subject: Subject
    reference_id: str
    window_start_us: int
    window_end_us: int
    verdict: Verdict
    reason: str | None = None
    evaluations: Sequence[Mapping[str, Any]] = ()
    correction: bool = False

    def strongest(self) -> Mapping[str, Any] | None:
        """Evaluation to quote: the drifted one with the strongest evidence, else the first; None if there is none."""
        drifted = self._drifted()
        return min(drifted, key=_weakness) if drifted else next(iter(self.evaluations), None)

    def drifted_columns(self) -> dict[str, str]:
        """Columns that drifted in any of the evaluations, with their roles."""
        return {
            name: column["role"]
            for evaluation in self._drifted()
            for name, column in evaluation["columns"].items()
            if column["verdict"] == "drifted"
        }

    def tier(self) -> str | None:
        """Highest tier of the drifted evaluations; one that this release does not know is not told apart from none."""
        known = [evaluation["tier"] for evaluation in self._drifted() if evaluation["tier"] in TIERS]
        return max(known, key=TIERS.index, default=None)

    def _drifted(self) -> list[Mapping[str, Any]]:
        return [evaluation for evaluation in self.evaluations if evaluation["verdict"] == "drifted"]


def _weakness(evaluation: Mapping[str, Any]) -> tuple[bool, float, float, int]:
    """Small where the evidence is strong: false alarms to be expected of it, else the p-value of its best column."""
    false_alarms = evaluation["false_alarms_per_30d"]
    drifted = [column for column in evaluation["columns"].values() if column["verdict"] == "drifted"]
    pvalues = [column["pvalue"] for column in drifted if column["pvalue"] is not None]
    return false_alarms is None, false_alarms or 0.0, min(pvalues, default=1.0), -len(drifted)
