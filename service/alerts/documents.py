"""What people read: episodes (`driftline.episode/1`) and the decision log (`driftline.decision/1`).

An episode is changed by steps of the lifecycle and by hand. Both read the document of the store's row, change it, and write it
back under the row's revision, so that neither overwrites the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import msgspec

from service.alerts.decision import Decision, Subject
from service.alerts.notice import Resolution, instant
from service.alerts.state import AlertState
from service.domain import Verdict
from service.errors import DriftlineError
from service.ports import EpisodeRow

__all__ = [
    "Acknowledged",
    "DryRun",
    "Episode",
    "EpisodeChange",
    "Outcome",
    "SentNotice",
    "Span",
    "changed",
    "decision_document",
    "decode_episode",
    "episode_row",
]

EPISODE_FORMAT: Final = "driftline.episode/1"
DECISION_FORMAT: Final = "driftline.decision/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A window as people read it."""

    start: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentNotice:
    """A notice of an episode, and the targets it was sent to."""

    id: str
    kind: str
    sequence: int
    at: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """A retraining that would have been started."""

    target: str
    at: str
    window: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Who has seen it."""

    by: str
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pipeline reported of its retraining."""

    state: Literal["started", "succeeded", "failed"]
    link: str | None
    at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The windows of an episode: its first and last, and how many were which."""

    first: Span
    last: Span
    drifted: int = 0
    stable: int = 0
    undecided: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """An alert episode. Times are RFC 3339: `opened_at` and `windows` in event time, all else when it was done.

    `outcome` is the last of `outcomes`, with the last link that was given.
    """

    format: str = EPISODE_FORMAT
    id: str
    model: str
    version: str
    segment: str | None
    reference_id: str
    state: Literal["open", "resolved"] = "open"
    opened_at: str
    recorded_at: str
    resolved_at: str | None = None
    resolution: Resolution | None = None
    resolved_by: str | None = None
    tier: str | None = None
    windows: Windows
    notices: tuple[SentNotice, ...] = ()
    would_have_sent: tuple[DryRun, ...] = ()
    acknowledged: Acknowledged | None = None
    silenced_until: str | None = None
    outcome: Outcome | None = None
    outcomes: tuple[Outcome, ...] = ()
    evidence: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeChange:
    """What one step does to an episode.

    Parameters
    ----------
    id, reference_id : str
    subject : Subject
    opened_at_us, at_us : int
        End of the first firing window; when the step was made.
    window : Span or None
        The window that was decided, if one was.
    verdict : str or None
    tier : str or None
        A new one.
    notices : tuple of SentNotice
    would_have_sent : tuple of DryRun
    resolution : str or None
        Why the episode ends with this step, if it does.
    resolved_by : str or None
    evidence : dict or None
        Of the window that opened it.
    """

    id: str
    reference_id: str
    subject: Subject
    opened_at_us: int
    at_us: int
    window: Span | None = None
    verdict: Verdict | None = None
    tier: str | None = None
    notices: tuple[SentNotice, ...] = ()
    would_have_sent: tuple[DryRun, ...] = ()
    resolution: Resolution | None = None
    resolved_by: str | None = None
    evidence: Mapping[str, Any] | None = None


def changed(episode: Episode | None, change: EpisodeChange) -> Episode:
    """Episode after a step; None where the store has none, such as one that the step opens."""
    before = episode or _begun(change)
    return replace(
        before,
        state="open" if change.resolution is None else "resolved",
        resolved_at=before.resolved_at if change.resolution is None else instant(change.at_us),
        resolution=change.resolution or before.resolution,
        resolved_by=change.resolved_by or before.resolved_by,
        tier=change.tier or before.tier,
        windows=_counted(before.windows, change),
        notices=(*before.notices, *change.notices),
        would_have_sent=(*before.would_have_sent, *change.would_have_sent),
        evidence=change.evidence or before.evidence,
    )


def episode_row(episode: Episode, opened_at_us: int, revision: int) -> EpisodeRow:
    """Row for the store; `revision` is the one it replaces, 0 for none."""
    return EpisodeRow(
        id=episode.id,
        model=episode.model,
        version=episode.version,
        opened_at_us=opened_at_us,
        open=episode.state == "open",
        revision=revision,
        document=msgspec.json.encode(episode),
    )


def decode_episode(document: bytes) -> Episode:
    """Episode of a row's document.

    Raises
    ------
    DriftlineError
        A format of another release, or no episode.
    """
    try:
        episode = msgspec.json.decode(document, type=Episode)
    except msgspec.MsgspecError as error:
        raise DriftlineError(f"episode: wanted a document {EPISODE_FORMAT!r}") from error
    if episode.format != EPISODE_FORMAT:
        raise DriftlineError(f"episode: got format {episode.format[:64]!r}, wanted {EPISODE_FORMAT!r}")
    return episode


def decision_document(decision: Decision, state: AlertState, changes: tuple[EpisodeChange, ...], at_us: int) -> bytes:
    """Entry of the decision log: what was decided, the state after it, and what was sent."""
    return msgspec.json.encode(
        {
            "format": DECISION_FORMAT,
            "model": decision.subject.model,
            "version": decision.subject.version,
            "segment": decision.subject.segment or None,
            "reference_id": decision.reference_id,
            "window": span_of(decision),
            "verdict": decision.verdict,
            "reason": decision.reason,
            "clear": decision.is_clear,
            "correction": decision.correction,
            "decided_at": instant(at_us),
            "state": state.phase,
            "drifted_in_a_row": state.drifted_in_a_row,
            "stable_in_a_row": state.stable_in_a_row,
            "episode_id": None if state.episode is None else state.episode.id,
            "resolved": [{"episode_id": c.id, "resolution": c.resolution} for c in changes if c.resolution],
            "notices": [notice for change in changes for notice in change.notices],
            "would_have_sent": [dry_run for change in changes for dry_run in change.would_have_sent],
        }
    )


def span_of(decision: Decision) -> Span:
    """Window of a decision."""
    return Span(start=instant(decision.window_start_us), end=instant(decision.window_end_us))


def _begun(change: EpisodeChange) -> Episode:
    window = change.window or Span(start=instant(change.opened_at_us), end=instant(change.opened_at_us))
    return Episode(
        id=change.id,
        model=change.subject.model,
        version=change.subject.version,
        segment=change.subject.segment or None,
        reference_id=change.reference_id,
        opened_at=instant(change.opened_at_us),
        recorded_at=instant(change.at_us),
        windows=Windows(first=window, last=window),
    )


def _counted(windows: Windows, change: EpisodeChange) -> Windows:
    if change.window is None:
        return windows
    match change.verdict:
        case "drifted":
            windows = replace(windows, drifted=windows.drifted + 1)
        case "stable":
            windows = replace(windows, stable=windows.stable + 1)
        case _:
            windows = replace(windows, undecided=windows.undecided + 1)
    return replace(windows, last=change.window)
