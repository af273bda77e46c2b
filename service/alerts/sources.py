"""Silence of a live source: told of once, and once more when rows come again.

Silence is no drift and no stability. It has no episode; its two notices share an order key that is derived from the last row.
"""

from dataclasses import replace
from typing import Literal

from service.alerts.decision import Subject
from service.alerts.lifecycle import Step
from service.alerts.notice import About, derived_id, evidence_of, notice_document, outbox_notices
from service.alerts.rules import Rules
from service.alerts.state import AlertState

__all__ = ["source_resumed", "source_silent"]


def source_silent(state: AlertState, subject: Subject, rules: Rules, silent_since_us: int, now_us: int) -> Step:
    """Tell that a live source has had no row since a time, if that is long enough ago and was not told.

    Parameters
    ----------
    state : AlertState
    subject : Subject
    rules : Rules
    silent_since_us : int
        Event time of its newest row.
    now_us : int
    """
    after_us = rules.silence_after_us
    if after_us is None or state.silent_since_us is not None or now_us - silent_since_us < after_us:
        return Step(state=state)
    told = replace(state, silent_since_us=silent_since_us)
    return _told(told, "silence", subject, rules, silent_since_us=silent_since_us, now_us=now_us)


def source_resumed(state: AlertState, subject: Subject, rules: Rules, now_us: int) -> Step:
    """Tell that rows come again, if their silence was told of."""
    if state.silent_since_us is None:
        return Step(state=state)
    told = replace(state, silent_since_us=None)
    return _told(told, "resumed", subject, rules, silent_since_us=state.silent_since_us, now_us=now_us)


def _told(
    state: AlertState,
    kind: Literal["silence", "resumed"],
    subject: Subject,
    rules: Rules,
    *,
    silent_since_us: int,
    now_us: int,
) -> Step:
    stretch_id = derived_id("sil", subject.model, subject.version, subject.segment, silent_since_us)
    about = About(
        subject=subject,
        reference_id=state.reference_id,
        at_us=now_us,
        evidence=evidence_of(None),
        public_url=rules.public_url,
    )
    sequence = 1 if kind == "silence" else 2
    notice_id = derived_id("ntc", stretch_id, kind, sequence)
    document = notice_document(kind, about, notice_id=notice_id, sequence=sequence, episode_id=None)
    notices = outbox_notices(document, rules.told(kind), order_key=stretch_id, created_at_us=now_us)
    return Step(state=state, notices=notices)
