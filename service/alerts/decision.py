"""A decision: what one closed base window said, and the evaluations that it rests on.

An evaluation with a calibrated alarm carries its rate: how many false alarms 30 days would have at this strength of evidence.
It has drifted if that is at most the budget. To end an episode takes more than the opposite: it is *clear* if the rate is above
ten budgets [1]_, or a quarter of what a window without any evidence has, where that is less. Windows as long as a week never
come to ten budgets, and should, while nothing is wrong, be clear three times in four.

References
----------
.. [1] STATISTICS.md 9.6, the hysteresis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from detectors.calibration.replay import hop_of
from service.domain import Verdict

__all__ = ["TIERS", "Decision", "Subject", "clear_above"]

TIERS: Final[tuple[str | None, ...]] = (None, "alarm", "major")
"""From weak to strong; an evaluation without a calibrated alarm has none."""

_CLEAR_BUDGETS: Final = 10.0
_CLEAR_SHARE: Final = 0.25
_30_DAYS_US: Final = 30 * 86_400_000_000


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

    @property
    def is_clear(self) -> bool:
        """Whether it is stable, and so far from an alarm that it counts towards the end of an episode."""
        return self.verdict == "stable" and all(
            rate > self._clear_above(evaluation, budget) for evaluation, rate, budget in self._rated()
        )

    @property
    def false_alarms_expected(self) -> float | None:
        """What this window spends of the budget of false alarms; None if it was not decided under one."""
        budgets = [budget for _, _, budget in self._rated()]
        if self.verdict == "undecided" or not budgets:
            return None
        return max(budgets) * self._length_us / _30_DAYS_US

    def strongest(self) -> Mapping[str, Any] | None:
        """Evaluation to quote: the drifted one of the highest tier and with the strongest evidence, else the first, if any."""
        drifted = self._drifted()
        return min(drifted, key=_weakness) if drifted else next(iter(self.evaluations), None)

    def drifted_columns(self, tier: str | None = None) -> dict[str, str]:
        """Columns that drifted in any of the evaluations, with their roles.

        Parameters
        ----------
        tier : str or None
            Evaluations with a rate are asked for at least this tier. Those without one have no tiers.
        """
        return {
            name: column["role"]
            for evaluation in self._drifted()
            if evaluation["false_alarms_per_30d"] is None or _level(evaluation) >= TIERS.index(tier)
            for name, column in evaluation["columns"].items()
            if column["verdict"] == "drifted"
        }

    def tier(self) -> str | None:
        """Highest tier of the drifted evaluations; one that this release does not know is not told apart from none."""
        return TIERS[max(map(_level, self._drifted()), default=0)]

    @property
    def _length_us(self) -> int:
        return self.window_end_us - self.window_start_us

    def _drifted(self) -> list[Mapping[str, Any]]:
        return [evaluation for evaluation in self.evaluations if evaluation["verdict"] == "drifted"]

    def _rated(self) -> list[tuple[Mapping[str, Any], float, float]]:
        """Evaluations with a rate of false alarms and a budget, and both."""
        rated = [
            (evaluation, evaluation["false_alarms_per_30d"], evaluation["budget_per_30d"])
            for evaluation in self.evaluations
        ]
        return [(evaluation, rate, budget) for evaluation, rate, budget in rated if None not in (rate, budget)]

    def _clear_above(self, evaluation: Mapping[str, Any], budget: float) -> float:
        return clear_above(budget, _30_DAYS_US / (hop_of(evaluation["scale"]) * self._length_us))


def clear_above(budget: float, tests: float) -> float:
    """Rate of false alarms above which an evaluation is clear, at a budget and so many tests in 30 days."""
    return min(_CLEAR_BUDGETS * budget, _CLEAR_SHARE * tests)


def _level(evaluation: Mapping[str, Any]) -> int:
    return TIERS.index(evaluation["tier"]) if evaluation["tier"] in TIERS else 0


def _weakness(evaluation: Mapping[str, Any]) -> tuple[int, bool, float, float, int]:
    """Small where the evidence is strong: high tier, few false alarms to be expected of it, p-value of its best column."""
    false_alarms = evaluation["false_alarms_per_30d"]
    drifted = [column for column in evaluation["columns"].values() if column["verdict"] == "drifted"]
    pvalues = [column["pvalue"] for column in drifted if column["pvalue"] is not None]
    return -_level(evaluation), false_alarms is None, false_alarms or 0.0, min(pvalues, default=1.0), -len(drifted)
