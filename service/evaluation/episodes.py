"""The alert state of a version through a batch of decisions, and the record that keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from service.alerts.decision import Decision
from service.alerts.documents import Episode, changed, decode_episode, episode_row
from service.alerts.lifecycle import Step, step
from service.alerts.rules import Rules
from service.alerts.state import AlertState, decode_state, encode_state
from service.ports import AlertChange, CountsRead, EpisodeRow, EvaluationRow, Progress, Record, Store
from service.registry.models import LiveModel

__all__ = ["Ledger"]


class Ledger:
    """Takes decisions in their order, and writes what came of them.

    Parameters
    ----------
    store : Store
    model : LiveModel
    progress : Progress
        Of the version, as it was read.
    rules : Rules
    state : AlertState
    revision : int
        Of the alert state in the store, 0 for none.
    fence : int or None
        Of the role that the steps are taken in.
    """

    def __init__(
        self,
        store: Store,
        model: LiveModel,
        progress: Progress,
        *,
        rules: Rules,
        state: AlertState,
        revision: int,
        fence: int | None,
    ) -> None:
        self._store = store
        self._model = model
        self._progress = progress
        self._rules = rules
        self._before = state
        self.state = state
        self._revision = revision
        self._fence = fence
        self._steps: list[Step] = []

    @classmethod
    async def read(
        cls, store: Store, model: LiveModel, progress: Progress, rules: Rules, fence: int | None = None
    ) -> "Ledger":
        """The alert state of a version as it stands."""
        revision, document = await store.alert(model.model, progress.version) or (0, None)
        return cls(store, model, progress, rules=rules, state=decode_state(document), revision=revision, fence=fence)

    def began_us(self) -> int:
        """Start of the first base window that the version had rows in, as far as is known; remembered from now on."""
        kept_us = self._model.grid.base_start(self._progress.oldest_us)
        began_us = kept_us if self.state.began_us is None else min(self.state.began_us, kept_us)
        self.state = replace(self.state, began_us=began_us)
        return began_us

    def take(self, decision: Decision, now_us: int) -> None:
        """Take a decision."""
        self.add(step(self.state, decision, self._rules, now_us))

    def add(self, taken: Step) -> None:
        """Take a step of the lifecycle that is no decision, such as silence."""
        self.state = taken.state
        self._steps.append(taken)

    @property
    def tells(self) -> bool:
        """Whether somebody is to be told of something."""
        return any(taken.notices for taken in self._steps)

    async def record(
        self,
        *,
        evaluated_until_us: int | None,
        evaluations: Sequence[EvaluationRow] = (),
        relied_on: Sequence[CountsRead] = (),
        cleaned: Mapping[int, int] | None = None,
    ) -> bool:
        """Write all steps and what goes with them, unless something that they rest on has changed; whether it was."""
        alert = None
        if self.state != self._before:
            alert = AlertChange(
                version=self._progress.version, revision=self._revision, document=encode_state(self.state)
            )
        return await self._store.record(
            Record(
                model=self._model.model,
                version=self._progress.version,
                epoch=self._model.epoch,
                was_evaluated_until_us=self._progress.evaluated_until_us,
                evaluated_until_us=evaluated_until_us,
                relied_on=relied_on,
                cleaned=cleaned or {},
                evaluations=evaluations,
                alert=alert,
                episodes=await self._episodes(),
                notices=[notice for taken in self._steps for notice in taken.notices],
                decisions=[taken.decision for taken in self._steps if taken.decision is not None],
                fence=self._fence,
            )
        )

    async def _episodes(self) -> list[EpisodeRow]:
        """Episodes that the steps changed, as they are then."""
        found: dict[str, tuple[Episode | None, int, int]] = {}
        for change in (change for taken in self._steps for change in taken.changes):
            if change.id not in found:
                row = await self._store.episode(change.id)
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
