"""Spans to evaluations: their panes are read from the store, and all that is heavy is done in a thread."""

import asyncio
from collections.abc import Mapping, Sequence

from service.domain import Evaluation
from service.evaluation.evaluators import Evaluators
from service.evaluation.outcome import Outcome, outcome_of
from service.evaluation.spans import Span, by_window, earliest_us
from service.ports import Pane, Store
from service.registry.models import LiveModel, LiveVersion

__all__ = ["Measuring", "windows_with_rows"]


async def windows_with_rows(store: Store, version: LiveVersion, first_us: int, last_us: int) -> Mapping[int, int]:
    """Rows of each base window of a span that has any, by its start; whichever reference they were counted with."""
    rows: dict[int, int] = {}
    for series in {version.series(since.reference.id) for since in version.since}:
        for start_us, n in await store.rows_by_window(series, first_us, last_us):
            rows[start_us] = rows.get(start_us, 0) + n
    return rows


class Measuring:
    """Evaluates the spans of closed base windows.

    Parameters
    ----------
    store : Store
    evaluators : Evaluators
    """

    def __init__(self, store: Store, evaluators: Evaluators) -> None:
        self._store = store
        self._evaluators = evaluators

    async def evaluate(
        self, model: LiveModel, version: LiveVersion, spans: Sequence[Span], *, now_us: int, first_us: int
    ) -> list[Evaluation]:
        """Evaluations of spans, in their order; `first_us` is where the version begins to have rows."""
        panes = await self._panes(model, version, spans)

        def evaluate_all() -> list[Evaluation]:
            # The spans of several scales overlap: what a base window has is added up once.
            whole = {reference: by_window(some) for reference, some in panes.items()}
            return [
                self._evaluators.evaluate(
                    model,
                    version.version,
                    span,
                    (panes if span.scale is None else whole)[span.since.reference.id],
                    now_us=now_us,
                    first_us=first_us,
                )
                for span in spans
            ]

        return await asyncio.to_thread(evaluate_all)

    async def outcomes(self, evaluations: Sequence[Evaluation]) -> list[Outcome]:
        """Documents and rows of evaluations."""
        return await asyncio.to_thread(lambda: [outcome_of(evaluation) for evaluation in evaluations])

    async def _panes(
        self, model: LiveModel, version: LiveVersion, spans: Sequence[Span]
    ) -> Mapping[str, Sequence[Pane]]:
        ends_us: dict[str, list[int]] = {}
        for span in spans:
            ends_us.setdefault(span.since.reference.id, []).append(span.end_us)
        return {
            reference: await self._store.panes(version.series(reference), earliest_us(model, min(ends)), max(ends))
            for reference, ends in ends_us.items()
        }
