"""What a store holds, as plain dictionaries. All of a model is in one place: deleting it is dropping that."""

from dataclasses import dataclass, field
from typing import Literal

from service.ports import Activation, Delivery, EvaluationRow, Mark, ReferenceRow

__all__ = ["EpisodeState", "ModelState", "OutboxState", "PaneState", "ProgressState", "RoleState", "State"]

EvaluationKey = tuple[str, str, str, str, int]
"""Version, segment, reference, size, start."""


@dataclass(slots=True, kw_only=True)
class PaneState:
    """What was added to a pane."""

    rows: int = 0
    late: int = 0
    payloads: list[bytes] = field(default_factory=list)
    folded: bool = False
    """Whether the first payload is the sum of what came before the last sweep."""


@dataclass(slots=True, kw_only=True)
class ProgressState:
    """How far a version has come; no newest event while only evaluations are known."""

    newest_us: int | None = None
    advanced_at_us: int = 0
    evaluated_until_us: int | None = None
    dirty: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class EpisodeState:
    """An episode, and where its version was in event time when it was written last."""

    id: str
    number: int
    version: str
    opened_at_us: int
    open: bool
    until_us: int
    revision: int
    document: bytes


@dataclass(slots=True, kw_only=True)
class RoleState:
    """Whose role it is to evaluate a model, and the last fence that was handed out."""

    owner: str = ""
    fence: int = 0
    until_us: int = 0


@dataclass(slots=True, kw_only=True)
class ModelState:
    """All of a model but its references, which belong to its name."""

    epoch: int
    owner: Literal["api", "file"]
    configuration: bytes
    activations: list[Activation] = field(default_factory=list)
    panes: dict[tuple[str, str, str], dict[tuple[int, int], PaneState]] = field(default_factory=dict)
    """By version, reference and segment; then by start and start of the window."""
    versions: dict[str, ProgressState] = field(default_factory=dict)
    marks: dict[str, tuple[Mark, int]] = field(default_factory=dict)
    """Each with when it was made, in that order."""
    turns: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Last number of each sender, with when that was, in that order."""
    evaluations: dict[EvaluationKey, EvaluationRow] = field(default_factory=dict)
    """In the order that they were recorded in."""
    alerts: dict[tuple[str, str], tuple[int, bytes]] = field(default_factory=dict)
    episodes: dict[str, EpisodeState] = field(default_factory=dict)
    decisions: list[tuple[str, int, bytes]] = field(default_factory=list)
    role: RoleState = field(default_factory=RoleState)

    def progress(self, version: str) -> ProgressState:
        """How far a version has come, which may be nowhere."""
        return self.versions.setdefault(version, ProgressState())


@dataclass(slots=True, kw_only=True)
class OutboxState:
    """A delivery, and who is at it until when."""

    number: int
    delivery: Delivery
    claimed_by: str | None = None
    claimed_until_us: int = 0


@dataclass(slots=True, kw_only=True)
class State:
    """All that a store holds; several stores on one state are what several processes on one file are."""

    last_epoch: int = 0
    last_number: int = 0
    models: dict[str, ModelState] = field(default_factory=dict)
    references: dict[tuple[str, str], tuple[ReferenceRow, bytes | None]] = field(default_factory=dict)
    outbox: dict[str, OutboxState] = field(default_factory=dict)
    targets_disabled: dict[str, str] = field(default_factory=dict)
    members: dict[str, int] = field(default_factory=dict)
    """Replicas, and until when each said that it is there."""

    def next_epoch(self, now_us: int) -> int:
        """A number that no epoch has had, not even one that was drawn after a backup from which this is restored."""
        self.last_epoch = max(self.last_epoch + 1, now_us)
        return self.last_epoch

    def next_number(self) -> int:
        """A number that no episode or delivery has had."""
        self.last_number += 1
        return self.last_number
