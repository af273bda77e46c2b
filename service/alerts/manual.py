"""What people and pipelines do to an episode: pure functions over its document, and over the alert state where that matters.

Whoever calls them writes both back under the revisions they were read with.
"""

from dataclasses import replace
from typing import Literal

from service.alerts.decision import Subject
from service.alerts.documents import Acknowledged, Episode, Outcome
from service.alerts.lifecycle import Step, close
from service.alerts.notice import instant
from service.alerts.rules import Rules
from service.alerts.state import AlertState

__all__ = ["acknowledge", "report_outcome", "resolve", "silence"]


def acknowledge(episode: Episode, by: str, at_us: int) -> Episode:
    """Note that somebody has seen it; the first one stands."""
    return replace(episode, acknowledged=episode.acknowledged or Acknowledged(by=by, at=instant(at_us)))


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
    episode: Episode, outcome: Literal["started", "succeeded", "failed"], link: str | None, at_us: int
) -> Episode:
    """Note what the pipeline says of its retraining; the last word stands, with the last link."""
    known = None if episode.outcome is None else episode.outcome.link
    return replace(episode, outcome=Outcome(state=outcome, link=link or known, at=instant(at_us)))
