"""From verdicts hour by hour to what is claimed: notices in 30 days, and drift found within 24 hours.

Every rule gets the product's state machine: an episode opens with an hour that fires, closes after six hours in a row that do
not hold it open, and for 24 hours after that none opens; an episode is one notice. Counts of notices have exact Poisson
intervals (Garwood 1936), shares have exact binomial ones (Clopper and Pearson 1934). Both take events as independent; notices of
one replicate share its reference and are not quite, so the standard error over replicates stands beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, gammaincinv

__all__ = [
    "DETECTION_HOURS",
    "MONTH_HOURS",
    "Mean",
    "Rate",
    "delay_hours",
    "mean_of",
    "notices",
    "oracle_threshold",
    "rate_of",
    "share_interval",
]

MONTH_HOURS = 720
DETECTION_HOURS = 24

_RESOLVE_AFTER = 6
_COOL_DOWN_HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Events per 30 days.

    Parameters
    ----------
    count : int
    months : float
        Of 30 days, over all replicates.
    error : float
        Standard error of `value`, from how replicates differ; NaN of one replicate.
    """

    count: int
    months: float
    error: float

    @property
    def value(self) -> float:
        """The rate."""
        return self.count / self.months

    def interval(self, confidence: float = 0.99) -> tuple[float, float]:
        """Exact two-sided Poisson interval."""
        beyond = (1 - confidence) / 2
        return self._lower(beyond), float(gammaincinv(self.count + 1, 1 - beyond)) / self.months

    def lower(self, confidence: float = 0.99) -> float:
        """Exact one-sided Poisson bound: what the rate is at least."""
        return self._lower(1 - confidence)

    def _lower(self, beyond: float) -> float:
        return float(gammaincinv(self.count, beyond)) / self.months if self.count else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean over replicates; `error` is its standard error, NaN of one replicate."""

    value: float
    error: float


def notices(fires: npt.NDArray[np.bool_], holds: npt.NDArray[np.bool_] | None = None) -> list[int]:
    """Hours at which an episode opens.

    Parameters
    ----------
    fires : ndarray of bool, shape [n_windows]
    holds : ndarray of bool, shape [n_windows], optional
        Hours that do not count towards closing; those that fire by default.
    """
    opened, is_open, calm, cool_until = [], False, 0, 0
    for hour, (fire, hold) in enumerate(zip(fires.tolist(), (fires if holds is None else holds).tolist(), strict=True)):
        calm = 0 if fire or hold else calm + 1
        if is_open and calm >= _RESOLVE_AFTER:
            is_open, cool_until = False, hour + 1 + _COOL_DOWN_HOURS
        elif fire and not is_open and hour >= cool_until:
            is_open = True
            opened.append(hour)
    return opened


def delay_hours(fires: npt.NDArray[np.bool_], onset: int) -> float:
    """Hours from the onset to the end of the first hour that fires; NaN when none does."""
    found = np.flatnonzero(fires[onset:])
    return float(found[0] + 1) if found.size else float("nan")


def oracle_threshold(scores: npt.NDArray[np.float64], per_hours: int = MONTH_HOURS) -> float:
    """Threshold that just one hour in so many exceeds, of these very hours without drift; `score > threshold` fires."""
    allowed = scores.size // per_hours
    return float(np.sort(scores)[scores.size - allowed - 1])


def rate_of(counts: Sequence[int], hours_each: int) -> Rate:
    """Rate of events that were counted in replicates of the same length."""
    months = hours_each / MONTH_HOURS
    return Rate(count=sum(counts), months=len(counts) * months, error=_error(np.array(counts) / months))


def mean_of(values: Sequence[float]) -> Mean:
    """Mean of one value a replicate."""
    return Mean(value=float(np.mean(values)), error=_error(np.array(values)))


def share_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided binomial interval of a share."""
    beyond = (1 - confidence) / 2
    low = float(betaincinv(count, total - count + 1, beyond)) if count else 0.0
    high = float(betaincinv(count + 1, total - count, 1 - beyond)) if count < total else 1.0
    return low, high


def _error(values: npt.NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else float("nan")
