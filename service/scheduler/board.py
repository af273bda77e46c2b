"""What `/metrics` says of the models that this replica evaluates: the latest evaluation of each window size.

Only who evaluates a model exports its series, so that a sum over replicas counts nothing twice. It reads the latest windows
when it takes the role; whatever is recorded from then on was recorded here, for the store refuses everybody else.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from service.alerts.state import AlertState, decode_state
from service.domain import Evaluation
from service.evaluation.document import evaluation_document
from service.evaluation.spans import base_label
from service.exporter import DriftSeries, SeriesKey, VersionFacts
from service.ports import EvaluationRow, Progress, Store
from service.references.learning import learned_rows
from service.registry.models import LiveModel, LiveVersion, Registry

__all__ = ["Board"]

_FACTS_EVERY: Final = 10  # rounds
_COUNT_EVERY: Final = 15
"""Rounds: to count the rows of a version an index entry a pane is read, a thousand of them."""

_EVER_US: Final = 1 << 62


class Board:
    """Keeps the drift series in step with the store.

    Parameters
    ----------
    store : Store
    registry : Registry
    drift : DriftSeries
    """

    def __init__(self, store: Store, registry: Registry, drift: DriftSeries) -> None:
        self._store = store
        self._registry = registry
        self._drift = drift
        self._ends: dict[SeriesKey, int] = {}
        self._shown: dict[str, int] = {}
        self._rounds = 0
        self._seen: dict[tuple[str, str], tuple[int, Progress | None]] = {}
        self._rows: dict[tuple[str, str], tuple[int, int]] = {}

    async def show(self, fences: Mapping[str, int]) -> Sequence[str]:
        """Show these models and no others, each from a fence on; those that were taken up just now."""
        self.keep(fences)
        taken_up = []
        for name, fence in fences.items():
            model = self._registry.get(name)
            if model is not None and name not in self._shown:
                await self._load(model)
                self._shown[name] = fence
                taken_up.append(name)
        return taken_up

    def keep(self, fences: Mapping[str, int]) -> None:
        """Drop what is shown of models that are not held by the fence of then any more."""
        for name in [name for name, fence in self._shown.items() if fences.get(name) != fence]:
            self.forget(name)

    def take(self, rows: Sequence[EvaluationRow]) -> None:
        """Show what was recorded just now."""
        for row in self._latest(rows):
            model = self._registry.get(row.model)
            if model is not None and row.model in self._shown:
                self._take(model, row)

    async def sync(self) -> None:
        """Drop what is gone, and show how far the versions have come."""
        for name in [name for name in self._shown if self._registry.get(name) is None]:
            self.forget(name)
        self._rounds += 1
        progress = {(item.model, item.version): item for item in await self._store.progress()} if self._shown else {}
        for model in [model for model in self._registry.models.values() if model.model in self._shown]:
            for version in model.versions.values():
                state = model.epoch, progress.get((model.model, version.version))
                key = model.model, version.version
                # What may change without any of that, such as an episode that is closed by hand, is seen a little later.
                if self._seen.get(key) != state or self._rounds % _FACTS_EVERY == 0:
                    facts = await self._facts(model, version, state[1])
                    if model.model in self._shown:  # still: a scrape may have dropped it meanwhile
                        self._seen[key] = state
                        self._drift.set_model(*key, facts)

    def forget(self, model: str) -> None:
        """A model is gone, or another replica's."""
        self._shown.pop(model, None)
        self._drift.remove_model(model)
        for key in [key for key in self._ends if key.model == model]:
            del self._ends[key]
        for version in [version for version in self._rows if version[0] == model]:
            del self._rows[version]
        for version in [version for version in self._seen if version[0] == model]:
            del self._seen[version]

    def look(self, model: LiveModel, looks: Sequence[Evaluation]) -> None:
        """Show looks at what is still open, once there is something to be seen: until then the last window stands."""
        if model.model not in self._shown:
            return
        for evaluation in looks:
            key = _key(evaluation.model, evaluation.version, evaluation.segment or "", evaluation.window.size)
            known = key in self._ends
            if evaluation.verdict == "undecided" and known and evaluation.columns:
                continue
            self._show(model, key, evaluation.window.end_us or 0, evaluation_document(evaluation))

    async def _load(self, model: LiveModel) -> None:
        # In the order in which the windows of one end are recorded.
        scales = [base_label(model, scale) for scale in (1, *model.configuration.scales)]
        sizes = dict.fromkeys([*scales, *(view.label for view in model.configuration.views)])
        for version in model.versions.values():
            rows: list[EvaluationRow] = []
            for size in sizes:
                rows += await self._store.evaluations(
                    model.model, version.version, size=size, first_us=None, last_us=None, limit=1
                )
            for row in sorted(rows, key=lambda row: row.end_us):
                self._take(model, row)

    def _latest(self, rows: Sequence[EvaluationRow]) -> Iterator[EvaluationRow]:
        """Those that are not overtaken by another one of them: of a replay, few. Without rows, they are all looked at."""
        last: dict[SeriesKey, int] = {}
        for number, row in enumerate(rows):
            key = _key(row.model, row.version, row.segment, row.size)
            if row.end_us >= rows[last.get(key, number)].end_us:
                last[key] = number
        for number, row in enumerate(rows):
            key = _key(row.model, row.version, row.segment, row.size)
            if row.rows == 0 or last[key] == number:
                yield row

    def _take(self, model: LiveModel, row: EvaluationRow) -> None:
        key = _key(row.model, row.version, row.segment, row.size)
        if row.end_us < self._ends.get(key, row.end_us):
            return
        document = msgspec.json.decode(row.document)
        if document["reason"] == "silent":
            # Nothing is known of longer windows either, until rows come again.
            for other in [other for other in self._ends if other[:3] == key[:3] and other != key]:
                self._drift.remove(other)
                del self._ends[other]
        self._show(model, key, row.end_us, document)

    def _show(self, model: LiveModel, key: SeriesKey, end_us: int, document: dict[str, Any]) -> None:
        self._ends[key] = end_us
        self._drift.update(key, document, model.configuration.metrics)

    async def _facts(self, model: LiveModel, version: LiveVersion, progress: Progress | None) -> VersionFacts:
        active = version.active
        learning = version.learning
        revision_and_state = None if learning else await self._store.alert(model.model, version.version)
        state = AlertState() if revision_and_state is None else decode_state(revision_and_state[1])
        is_watched = active is not None and state.reference_id == active.id and state.watch.since_us is not None
        return VersionFacts(
            newest_us=None if progress is None else progress.newest_us,
            evaluated_until_us=None if progress is None else progress.evaluated_until_us,
            rows=None if learning or progress is None else await self._stored_rows(version),
            learning_rows=await learned_rows(self._store, version) if learning else None,
            learning_rows_target=model.configuration.learning.rows if learning else None,
            firing=None if learning else state.phase == "firing",
            budget_exceeded=state.watch.exceeded_us is not None if is_watched else None,
            reference_id=None if active is None else active.id,
            activated_at_us=version.since[-1].at_us if version.since else None,
        )

    async def _stored_rows(self, version: LiveVersion) -> int:
        key = version.model, version.version
        counted, rows = self._rows.get(key, (-_COUNT_EVERY, 0))
        if self._rounds - counted >= _COUNT_EVERY:
            rows = 0
            for reference_id in {since.reference.id for since in version.since}:
                windows = await self._store.rows_by_window(version.series(reference_id), -_EVER_US, _EVER_US)
                rows += sum(of_window for _, of_window in windows)
            self._rows[key] = self._rounds, rows
        return rows


def _key(model: str, version: str, segment: str, window: str) -> SeriesKey:
    return SeriesKey(model=model, version=version, segment=segment, window=window)
