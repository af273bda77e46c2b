"""How far rates of false alarms are to be trusted where there is no calibration, and how that is said. Pure."""

from typing import Any, Final

from detectors.reference import Reference
from service.calibration.calibrated import Trust

__all__ = ["trust_document", "without_calibration"]

_IID: Final = Trust(
    status="iid",
    windows=0,
    advice="build the reference from data with a time column, of 60 or more base windows with rows enough, like the model's",
)
_COLLECTING: Final = Trust(
    status="collecting",
    windows=0,
    advice="make a reference of the traffic of some weeks: a learned one does not know how much base windows differ",
)


def without_calibration(reference: Reference) -> Trust:
    """What is to be thought of a reference that cannot be calibrated: one that was learned will be, by its traffic."""
    return _COLLECTING if reference.provenance.get("learned") else _IID


def trust_document(trust: Trust, budget_per_30d: float) -> dict[str, Any]:
    """The same as people read it."""
    return {
        "status": trust.status,
        "season": trust.season,
        "windows": trust.windows,
        "replayed_days": trust.replayed_days,
        "replayed_alarms": trust.replayed_alarms,
        "replayed_false_alarms_per_30d": trust.replayed_per_30d,
        "budget_per_30d": budget_per_30d,
        "advice": trust.advice,
    }
