"""The life of an episode, as one function of state and decision.

::

            fire_after drifted in a row, and not cooling down
      ok  ---------------------------------------------------->  firing
          <----------------------------------------------------
            resolve_after clear in a row | another reference | by hand

An undecided window says nothing: it neither counts nor breaks a row. A stable one that is not clear, because its evidence is
not far from an alarm, breaks the row of clear ones. Rows are counted during a cool-down too, so that drift
which outlasts it opens an episode with its first window after it. A cool-down is of event time: a year that is replayed in a
minute has the same episodes as a year that was lived through.

One episode has one id, derived from what was seen and not from when it was computed. Its notices are numbered 1, 2, 3 ... as
they are made; what is not sent (dry runs, a silenced episode, nobody to be told) has no number. A retraining is started once
an episode and target.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.alerts.decision import TIERS, Decision, Subject
from service.alerts.documents import EpisodeChange, decision_document
from service.alerts.notice import About, Resolution, derived_id, evidence_of
from service.alerts.rules import Rules
from service.alerts.state import AlertState, OpenEpisode, Watch
from service.alerts.telling import Telling
from service.alerts.triggers import advanced, due
from service.alerts.watchdog import raised, watch_document, watched
from service.ports import OutboxNotice

__all__ = ["Step", "close", "reference_changed", "step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be written, all or nothing.

    Parameters
    ----------
    state : AlertState
    changes : tuple of EpisodeChange
        In the order they happened; an episode may end and another one begin.
    notices : tuple of OutboxNotice
    decision : (int, bytes) or None
        Entry of the decision log.
    """

    state: AlertState
    changes: tuple[EpisodeChange, ...] = ()
    notices: tuple[OutboxNotice, ...] = ()
    decision: tuple[int, bytes] | None = None


def step(state: AlertState, decision: Decision, rules: Rules, now_us: int) -> Step:
    """Take one decision into account. Decisions come in the order of their windows, corrections at any time.

    Parameters
    ----------
    state : AlertState
    decision : Decision
    rules : Rules
    now_us : int
        For what people read, and for whether a silenced episode still is; nothing else depends on it.
    """
    if decision.correction:
        taken = _correction(state, decision, rules, now_us)
    else:
        before = reference_changed(state, decision.subject, decision.reference_id, rules, now_us)
        after = _decided(before.state, decision, rules, now_us)
        taken = replace(after, changes=before.changes + after.changes, notices=before.notices + after.notices)
    document = decision_document(decision, taken.state, taken.changes, now_us)
    return replace(taken, decision=(decision.window_end_us, document))


def reference_changed(state: AlertState, subject: Subject, reference_id: str, rules: Rules, now_us: int) -> Step:
    """Close the episode of another reference, and count anew. Does nothing if the reference is the same."""
    if state.reference_id == reference_id:
        return Step(state=state)
    closed = close(state, subject, "reference_changed", rules, now_us)
    return replace(closed, state=replace(_rows_forgotten(closed.state), reference_id=reference_id, watch=Watch()))


def close(
    state: AlertState,
    subject: Subject,
    resolution: Resolution,
    rules: Rules,
    now_us: int,
    *,
    decision: Decision | None = None,
    by: str | None = None,
) -> Step:
    """End the open episode, if there is one; the cool-down begins at the end of the last window that was decided."""
    if state.episode is None:
        return Step(state=state)
    telling = _telling(state.episode, subject, rules, now_us, decision)
    telling = telling.tell("drift.resolved", rules.told("drift.resolved"), reason=resolution)
    return Step(
        state=replace(_rows_forgotten(state), episode=None, cool_until_us=_cool_until_us(state, state.episode, rules)),
        changes=(telling.change(decision, resolution=resolution, resolved_by=by),),
        notices=telling.notices,
    )


def _decided(state: AlertState, decision: Decision, rules: Rules, now_us: int) -> Step:
    state = replace(state, decided_until_us=decision.window_end_us, watch=watched(state.watch, decision))
    if decision.verdict == "drifted":
        state = _one_more_drifted(state, decision, rules)
        if state.episode is None:
            return _opened_if_due(state, decision, rules, now_us)
        return _went_on_drifting(state, state.episode, decision, rules, now_us)
    state = replace(state, triggers=advanced(state.triggers, decision, rules))
    if decision.verdict == "stable":
        state = replace(
            state, drifted_in_a_row=0, stable_in_a_row=state.stable_in_a_row + 1 if decision.is_clear else 0
        )
        if state.stable_in_a_row >= rules.resolve_after:
            return close(state, decision.subject, "stable", rules, now_us, decision=decision)
    if state.episode is None:
        return Step(state=state)
    telling = _telling(state.episode, decision.subject, rules, now_us, decision)
    return Step(state=state, changes=(telling.change(decision),))


