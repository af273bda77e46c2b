"""How far the alarms of a version are to be trusted, and what would make that better."""

from dataclasses import replace

from pydantic import BaseModel, Field

from service.api.context import Context
from service.calibration.calibrated import Trust
from service.calibration.trusts import trust_document
from service.domain import Calibration
from service.ports import Progress
from service.references.candidate import WINDOWS_MIN, Collected, collected
from service.registry.models import LiveModel, LiveVersion
from service.windows.times import format_instant

__all__ = ["CalibrationDocument", "CandidateDocument", "calibration_of"]


class CalibrationDocument(BaseModel):
    """How far the rate of false alarms against the active reference is to be trusted."""

    status: Calibration
    season: str | None
    windows: int = Field(description="Base windows of the reference")
    replayed_days: float | None
    replayed_alarms: int | None
    replayed_false_alarms_per_30d: float | None
    budget_per_30d: float
    advice: str | None = Field(description="What would make it better")


class CandidateDocument(BaseModel):
    """A span of traffic since the reference was learned: posted to `promotions` as it is, it becomes a reference."""

    version: str
    since: str
    until: str
    windows: int = Field(description="Base windows with rows enough")


async def calibration_of(
    context: Context, model: LiveModel, version: LiveVersion, progress: Progress | None, *, patient: bool
) -> tuple[CalibrationDocument | None, CandidateDocument | None]:
    """Calibration and candidate of a version; None while it learns, and as long as its reference is being replayed.

    Who is not patient is told what is known without work.
    """
    active = version.active
    if active is None:
        return None, None
    trust = await context.trusts.trust(model, active) if patient else context.trusts.known(model, active)
    if trust is None:
        return None, None
    candidate = None
    if trust.status == "collecting":
        found = await collected(context.store, model, version, progress)
        candidate = _candidate(version.version, found)
        trust = _advised(trust, found, candidate)
    document = trust_document(trust, model.configuration.policy.false_alarms_per_30d)
    return CalibrationDocument.model_validate(document), candidate


def _candidate(version: str, found: Collected) -> CandidateDocument | None:
    if not found.enough or found.span_us is None:
        return None
    since, until = map(format_instant, found.span_us)
    return CandidateDocument(version=version, since=since, until=until, windows=found.windows)


def _advised(trust: Trust, found: Collected, candidate: CandidateDocument | None) -> Trust:
    if candidate is None:
        so_far = f"{found.windows} of {WINDOWS_MIN} base windows with rows enough have been collected"
        return replace(
            trust, advice=f"wait: {so_far}, of which a reference can be made that knows how much they differ"
        )
    return replace(
        trust,
        advice=f"{candidate.windows} base windows with rows enough have been collected from {candidate.since} to"
        f" {candidate.until}: if all was well in them, promote that span (`candidate`) to a reference, and activate it",
    )
