"""What the owner of a model decided about alerts, in the units that the lifecycle counts in."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from service.alerts.decision import Decision
from service.domain.configuration import ModelConfiguration, TriggerConfiguration
from service.domain.durations import parse_duration_s
from service.domain.targets import NoticeKind, TargetConfiguration

__all__ = ["Rules", "TriggerRule", "rules_of"]

_US_PER_S: Final = 1_000_000
_ROUNDING: Final = 1e-9  # of weights: 0.7 and 0.1 are to reach 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerRule:
    """When an episode starts a retraining, and where.

    Parameters
    ----------
    key : str
        Of what the trigger looks at. How often it may fire, and its dry run, may be changed without making another of it.
    target : str
    roles : frozenset of str
    columns : frozenset of str or None
        Only these count; None for all.
    columns_min, windows_min : int
        So many columns, in so many drifted decisions in a row.
    weights : mapping of str to float
        Of columns that do not weigh 1; those of weight 0 do not count.
    weight_min : float
        So much weight together.
    tier : str
        That drift is asked for where it has a calibrated rate.
    cool_down_us : int
        In event time.
    limit : (int, int) or None
        At most so many times in so many microseconds of event time.
    dry_run : bool or None
        None: as long as the calibration is not verified.
    """

    key: str
    target: str
    roles: frozenset[str] = frozenset({"input", "output"})
    columns: frozenset[str] | None = None
    columns_min: int = 1
    windows_min: int = 1
    weights: Mapping[str, float] = field(default_factory=dict)
    weight_min: float = 0.0
    tier: str = "major"
    cool_down_us: int = 0
    limit: tuple[int, int] | None = None
    dry_run: bool | None = None

    def matches(self, decision: Decision) -> bool:
        """Whether enough columns that count have drifted."""
        weights = [
            self.weights.get(name, 1.0)
            for name, role in decision.drifted_columns(self.tier).items()
            if role in self.roles and (self.columns is None or name in self.columns)
        ]
        counting = sum(weight > 0 for weight in weights)
        return counting >= self.columns_min and math.fsum(weights) >= self.weight_min * (1 - _ROUNDING)

    def is_dry(self, calibration: str | None) -> bool:
        """Whether nothing is sent to the target."""
        return calibration != "verified" if self.dry_run is None else self.dry_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When decisions become an episode, and who is told.

    Parameters
    ----------
    fire_after, resolve_after : int
        Drifted decisions in a row that open an episode, clear ones that close it.
    cool_down_us : int
        In event time, from the end of the window that closed an episode; 0 for none.
    silence_after_us : int or None
    notify : tuple of str
        Targets of alert notices.
    triggers : tuple of TriggerRule
    kinds : mapping of str to frozenset of str
        Targets that want only some kinds of alert notices.
    public_url : str
        Where people reach this service; links are paths if it is empty.
    """

    fire_after: int = 1
    resolve_after: int = 6
    cool_down_us: int = 0
    silence_after_us: int | None = None
    notify: tuple[str, ...] = ()
    triggers: tuple[TriggerRule, ...] = ()
    kinds: Mapping[str, frozenset[NoticeKind]] = field(default_factory=dict)
    public_url: str = ""

    def told(self, kind: NoticeKind) -> tuple[str, ...]:
        """Targets that an alert notice goes to, each once."""
        return tuple(name for name in dict.fromkeys(self.notify) if name not in self.kinds or kind in self.kinds[name])


def rules_of(
    configuration: ModelConfiguration, targets: Mapping[str, TargetConfiguration], public_url: str = ""
) -> Rules:
    """Rules of a model. A target that is not (or no longer) configured is told all the same: its notices wait."""
    policy = configuration.policy
    return Rules(
        fire_after=policy.fire_after,
        resolve_after=policy.resolve_after,
        cool_down_us=0 if policy.cool_down is None else _us(policy.cool_down),
        silence_after_us=None if policy.silence_after is None else _us(policy.silence_after),
        notify=configuration.notify,
        triggers=tuple({rule.key: rule for rule in map(_trigger_rule, configuration.triggers)}.values()),
        kinds={name: frozenset(target.kinds) for name, target in targets.items() if target.kinds is not None},
        public_url=public_url.rstrip("/"),
    )


def _trigger_rule(trigger: TriggerConfiguration) -> TriggerRule:
    return TriggerRule(
        key=f"{trigger.target}:{hashlib.sha256(msgspec.json.encode(_looks_at(trigger))).hexdigest()[:16]}",
        target=trigger.target,
        roles=frozenset(trigger.roles),
        columns=None if trigger.columns is None else frozenset(trigger.columns),
        columns_min=trigger.columns_min,
        windows_min=trigger.windows_min,
        weights=trigger.weights,
        weight_min=trigger.weight_min or 0.0,
        tier=trigger.tier,
        cool_down_us=_us(trigger.cool_down),
        limit=_limit(trigger.max_count, trigger.max_per),
        dry_run=trigger.dry_run,
    )


def _looks_at(trigger: TriggerConfiguration) -> Sequence[object]:
    columns = None if trigger.columns is None else sorted(trigger.columns)
    looks_at = [trigger.target, sorted(trigger.roles), columns, trigger.columns_min, trigger.windows_min]
    if not trigger.weights and trigger.weight_min is None and trigger.tier == "major":
        # A trigger from before there were weights and tiers keeps its key, and so its cool-down.
        return looks_at
    return [*looks_at, sorted(trigger.weights.items()), trigger.weight_min, trigger.tier]


def _limit(count: int | None, per: str | None) -> tuple[int, int] | None:
    return None if count is None or per is None else (count, _us(per))


def _us(duration: str) -> int:
    return parse_duration_s(duration) * _US_PER_S
