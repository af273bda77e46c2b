"""Looks at what is not closed yet: the open base window and the views as of now. They are marked, and never feed the alarm."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from service.domain import Evaluation
from service.evaluation.evaluators import Evaluators
from service.evaluation.spans import Span, base_label, view_spans
from service.ports import Progress, Store
from service.registry.models import LiveModel, LiveVersion, Since
from service.windows.zones import US_PER_S

__all__ = ["Looks", "evaluate_span"]

_FOREVER_US: Final = 1 << 62


class Looks:
    """The latest looks at each version.

    Parameters
    ----------
    store : Store
    evaluators : Evaluators
    """

    def __init__(self, store: Store, evaluators: Evaluators) -> None:
        self._store = store
        self._evaluators = evaluators
        self._kept: dict[tuple[str, str], tuple[object, Sequence[Evaluation]]] = {}

    def forget(self, model: str) -> None:
        """Forget a model that is gone."""
        for key in [key for key in self._kept if key[0] == model]:
            del self._kept[key]

    async def look(self, model: LiveModel, version: LiveVersion, progress: Progress) -> Sequence[Evaluation]:
        """Evaluate the open base window of a version and its views; what was seen before if no row has come since."""
        since = version.since[-1]
        start_us = model.grid.base_start(progress.newest_us)
        if progress.evaluated_until_us is not None and start_us < progress.evaluated_until_us:
            self._kept.pop((model.model, version.version), None)
            return ()
        rows = await self._store.rows_by_window(version.series(since.reference.id), start_us, _FOREVER_US)
        state = (model.epoch, start_us, tuple(rows))
        key = model.model, version.version
        if key not in self._kept or self._kept[key][0] != state:
            self._kept[key] = state, await self._look(model, version, since, start_us, progress)
        return self._kept[key][1]

    async def _look(
        self, model: LiveModel, version: LiveVersion, since: Since, start_us: int, progress: Progress
    ) -> Sequence[Evaluation]:
        now_us = await self._store.now_us()
        pane_us = model.grid.pane_s * US_PER_S
        upto_us = progress.newest_us - progress.newest_us % pane_us + pane_us
        spans = [
            Span(start_us=start_us, end_us=model.grid.base_end(start_us), size=base_label(model), scale=1, since=since),
            *view_spans(model, since, upto_us),
        ]
        first_us = model.grid.base_start(progress.oldest_us)
        panes = await self._store.panes(
            version.series(since.reference.id), min(span.start_us for span in spans), _FOREVER_US
        )
        evaluations = await asyncio.to_thread(
            lambda: [
                self._evaluators.evaluate(model, version.version, span, panes, now_us=now_us, first_us=first_us)
                for span in spans
            ]
        )
        return [replace(evaluation, provisional=True) for evaluation in evaluations]


async def evaluate_span(
    store: Store,
    evaluators: Evaluators,
    model: LiveModel,
    version: LiveVersion,
    *,
    start_us: int,
    end_us: int,
    size: str,
) -> Evaluation:
    """Evaluate any span now, by the reference that was active at its end; nothing is recorded."""
    since = version.at(end_us - 1)
    span = Span(start_us=start_us, end_us=end_us, size=size, scale=None, since=since)
    panes = await store.panes(version.series(since.reference.id), start_us, end_us)
    now_us = await store.now_us()
    return await asyncio.to_thread(
        lambda: replace(
            evaluators.evaluate(model, version.version, span, panes, now_us=now_us, first_us=start_us),
            provisional=True,
        )
    )
