"""Evaluations, and what becomes of them: alert states, episodes, the decision log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.ports.counts import Series
from service.ports.outbox import OutboxNotice

__all__ = ["AlertChange", "CountsRead", "DecisionsStore", "EpisodeRow", "EvaluationRow", "Record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """One evaluation; its key is (model, version, segment, reference_id, size, start_us).

    Parameters
    ----------
    size : str
        Label of the window: `1h`, `6h`, `1000rows`.
    verdict : str
    revision : int
    document : bytes
        JSON of `driftline.evaluation/1`.
    """

    model: str
    version: str
    segment: str = ""
    reference_id: str
    size: str
    start_us: int
    end_us: int
    verdict: str
    rows: int
    revision: int
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsRead:
    """What a decision rests on: so many rows were in this span."""

    series: Series
    first_us: int
    last_us: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertChange:
    """New alert state of a (version, segment); `revision` is the one it replaces, 0 for none."""

    version: str
    segment: str = ""
    revision: int
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRow:
    """An alert episode as people see it; `revision` is the one it replaces, 0 for none (on reading: its own)."""

    id: str
    model: str
    version: str
    opened_at_us: int
    open: bool
    revision: int
    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A step of one model version: evaluations, the change of alert state and its notices, all or nothing.

    Parameters
    ----------
    model, version : str
    epoch : int
    was_evaluated_until_us, evaluated_until_us : int or None
        Where the version was, and where it is then.
    relied_on : sequence of CountsRead
        The record is refused if any of these spans has another number of rows by now.
    cleaned : mapping of int to int
        Dirty base windows that were evaluated again, as they were read from `Progress.dirty`.
    evaluations : sequence of EvaluationRow
        Each replaces the one with its key, if there is one.
    alert : AlertChange, optional
    episodes : sequence of EpisodeRow
    notices : sequence of OutboxNotice
    decisions : sequence of (int, bytes)
        Appended to the decision log: end of the window, document.
    fence : int, optional
        Of the role that the step is made in; the record is refused if that is held by it no longer. None asks for no role.
    """

    model: str
    version: str
    epoch: int
    was_evaluated_until_us: int | None
    evaluated_until_us: int | None
    relied_on: Sequence[CountsRead] = ()
    cleaned: Mapping[int, int] = field(default_factory=dict)
    evaluations: Sequence[EvaluationRow] = ()
    alert: AlertChange | None = None
    episodes: Sequence[EpisodeRow] = ()
    notices: Sequence[OutboxNotice] = ()
    decisions: Sequence[tuple[int, bytes]] = ()
    fence: int | None = None


class DecisionsStore(Protocol):
    """What was decided."""

    async def record(self, record: Record) -> bool:
        """Write a step, unless something that it relied on has changed or its role is lost; whether it was written."""
        ...

    async def evaluations(
        self, model: str, version: str, *, size: str | None, first_us: int | None, last_us: int | None, limit: int
    ) -> Sequence[EvaluationRow]:
        """Whose windows end in (first_us, last_us], latest end first; of those with one end, the one recorded last."""
        ...

    async def alert(self, model: str, version: str, segment: str = "") -> tuple[int, bytes] | None:
        """Revision and document of an alert state."""
        ...

    async def episodes(self, *, model: str | None, open_only: bool, limit: int) -> Sequence[EpisodeRow]:
        """Latest first."""
        ...

    async def episode(self, episode_id: str) -> EpisodeRow | None:
        """One of them."""
        ...

    async def put_episode(self, row: EpisodeRow, alert: AlertChange | None, notices: Sequence[OutboxNotice]) -> bool:
        """Change an episode by hand, with the alert state and notices that go with it; False if either has changed."""
        ...

    async def decisions(self, model: str, version: str, first_us: int, last_us: int) -> Sequence[tuple[int, bytes]]:
        """Of the decision log, those of windows that end in (first_us, last_us], in the order they were made."""
        ...
