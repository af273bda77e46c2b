"""What people and pipelines do to an episode: pure functions over its document, and over the alert state where that matters.

Whoever calls them writes both back under the revisions they were read with.
"""

from dataclasses import replace
from typing import Final, Literal

from service.alerts.decision import Subject
from service.alerts.documents import Acknowledged, Episode, Outcome
from service.alerts.lifecycle import Step, close
from service.alerts.notice import instant
from service.alerts.rules import Rules
from service.alerts.state import AlertState
from service.alerts.watchdog import accepted

__all__ = ["acknowledge", "report_outcome", "resolve", "silence"]

_OUTCOMES_MAX: Final = 20


def acknowledge(state: AlertState, episode: Episode, by: str, at_us: int) -> tuple[AlertState, Episode]:
    """Note that somebody has seen it, and takes it for drift; the first one stands."""
    acknowledged = episode.acknowledged or Acknowledged(by=by, at=instant(at_us))
    return accepted(state, episode), replace(episode, acknowledged=acknowledged)


def silence(state: AlertState, episode: Episode, until_us: int) -> tuple[AlertState, Episode]:
    """Have it send no notices until a time; one that is past ends the silence. Changes nothing once it is resolved."""
    if state.episode is None or state.episode.id != episode.id:
        return state, episode
    silenced = replace(state.episode, silenced_until_us=until_us)
    return replace(state, episode=silenced), replace(episode, silenced_until=instant(until_us))


def resolve(state: AlertState, episode: Episode, by: str, rules: Rules, now_us: int) -> Step:
    """Close it; the next one may open after the cool-down. Changes nothing once it is resolved."""
    if state.episode is None or state.episode.id != episode.id:
        return Step(state=state)
    subject = Subject(model=episode.model, version=episode.version, segment=episode.segment or "")
    return close(state, subject, "by_hand", rules, now_us, by=by)


def report_outcome(
    state: AlertState,
    episode: Episode,
    outcome: Literal["started", "succeeded", "failed"],
    link: str | None,
    at_us: int,
) -> tuple[AlertState, Episode]:
    """Note what a pipeline says of its retraining; one that succeeded says that there was drift.

    All reports are kept, up to a number, and the last word stands. To repeat it changes nothing: pipelines try again.
    """
    last = episode.outcome
    if last is not None and last.state == outcome and link in (None, last.link):
        return state, episode
    reported = Outcome(state=outcome, link=link or (None if last is None else last.link), at=instant(at_us))
    before = episode.outcomes or (() if last is None else (last,))
    told = replace(episode, outcome=reported, outcomes=(*before, reported)[-_OUTCOMES_MAX:])
    return accepted(state, episode) if outcome == "succeeded" else state, told
