"""What all replicates of a setting say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from drifts import TRIVIAL
from rules import Verdicts
from scoring import (
    DETECTION_HOURS,
    MONTH_HOURS,
    Mean,
    Rate,
    delay_hours,
    mean_of,
    notices,
    oracle_threshold,
    rate_of,
)

__all__ = ["Replicate", "Row", "SettingResult", "overall"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replicate:
    """Verdicts of every rule on the streams of one seed.

    Parameters
    ----------
    production : mapping of str to Verdicts
        By row of the tables.
    drifted : mapping of str to (int, mapping of str to Verdicts)
        By drift: the onset, and the verdicts.
    """

    setting: str
    seed: int
    production: Mapping[str, Verdicts]
    drifted: Mapping[str, tuple[int, Mapping[str, Verdicts]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One rule in one setting; `threshold` is the oracle's, None for the rule's own default."""

    name: str
    replicates: Sequence[Replicate]
    threshold: float | None = None

    @property
    def hours(self) -> int:
        """Hours without drift of each replicate."""
        return self.replicates[0].production[self.name].fires.size

    @cached_property
    def false_alarms(self) -> Rate:
        """Hours that fire without drift."""
        return rate_of([int(np.count_nonzero(self._quiet(one))) for one in self.replicates], self.hours)

    @cached_property
    def notices(self) -> Rate:
        """Notices without drift."""
        counts = []
        for one in self.replicates:
            holds = one.production[self.name].holds if self.threshold is None else None
            counts.append(len(notices(self._quiet(one), holds)))
        return rate_of(counts, self.hours)

    @cached_property
    def chance(self) -> float:
        """Share of days without drift on which it fires: what a detection within 24 hours is by chance."""
        days = [self._quiet(one)[: self.hours // 24 * 24].reshape(-1, 24).any(axis=1) for one in self.replicates]
        return float(np.mean(days))

    @cached_property
    def drifts(self) -> tuple[str, ...]:
        """Drifts that were scored."""
        return tuple(self.replicates[0].drifted)

    def delays(self, drift: str) -> npt.NDArray[np.float64]:
        """Hours to the first alarm after the onset, of each replicate; NaN where none came."""
        found = []
        for one in self.replicates:
            onset, verdicts = one.drifted[drift]
            found.append(delay_hours(self._fires(verdicts[self.name]), onset))
        return np.array(found)

    def detected(self, drift: str) -> npt.NDArray[np.bool_]:
        """Whether the alarm came within 24 hours, of each replicate."""
        return self.delays(drift) <= DETECTION_HOURS

    @cached_property
    def detection(self) -> Mean:
        """Share found within 24 hours, over all drifts but the trivial one; the error is over replicates."""
        found = [self.detected(drift) for drift in self.drifts if drift != TRIVIAL]
        return mean_of(np.mean(found, axis=0).tolist())

    @cached_property
    def facts(self) -> Mapping[str, Mean]:
        """What the rule itself says of the streams without drift."""
        each = [one.production[self.name].facts for one in self.replicates]
        return {name: mean_of([facts[name] for facts in each]) for name in each[0]}

    def _quiet(self, one: Replicate) -> npt.NDArray[np.bool_]:
        return self._fires(one.production[self.name])

    def _fires(self, verdicts: Verdicts) -> npt.NDArray[np.bool_]:
        if self.threshold is None:
            return verdicts.fires
        assert verdicts.scores is not None
        return verdicts.scores > self.threshold


@dataclass(frozen=True, kw_only=True, eq=False)
class SettingResult:
    """All rules in one setting."""

    setting: str
    replicates: Sequence[Replicate]

    @cached_property
    def default(self) -> Mapping[str, Row]:
        """Each rule as it is."""
        return {name: Row(name=name, replicates=self.replicates) for name in self.replicates[0].production}

    @cached_property
    def equal(self) -> Mapping[str, Row]:
        """Each rule at one false alarm in 720 hours: by an oracle that knows these very hours where it has scores."""
        found = {}
        for name, row in self.default.items():
            scores = [one.production[name].scores for one in self.replicates]
            if any(part is None for part in scores):
                found[name] = row
                continue
            threshold = oracle_threshold(np.concatenate(scores), MONTH_HOURS)
            found[name] = Row(name=name, replicates=self.replicates, threshold=threshold)
        return found


def overall(rows: Sequence[Row]) -> Mean:
    """Mean detection over settings, whose replicates are independent."""
    parts = [row.detection for row in rows]
    return Mean(
        value=float(np.mean([part.value for part in parts])),
        error=float(np.sqrt(np.sum([part.error**2 for part in parts])) / len(parts)),
    )
