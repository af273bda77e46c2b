"""A policy that is to be tried: the `policy:` part of a model's configuration, and what goes with it. Pure."""

from dataclasses import replace
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from detectors.reference import Reference, reference_id
from service.domain.configuration import ModelConfiguration, PolicyConfiguration, TriggerConfiguration
from service.domain.durations import format_duration, parse_duration_s
from service.registry.models import LiveModel, LiveReference, LiveVersion, Since

__all__ = ["ASSUMED_TRIGGER", "Proposal", "model_of_reference", "proposed"]

_TOLD: Final = "notify"
_DAY_S: Final = 86_400

ASSUMED_TRIGGER: Final = TriggerConfiguration(target="retrain")
"""Where no trigger is given, it is said when one as it is by default would have fired."""


class Proposal(BaseModel):
    """Contents of policy.yaml, written as in the configuration of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    policy: PolicyConfiguration = PolicyConfiguration()
    triggers: tuple[TriggerConfiguration, ...] = Field(default=(), max_length=32)
    scales: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(default=(1, 6, 24), min_length=1, max_length=8)

    def with_budget(self, budget: float | None) -> "Proposal":
        """The same with another budget of false alarms; as it is for None."""
        if budget is None:
            return self
        return self.model_copy(update={"policy": self.policy.model_copy(update={"false_alarms_per_30d": budget})})


def model_of_reference(reference: Reference, proposal: Proposal) -> LiveModel:
    """A model whose only version has this reference, and whose base windows are those of the reference."""
    base_s = parse_duration_s(reference.window)
    configuration = ModelConfiguration(
        time_zone=reference.time_zone,
        pane=reference.window if base_s < _DAY_S else "15m",
        base_window=reference.window,
        retention=format_duration(base_s * max(proposal.scales)),
        scales=proposal.scales,
        policy=proposal.policy,
        triggers=proposal.triggers,
    )
    since = Since(from_us=None, reference=LiveReference(id=reference_id(reference), reference=reference))
    version = LiveVersion(model=reference.model, version=reference.version, since=(since,))
    model = LiveModel(
        model=reference.model, epoch=0, owner="api", configuration=configuration, versions={reference.version: version}
    )
    return proposed(model, proposal.policy)


def proposed(model: LiveModel, policy: PolicyConfiguration) -> LiveModel:
    """A model with another policy, that would tell somebody and retrain even if nobody is configured to hear it."""
    configuration = model.configuration
    changes = {
        "policy": policy,
        "notify": configuration.notify or (_TOLD,),
        "triggers": configuration.triggers or (ASSUMED_TRIGGER,),
    }
    return replace(model, configuration=configuration.model_copy(update=changes))
