"""The evaluation job: base windows that became due are evaluated once each, in order, and recorded.

Whatever was read is said in the record; if a row came meanwhile, or another process was first, the record is refused and the
step is made again from what is there then. So a window is evaluated once, however many processes try.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, Protocol

from service.alerts.rules import Rules
from service.domain import Evaluation
from service.evaluation.closing import Closed, Silent, Step, steps
from service.evaluation.corrections import Correction, corrected, torn_silence
from service.evaluation.episodes import Ledger
from service.evaluation.evaluators import Evaluators, silence
from service.evaluation.outcome import decision_of, row_of, rows_read
from service.evaluation.spans import Span, base_label, corrected_spans, earliest_us, spans_at
from service.ports import CountsRead, EvaluationRow, Pane, Progress, Record, Series, Store
from service.registry.models import LiveModel, LiveVersion, Registry
from service.windows.watermark import watermark_us

__all__ = ["EvaluationJob", "Observer"]

_STEPS_MAX: Final = 24
"""Base windows of one record: so many are lost when it is refused."""

_EARLIEST_US: Final = -(1 << 62)
_DIRTY_MAX: Final = 32


class Observer(Protocol):
    """Who is told of evaluations, for the metrics."""

    def evaluated(self, model: str, verdict: str, seconds: float) -> None:
        """A window was evaluated for good."""


class EvaluationJob:
    """Closes base windows and corrects those that late rows have touched.

    Parameters
    ----------
    store : Store
    registry : Registry
    evaluators : Evaluators
    rules : callable
        Alert rules of a model.
    observer : Observer
    on_notices : callable
        Called when a record has put notices into the outbox.
    """

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        evaluators: Evaluators,
        rules: Callable[[LiveModel], Rules],
        observer: Observer,
        on_notices: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._evaluators = evaluators
        self._rules = rules
        self._observer = observer
        self._on_notices = on_notices

    async def advance(self, model: LiveModel) -> bool:
        """Do what is due for one model, a batch a version; whether there is more to do at once."""
        more = False
        for progress in await self._store.progress(model.model):
            version = model.version(progress.version)
            if version is None or version.learning:
                continue
            now_us = await self._store.now_us()
            open_us = model.grid.closed_until(watermark_us(progress, now_us, model.lateness))
            until = progress.evaluated_until_us
            if until is None or until < open_us:
                more |= await self._close(model, version, progress, open_us, now_us)
            elif progress.dirty:
                more |= await self._correct(model, version, progress, now_us)
        return more

    async def _close(
        self, model: LiveModel, version: LiveVersion, progress: Progress, open_us: int, now_us: int
    ) -> bool:
        until = progress.evaluated_until_us
        rows: dict[int, int] = {}
        for since in version.since:
            series = version.series(since.reference.id)
            found = await self._store.rows_by_window(series, _EARLIEST_US if until is None else until, open_us)
            for start, n in found:
                rows[start] = rows.get(start, 0) + n
        batch = list(islice(steps(model.grid, rows, until, open_us), _STEPS_MAX + 1))
        if not batch:
            return False
        await self._record(model, version, progress, batch[:_STEPS_MAX], now_us)
        return len(batch) > _STEPS_MAX or bool(progress.dirty)

    async def _record(
        self, model: LiveModel, version: LiveVersion, progress: Progress, batch: Sequence[Step], now_us: int
    ) -> None:
        started = time.perf_counter()
        first_us = model.grid.base_start(progress.oldest_us)
        spans = {step.end_us: list(spans_at(model, version, step.end_us)) for step in batch if isinstance(step, Closed)}
        panes = await self._panes(model, version, [span for some in spans.values() for span in some])
        evaluations = await asyncio.to_thread(
            self._evaluate_all, model, version.version, spans, panes, now_us=now_us, first_us=first_us
        )
        ledger = await Ledger.read(self._store, model.model, version.version, self._rules(model))
        rows: list[EvaluationRow] = []
        relied_on: list[CountsRead] = []
        for step in batch:
            match step:
                case Closed():
                    made = evaluations[step.end_us]
                case Silent():
                    made = [await self._silence(model, version, step, progress, now_us)]
                    relied_on += _nothing_in(version, step)
            ledger.take(decision_of(made, step.start_us, step.end_us), now_us)
            rows += map(row_of, made)
            relied_on += [rows_read(one) for one in made if one.reason != "silent"]
        record = Record(
            model=model.model,
            version=version.version,
            epoch=model.epoch,
            was_evaluated_until_us=progress.evaluated_until_us,
            evaluated_until_us=batch[-1].end_us,
            relied_on=relied_on,
            evaluations=rows,
            alert=ledger.alert,
            episodes=await ledger.episodes(self._store),
            notices=ledger.notices,
            decisions=ledger.decisions,
        )
        if await self._store.record(record):
            seconds = (time.perf_counter() - started) / len(rows)
            for row in rows:
                self._observer.evaluated(model.model, row.verdict, seconds)
            if record.notices:
                self._on_notices()
        else:
            await self._registry.refresh(model.model)

    def _evaluate_all(
        self,
        model: LiveModel,
        version: str,
        spans: dict[int, list[Span]],
        panes: dict[str, Sequence[Pane]],
        *,
        now_us: int,
        first_us: int,
    ) -> dict[int, list[Evaluation]]:
        return {
            end_us: [
                self._evaluators.evaluate(
                    model, version, span, panes[span.since.reference.id], now_us=now_us, first_us=first_us
                )
                for span in some
            ]
            for end_us, some in spans.items()
        }

    async def _panes(self, model: LiveModel, version: LiveVersion, spans: Sequence[Span]) -> dict[str, Sequence[Pane]]:
        by_reference: dict[str, list[int]] = {}
        for span in spans:
            by_reference.setdefault(span.since.reference.id, []).append(span.end_us)
        return {
            reference: await self._store.panes(
                version.series(reference), min(earliest_us(model, end) for end in (min(ends),)), max(ends)
            )
            for reference, ends in by_reference.items()
        }

    async def _silence(
        self, model: LiveModel, version: LiveVersion, step: Silent, progress: Progress, now_us: int
    ) -> Evaluation:
        """One record for a stretch: the one before is taken further if it ended where this one begins."""
        size = base_label(model)
        start_us = step.start_us
        if step.start_us == progress.evaluated_until_us:
            before = await self._store.evaluations(
                model.model, version.version, size=size, first_us=None, last_us=step.start_us, limit=1
            )
            if before and before[0].rows == 0 and before[0].end_us == step.start_us:
                start_us = before[0].start_us
        reference = version.at(step.end_us - 1).reference
        return silence(model, version.version, reference.id, start_us, step.end_us, size=size, now_us=now_us)

    async def _correct(self, model: LiveModel, version: LiveVersion, progress: Progress, now_us: int) -> bool:
        """Evaluate again what late rows have touched."""
        until = progress.evaluated_until_us or 0
        dirty = dict(islice(sorted(progress.dirty.items()), _DIRTY_MAX))
        spans = {
            (span.size, span.end_us): span for start in dirty for span in corrected_spans(model, version, start, until)
        }
        panes = await self._panes(model, version, list(spans.values()))
        first_us = model.grid.base_start(progress.oldest_us)
        wanted = {span.end_us: [one for one in spans.values() if one.end_us == span.end_us] for span in spans.values()}
        evaluations = await asyncio.to_thread(
            self._evaluate_all, model, version.version, wanted, panes, now_us=now_us, first_us=first_us
        )
        ledger = await Ledger.read(self._store, model.model, version.version, self._rules(model))
        rows: list[EvaluationRow] = []
        for end_us in sorted(evaluations):
            corrections = [await self._corrected(evaluation) for evaluation in evaluations[end_us]]
            rows += [row_of(correction.evaluation) for correction in corrections]
            newly = [correction.evaluation for correction in corrections if correction.newly_drifted]
            if newly:
                start_us = model.grid.back(end_us, 1)
                ledger.take(decision_of(newly, start_us, end_us, correction=True), now_us)
        for start in dirty:
            rows += await self._torn(model, version, start, now_us)
        record = Record(
            model=model.model,
            version=version.version,
            epoch=model.epoch,
            was_evaluated_until_us=progress.evaluated_until_us,
            evaluated_until_us=progress.evaluated_until_us,
            relied_on=[rows_read(evaluation) for some in evaluations.values() for evaluation in some],
            cleaned=dirty,
            evaluations=rows,
            alert=ledger.alert,
            episodes=await ledger.episodes(self._store),
            notices=ledger.notices,
            decisions=ledger.decisions,
        )
        if await self._store.record(record):
            for row in rows:
                self._observer.evaluated(model.model, row.verdict, 0.0)
            if record.notices:
                self._on_notices()
        return len(progress.dirty) > len(dirty)

    async def _corrected(self, evaluation: Evaluation) -> Correction:
        end_us = evaluation.window.end_us or 0
        before = await self._store.evaluations(
            evaluation.model,
            evaluation.version,
            size=evaluation.window.size,
            first_us=end_us - 1,
            last_us=end_us,
            limit=8,
        )
        return corrected(evaluation, before)

    async def _torn(self, model: LiveModel, version: LiveVersion, start_us: int, now_us: int) -> list[EvaluationRow]:
        """What is left of a record of silence in which a row came late."""
        size = base_label(model)
        after = await self._store.evaluations(
            model.model, version.version, size=size, first_us=start_us, last_us=None, limit=10_000
        )
        end_us = model.grid.base_end(start_us)
        return [
            row_of(
                replace(
                    silence(model, version.version, row.reference_id, first, last, size=size, now_us=now_us),
                    revision=row.revision + 1,
                )
            )
            for row, first, last in torn_silence(after, start_us, end_us)
        ]


def _nothing_in(version: LiveVersion, step: Silent) -> list[CountsRead]:
    return [
        CountsRead(
            series=Series(model=version.model, version=version.version, reference_id=since.reference.id),
            first_us=step.start_us,
            last_us=step.end_us,
            rows=0,
        )
        for since in version.since
    ]
