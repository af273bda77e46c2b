"""The alert state of a version through a batch of decisions, and the record that keeps it."""

from collections.abc import Sequence

from service.alerts.decision import Decision
from service.alerts.documents import Episode, changed, decode_episode, episode_row
from service.alerts.lifecycle import Step, step
from service.alerts.rules import Rules
from service.alerts.state import AlertState, decode_state, encode_state
from service.ports import AlertChange, EpisodeRow, OutboxNotice, Store

__all__ = ["Ledger"]


class Ledger:
    """Takes decisions in their order, and gathers what is to be written.

    Parameters
    ----------
    version : str
    rules : Rules
    state : AlertState
    revision : int
        Of the alert state in the store, 0 for none.
    """

    def __init__(self, version: str, rules: Rules, state: AlertState, revision: int) -> None:
        self._version = version
        self._rules = rules
        self._before = state
        self.state = state
        self._revision = revision
        self._steps: list[Step] = []

    @classmethod
    async def read(cls, store: Store, model: str, version: str, rules: Rules) -> "Ledger":
        """The alert state of a version as it stands."""
        revision, document = await store.alert(model, version) or (0, None)
        return cls(version, rules, decode_state(document), revision)

    def take(self, decision: Decision, now_us: int) -> None:
        """Take a decision."""
        self.add(step(self.state, decision, self._rules, now_us))

    def add(self, taken: Step) -> None:
        """Take a step of the lifecycle that is no decision, such as silence."""
        self.state = taken.state
        self._steps.append(taken)

    @property
    def alert(self) -> AlertChange | None:
        """Change of the alert state; None if it is as it was."""
        if self.state == self._before:
            return None
        return AlertChange(version=self._version, revision=self._revision, document=encode_state(self.state))

    @property
    def notices(self) -> Sequence[OutboxNotice]:
        """Notices of all steps, in their order."""
        return [notice for taken in self._steps for notice in taken.notices]

    @property
    def decisions(self) -> Sequence[tuple[int, bytes]]:
        """Entries of the decision log."""
        return [taken.decision for taken in self._steps if taken.decision is not None]

    async def episodes(self, store: Store) -> list[EpisodeRow]:
        """Episodes that the steps changed, as they are then."""
        found: dict[str, tuple[Episode | None, int, int]] = {}
        for change in (change for taken in self._steps for change in taken.changes):
            if change.id not in found:
                row = await store.episode(change.id)
                found[change.id] = (
                    None if row is None else decode_episode(row.document),
                    0 if row is None else row.revision,
                    change.opened_at_us,
                )
            episode, revision, opened_at_us = found[change.id]
            found[change.id] = changed(episode, change), revision, opened_at_us
        return [
            episode_row(episode, opened_at_us, revision)
            for episode, revision, opened_at_us in found.values()
            if episode is not None
        ]