def _correction(state: AlertState, decision: Decision, rules: Rules, now_us: int) -> Step:
    """Count a window that was not found drifted at first; it may open an episode, and do nothing else."""
    foreign = state.reference_id != decision.reference_id
    if foreign or state.episode is not None or decision.verdict != "drifted" or _is_cooling(state, decision):
        return Step(state=state)
    return _opened_if_due(_one_more_drifted(state, decision, rules), decision, rules, now_us)


def _one_more_drifted(state: AlertState, decision: Decision, rules: Rules) -> AlertState:
    triggers = advanced(state.triggers, decision, rules)
    return replace(state, drifted_in_a_row=state.drifted_in_a_row + 1, stable_in_a_row=0, triggers=triggers)


def _opened_if_due(state: AlertState, decision: Decision, rules: Rules, now_us: int) -> Step:
    if state.drifted_in_a_row < rules.fire_after or _is_cooling(state, decision):
        return Step(state=state)
    subject, end_us = decision.subject, decision.window_end_us
    episode_id = derived_id("ep", subject.model, subject.version, decision.reference_id, subject.segment, end_us)
    tier = decision.tier()
    episode = OpenEpisode(id=episode_id, reference_id=decision.reference_id, opened_at_us=end_us, tier=tier)
    telling = _telling(episode, subject, rules, now_us, decision).tell("drift.firing", rules.told("drift.firing"))
    watch = raised(state.watch, decision)
    if watch.exceeded_us != state.watch.exceeded_us:
        telling = telling.tell("budget.exceeded", rules.told("budget.exceeded"), watch=watch_document(watch))
    return _with_triggers(
        replace(state, watch=watch), telling, decision, rules, tier=tier, evidence=telling.about.evidence
    )


def _went_on_drifting(state: AlertState, episode: OpenEpisode, decision: Decision, rules: Rules, now_us: int) -> Step:
    telling = _telling(episode, decision.subject, rules, now_us, decision)
    tier = decision.tier()
    # While an episode is silenced, the rise stays to be told of.
    if telling.is_silenced or TIERS.index(tier) <= TIERS.index(episode.tier):
        return _with_triggers(state, telling, decision, rules)
    telling = replace(telling, episode=replace(episode, tier=tier))
    telling = telling.tell("drift.escalated", rules.told("drift.escalated"))
    return _with_triggers(state, telling, decision, rules, tier=tier)


def _with_triggers(
    state: AlertState,
    telling: Telling,
    decision: Decision,
    rules: Rules,
    *,
    tier: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Step:
    """Fire the triggers that are due, and end the step. One that is held back by a silenced episode stays due."""
    triggers = dict(state.triggers)
    for rule, fired in due(state.triggers, telling.episode.id, decision, rules):
        if fired.dry:
            telling = replace(telling, dry_targets=(*telling.dry_targets, rule.target))
        elif telling.is_silenced or rule.target in telling.episode.retrained:
            continue
        else:
            telling = telling.tell_to_retrain(rule.target)
        triggers[rule.key] = fired
    return Step(
        state=replace(state, episode=telling.episode, triggers=triggers),
        changes=(telling.change(decision, tier=tier, evidence=evidence),),
        notices=telling.notices,
    )


def _is_cooling(state: AlertState, decision: Decision) -> bool:
    return state.cool_until_us is not None and decision.window_end_us <= state.cool_until_us


def _cool_until_us(state: AlertState, episode: OpenEpisode, rules: Rules) -> int:
    """End of the cool-down of an episode that is closed now."""
    closed_at_us = episode.opened_at_us if state.decided_until_us is None else state.decided_until_us
    return closed_at_us + rules.cool_down_us


def _rows_forgotten(state: AlertState) -> AlertState:
    triggers = {key: replace(trigger, in_a_row=0) for key, trigger in state.triggers.items()}
    return replace(state, drifted_in_a_row=0, stable_in_a_row=0, triggers=triggers)


def _telling(episode: OpenEpisode, subject: Subject, rules: Rules, now_us: int, decision: Decision | None) -> Telling:
    evidence = evidence_of(None if decision is None else decision.strongest())
    about = About(
        subject=subject,
        reference_id=episode.reference_id,
        at_us=now_us,
        evidence=evidence,
        public_url=rules.public_url,
    )
    return Telling(episode=episode, about=about)
