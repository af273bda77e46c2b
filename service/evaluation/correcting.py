"""Base windows that rows came late into are evaluated again, on every scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.domain import Evaluation
from service.evaluation.corrections import Correction, corrected
from service.evaluation.episodes import Ledger
from service.evaluation.measuring import Measuring, windows_with_rows
from service.evaluation.outcome import Outcome, decision_of, rows_read
from service.evaluation.silences import Silences
from service.evaluation.spans import corrected_spans
from service.ports import CountsRead, Progress, Store
from service.registry.models import LiveModel, LiveVersion
from service.windows.zones import US_PER_S

__all__ = ["Corrected", "Correcting"]

_SAME_END_MAX = 8  # records of one size that end together: one a reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What is to be written, and what it rests on."""

    outcomes: Sequence[Outcome]
    relied_on: Sequence[CountsRead]


class Correcting:
    """Makes corrections.

    Parameters
    ----------
    store : Store
    measuring : Measuring
    silences : Silences
    """

    def __init__(self, store: Store, measuring: Measuring, silences: Silences) -> None:
        self._store = store
        self._measuring = measuring
        self._silences = silences

    async def correct(
        self,
        model: LiveModel,
        version: LiveVersion,
        progress: Progress,
        dirty: Mapping[int, int],
        *,
        ledger: Ledger,
        now_us: int,
    ) -> Corrected:
        """Evaluate what dirty base windows have changed; the ledger takes those that drifted and had not before."""
        until_us = progress.evaluated_until_us or 0
        starts_us = sorted(dirty)
        kept_us = progress.newest_us - model.retention_us
        before_us = ledger.state.began_us
        first_us = ledger.began_us()
        # A row from before the first makes spans full that were not.
        full_before_us = before_us if before_us is not None and first_us < before_us else None
        furthest_us = model.grid.back(max(starts_us[-1], full_before_us or 0), -max(model.configuration.scales))
        spans = corrected_spans(
            model,
            version,
            sorted(await windows_with_rows(self._store, version, starts_us[0], min(furthest_us, until_us))),
            starts_us,
            kept_us=kept_us,
            full_before_us=full_before_us,
        )
        evaluations = await self._measuring.evaluate(model, version, list(spans), now_us=now_us, first_us=first_us)
        corrections = [await self._revised(evaluation) for evaluation in evaluations]
        outcomes = await self._measuring.outcomes([correction.evaluation for correction in corrections])
        newly: dict[int, list[Outcome]] = {}
        for correction, outcome in zip(corrections, outcomes, strict=True):
            if correction.newly_drifted:
                newly.setdefault(outcome.row.end_us, []).append(outcome)
        for end_us, some in newly.items():
            decision = decision_of(some, model.grid.back(end_us, 1), end_us, correction=True)
            if decision is not None:
                ledger.take(decision, now_us)
        # What has left the retention since its row came is not evaluated any more.
        done_us = [start_us for start_us in starts_us if start_us + model.grid.base_s * US_PER_S > kept_us]
        later_us = progress.dirty.keys() - done_us
        silent = await self._silences.torn(model, version, done_us, later_us=later_us, until_us=until_us, now_us=now_us)
        return Corrected(
            outcomes=[*outcomes, *await self._measuring.outcomes(silent)],
            relied_on=[rows_read(evaluation) for evaluation in evaluations],
        )

    async def _revised(self, evaluation: Evaluation) -> Correction:
        end_us = evaluation.window.end_us or 0
        before = await self._store.evaluations(
            evaluation.model,
            evaluation.version,
            size=evaluation.window.size,
            first_us=end_us - 1,
            last_us=end_us,
            limit=_SAME_END_MAX,
        )
        return corrected(evaluation, before)
