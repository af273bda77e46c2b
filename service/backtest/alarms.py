"""What a history comes to: alarms with their evidence, notices, and retrainings that would have been asked for. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.alerts.decision import Decision
from service.alerts.documents import Episode, EpisodeChange, changed
from service.alerts.notice import instant
from service.alerts.rules import Rules
from service.backtest.history import Lived

__all__ = ["Alarms", "Told"]

_COLUMN: tuple[str, ...] = ("name", "role", "kind", "evidence", "direction", "pvalue", "effect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something that somebody would have been told.

    Parameters
    ----------
    at : str
        End of the window with which it would have been.
    kind : str
        Of the notice; `retrain` for a retraining.
    episode_id : str
    target : str or None
        Of a retraining.
    dry_run : bool
    reason : str or None
        Why it is a dry run.
    """

    at: str
    kind: str
    episode_id: str
    target: str | None = None
    dry_run: bool = False
    reason: str | None = None


@dataclass(slots=True, kw_only=True)
class Alarms:
    """Gathers what a history comes to.

    Parameters
    ----------
    rules : Rules
    verdicts : Counter
        Decisions by their verdict.
    episodes : dict of str to Episode
        By id, in the order of their opening.
    told : list of Told
        In the order of time.
    """

    rules: Rules
    verdicts: Counter[str] = field(default_factory=Counter)
    episodes: dict[str, Episode] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def take(self, lived: Lived) -> None:
        """Take the next window."""
        self.verdicts[lived.decision.verdict] += 1
        at = instant(lived.decision.window_end_us)
        for change in lived.step.changes:
            self.episodes[change.id] = changed(self.episodes.get(change.id), change)
            self.told += self._told(change, lived.decision, at)

    def _told(self, change: EpisodeChange, decision: Decision, at: str) -> list[Told]:
        told = [
            Told(at=at, kind=notice.kind, episode_id=change.id, target=_target(notice.kind, notice.targets))
            for notice in change.notices
        ]
        return told + [
            Told(
                at=at,
                kind="retrain",
                episode_id=change.id,
                target=dry.target,
                dry_run=True,
                reason=self._why_dry(dry.target, decision),
            )
            for dry in change.would_have_sent
        ]

    def _why_dry(self, target: str, decision: Decision) -> str:
        rules = [rule for rule in self.rules.triggers if rule.target == target]
        if all(rule.dry_run for rule in rules):
            return "the trigger says dry_run: true"
        strongest = decision.strongest() or {}
        return f"the calibration is {strongest.get('calibration')}, not verified"


def alarm_document(episode: Episode) -> dict[str, Any]:
    """An alarm for people and machines: when, how strong, which columns and in which way."""
    evidence: Mapping[str, Any] = episode.evidence or {}
    columns: Sequence[Mapping[str, Any]] = evidence["columns"]
    return {
        "episode_id": episode.id,
        "opened_at": episode.opened_at,
        "ended_at": episode.resolved_at,
        "tier": episode.tier,
        "false_alarms_per_30d": evidence["false_alarms_per_30d"],
        "calibration": evidence["calibration"],
        "window": evidence["window"],
        "rows": evidence["rows"],
        "windows": {
            "drifted": episode.windows.drifted,
            "stable": episode.windows.stable,
            "undecided": episode.windows.undecided,
        },
        "columns": [{name: column[name] for name in _COLUMN} for column in columns],
        "columns_drifted": evidence["columns_drifted"],
    }


def _target(kind: str, targets: Sequence[str]) -> str | None:
    return targets[0] if kind == "retrain" else None
