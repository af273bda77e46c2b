"""An evaluation: all detectors on one window. Field names are those of `driftline.evaluation/1`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Calibration",
    "ColumnEvaluation",
    "Direction",
    "Evaluation",
    "EvidenceName",
    "MovedBin",
    "Reason",
    "RuleSaid",
    "Verdict",
    "Window",
]

Direction = Literal["up", "down"]
Verdict = Literal["stable", "drifted", "undecided"]
EvidenceName = Literal[
    "omnibus",  # of independent rows: values in any way
    "location",  # where the values of a number lie
    "scale",  # how far they spread
    "shape",  # any other way
    "categories",  # their shares
    "missing",
    "invalid",
    "unseen",
]
Calibration = Literal["verified", "calibrated", "iid", "collecting"]
Reason = Literal[
    "no_rows",  # nothing was observed
    "too_few_rows",  # fewer present rows than the policy asks for, or too few for the rarest groups
    "few_reference_rows",  # the reference itself is too small
    "empty_reference",  # the reference never had a value in this column
    "constant_reference",  # the reference has one value, the window has no other: there is no spread to compare
    "error",  # the column could not be evaluated; `error` says why
    "silent",  # no row came in this stretch of time
    "short_reference",  # the reference has too few windows as long as this one to know how much they differ
    "varied",  # windows of the reference differ so much that half a standard deviation would not show in this one
    "refilling",  # part of the window lies before the reference was active, or before there were rows
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The span that is evaluated.

    Parameters
    ----------
    start_us, end_us : int or None
        Microseconds since the epoch; None when the data has no times.
    size : str
        Configured size, such as `1h`, or `all`.
    """

    start_us: int | None
    end_us: int | None
    size: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedBin:
    """A group whose share changed much."""

    bin: str
    reference: float
    current: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnEvaluation:
    """All detectors on one column of one window; a number that does not exist is None.

    `rows` are present rows; ratios are of the observed ones.
    """

    role: str
    kind: str
    verdict: Verdict
    reason: Reason | None
    rows: int
    statistics: Mapping[str, float | None]
    pvalue: float | None
    pvalue_threshold: float | None
    pvalues: Mapping[str, float | None]
    effect: float | None
    effect_threshold: float | None
    evidence: EvidenceName | None
    direction: Direction | None
    effective_rows: float | None
    smallest_detectable_shift: float | None
    test_groups: int | None
    missing_ratio: float | None
    invalid_ratio: float | None
    unseen_ratio: float | None
    out_of_range_ratio: float | None
    moved: Sequence[MovedBin]
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSaid:
    """What a rule of thumb says of a window, whatever the verdict; None where it has nothing to look at."""

    rule: str
    fires: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All detectors on one window. `rules` are in the document only where the policy asks for some."""

    model: str
    version: str
    segment: str | None
    reference_id: str
    window: Window
    evaluated_at: str
    revision: int
    provisional: bool
    rows: int
    late_rows: int
    verdict: Verdict
    reason: Reason | None
    calibration: Calibration
    calibration_advice: str | None  # what would make it better
    false_alarms_per_30d: float | None
    budget_per_30d: float | None
    scale: int | None
    tier: str | None
    season: str | None
    replayed_false_alarms_per_30d: float | None
    columns: Mapping[str, ColumnEvaluation]
    rules: Sequence[RuleSaid] = ()
