"""Retrain triggers: a notice that starts something expensive needs more than an alert does.

A trigger counts decisions in a row in which enough of its columns drifted, fires at most once an episode, and then cools down
in event time, across episodes and references: a model that has just been retrained is not retrained again because it drifts
on. A dry run is only recorded; it does not hold back a real one.
"""

from collections.abc import Mapping
from dataclasses import replace

from service.alerts.decision import Decision
from service.alerts.rules import Rules, TriggerRule
from service.alerts.state import TriggerState

__all__ = ["advanced", "due"]


def advanced(triggers: Mapping[str, TriggerState], decision: Decision, rules: Rules) -> dict[str, TriggerState]:
    """Count a decision; triggers that are not among the rules any more are forgotten."""
    drifted = decision.drifted_columns()
    counted = {}
    for rule in rules.triggers:
        before = triggers.get(rule.key, TriggerState())
        if decision.verdict == "undecided":
            counted[rule.key] = before
        else:
            matches = decision.verdict == "drifted" and rule.matches(drifted)
            counted[rule.key] = replace(before, in_a_row=before.in_a_row + 1 if matches else 0)
    return counted


def due(
    triggers: Mapping[str, TriggerState], episode_id: str, decision: Decision, rules: Rules
) -> list[tuple[TriggerRule, TriggerState]]:
    """Triggers that fire with this decision, each with its state once it has."""
    strongest = decision.strongest()
    calibration = None if strongest is None else strongest["calibration"]
    firing = []
    for rule in rules.triggers:
        before = triggers[rule.key]
        after = replace(
            before, fired_at_us=decision.window_end_us, fired_episode=episode_id, dry=rule.is_dry(calibration)
        )
        if before.in_a_row >= rule.windows_min and not _is_held_back(before, after, rule):
            firing.append((rule, after))
    return firing


def _is_held_back(before: TriggerState, after: TriggerState, rule: TriggerRule) -> bool:
    if before.fired_at_us is None or after.fired_at_us is None or (before.dry and not after.dry):
        return False
    return before.fired_episode == after.fired_episode or after.fired_at_us < before.fired_at_us + rule.cool_down_us
