"""Retrain triggers: a notice that starts something expensive needs more than an alert does.

A trigger counts decisions in a row in which enough of its columns drifted, fires at most once an episode, and then cools down
in event time, across episodes and references: a model that has just been retrained is not retrained again because it drifts
on. Beside that it may be limited to so many times in so much event time. A dry run is only recorded; it does not hold back a
real one.
"""

from collections.abc import Mapping
from dataclasses import replace

from service.alerts.decision import Decision
from service.alerts.rules import Rules, TriggerRule
from service.alerts.state import Fired, TriggerState

__all__ = ["advanced", "due"]


def advanced(triggers: Mapping[str, TriggerState], decision: Decision, rules: Rules) -> dict[str, TriggerState]:
    """Count a decision; triggers that are not among the rules any more are forgotten."""
    counted = {}
    for rule in rules.triggers:
        before = triggers.get(rule.key, TriggerState())
        if decision.verdict == "undecided":
            counted[rule.key] = before
        else:
            matches = decision.verdict == "drifted" and rule.matches(decision)
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
        before, fired = triggers[rule.key], Fired(at_us=decision.window_end_us, dry=rule.is_dry(calibration))
        if before.in_a_row >= rule.windows_min and not _is_held_back(before, episode_id, fired, rule):
            firing.append((rule, _after(before, episode_id, fired, rule)))
    return firing


def _is_held_back(before: TriggerState, episode_id: str, fired: Fired, rule: TriggerRule) -> bool:
    counting = sum(fired.dry or not one.dry for one in _lately(before, fired, rule))
    if rule.limit is not None and counting >= rule.limit[0]:
        return True
    if before.fired_at_us is None or (before.dry and not fired.dry):
        return False
    return before.fired_episode == episode_id or fired.at_us < before.fired_at_us + rule.cool_down_us


def _after(before: TriggerState, episode_id: str, fired: Fired, rule: TriggerRule) -> TriggerState:
    return TriggerState(
        in_a_row=before.in_a_row,
        fired_at_us=fired.at_us,
        fired_episode=episode_id,
        dry=fired.dry,
        lately=() if rule.limit is None else (*_lately(before, fired, rule), fired),
    )


def _lately(before: TriggerState, fired: Fired, rule: TriggerRule) -> tuple[Fired, ...]:
    """When it fired before, as far back as its limit looks."""
    per_us = 0 if rule.limit is None else rule.limit[1]
    return tuple(one for one in before.lately if one.at_us > fired.at_us - per_us)
