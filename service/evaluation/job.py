"""The evaluation job: base windows that became due are evaluated once each, in order, and recorded.

Whatever was read is said in the record; if a row came meanwhile, or another process was first, the record is refused and the
step is made again from what is there then. So a window is evaluated once, however many processes try. A step that was begun in
a role that is lost by its end is refused too, by its fence: what it found may be long past, such as a silence. While records
are refused they are made smaller: rows that keep coming late cannot hold up evaluation for long.

Silence is recorded, but it is no decision: how often one looked while nothing came must not change what was decided.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final, Literal, Protocol, TypeAlias

from service.alerts.decision import Subject
from service.alerts.lifecycle import reference_changed
from service.alerts.rules import Rules
from service.evaluation.closing import Closed, Silent, Step, steps
from service.evaluation.correcting import Correcting
from service.evaluation.episodes import Ledger
from service.evaluation.evaluators import Evaluators
from service.evaluation.measuring import Measuring, windows_with_rows
from service.evaluation.outcome import Outcome, decision_of, outcome_of, rows_read
from service.evaluation.silences import Silences
from service.evaluation.spans import spans_at
from service.ports import CountsRead, EvaluationRow, Progress, Store
from service.registry.models import LiveModel, LiveVersion, Registry
from service.windows.watermark import watermark_us

__all__ = ["Advance", "EvaluationJob", "Observer"]

_WINDOWS_MAX: Final = 24
"""Base windows of one record: so many are lost when it is refused."""

_EARLIEST_US: Final = -(1 << 62)


Advance: TypeAlias = Literal["idle", "done", "more"]
"""What was due: nothing, something, or more than was done."""


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
    on_recorded : callable
        Called with the evaluations of each record.
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
        on_recorded: Callable[[Sequence[EvaluationRow]], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._measuring = Measuring(store, evaluators)
        self._silences = Silences(store)
        self._correcting = Correcting(store, self._measuring, self._silences)
        self._rules = rules
        self._observer = observer
        self._on_notices = on_notices
        self._on_recorded = on_recorded
        # Windows that the next record of a version may have, where that is not as many as usual.
        self._fewer: dict[tuple[str, str], int] = {}

    async def advance(
        self, model: LiveModel, known: Sequence[Progress] | None = None, *, fence: int | None = None
    ) -> Advance:
        """Do what is due for one model, a batch a version; whether that was anything, and whether there is more.

        Nothing is read for a version of which nothing is due, if the progress of the model is given. With the fence of a role
        nothing is recorded unless the role is held by it until then; it must be older than what is known.
        """
        more = worked = False
        for progress in await self._store.progress(model.model) if known is None else known:
            version = model.version(progress.version)
            if version is None or version.learning:
                continue
            now_us = await self._store.now_us()
            open_us = model.grid.closed_until(watermark_us(progress, now_us, model.lateness))
            until = progress.evaluated_until_us
            if until is None or until < open_us:
                more |= await self._close(model, version, progress, open_us, now_us=now_us, fence=fence)
            elif progress.dirty:
                more |= await self._correct(model, version, progress, now_us=now_us, fence=fence)
            else:
                continue
            worked = True
        return "more" if more else "done" if worked else "idle"

    async def _close(
        self,
        model: LiveModel,
        version: LiveVersion,
        progress: Progress,
        open_us: int,
        *,
        now_us: int,
        fence: int | None,
    ) -> bool:
        windows = self._windows(progress)
        batch, whole = await self._due(model, version, progress, open_us, windows)
        if not batch:
            return False
        started = time.perf_counter()
        ledger = await Ledger.read(self._store, model, progress, self._rules(model), fence)
        outcomes = await self._outcomes(model, version, batch, now_us=now_us, first_us=ledger.began_us())
        recorded: list[Outcome] = []
        relied_on: list[CountsRead] = []
        for step in batch:
            match step:
                case Closed():
                    some = outcomes[step.end_us]
                    relied_on += [rows_read(outcome.evaluation) for outcome in some]
                    decision = decision_of(some, step.start_us, step.end_us)
                    if decision is not None:
                        ledger.take(decision, now_us)
                case Silent():  # pragma: no branch - nothing else is left
                    some = [outcome_of(await self._silences.recorded(model, version, step, now_us))]
                    relied_on += _nothing_in(version, step)
                    subject = Subject(model=model.model, version=version.version)
                    active = version.at(step.end_us - 1).reference.id
                    ledger.add(reference_changed(ledger.state, subject, active, self._rules(model), now_us))
            recorded += some
        written = await ledger.record(
            evaluated_until_us=batch[-1].end_us,
            evaluations=[outcome.row for outcome in recorded],
            relied_on=relied_on,
        )
        self._end(progress, ledger, recorded, written=written, seconds=time.perf_counter() - started)
        return not (written and whole) or bool(progress.dirty)

    async def _correct(
        self, model: LiveModel, version: LiveVersion, progress: Progress, *, now_us: int, fence: int | None
    ) -> bool:
        started = time.perf_counter()
        ledger = await Ledger.read(self._store, model, progress, self._rules(model), fence)
        windows = self._windows(progress)
        dirty = dict(islice(sorted(progress.dirty.items()), windows))
        made = await self._correcting.correct(model, version, progress, dirty, ledger=ledger, now_us=now_us)
        written = await ledger.record(
            evaluated_until_us=progress.evaluated_until_us,
            evaluations=[outcome.row for outcome in made.outcomes],
            relied_on=made.relied_on,
            cleaned=dirty,
        )
        self._end(progress, ledger, made.outcomes, written=written, seconds=time.perf_counter() - started)
        return not written or len(progress.dirty) > len(dirty)

    async def _due(
        self, model: LiveModel, version: LiveVersion, progress: Progress, open_us: int, windows: int
    ) -> tuple[Sequence[Step], bool]:
        """What is to be done next, and whether that is all there is."""
        until_us = progress.evaluated_until_us
        # Not all that is due: of a year that came at once, each batch would look at what is left of it.
        ahead_us = open_us if until_us is None else min(open_us, model.grid.back(until_us, -2 * windows))
        first_us = _EARLIEST_US if until_us is None else until_us
        rows = await windows_with_rows(self._store, version, first_us, ahead_us)
        if not rows and ahead_us < open_us:
            ahead_us = open_us
            rows = await windows_with_rows(self._store, version, first_us, ahead_us)
        batch = list(islice(steps(model.grid, rows, until_us, ahead_us), windows + 1))
        return batch[:windows], len(batch) <= windows and ahead_us == open_us

    async def _outcomes(
        self, model: LiveModel, version: LiveVersion, batch: Sequence[Step], *, now_us: int, first_us: int
    ) -> Mapping[int, Sequence[Outcome]]:
        """What each closed window gives, by its end."""
        ends = [step.end_us for step in batch if isinstance(step, Closed)]
        spans = [span for end in ends for span in spans_at(model, version, end)]
        evaluations = await self._measuring.evaluate(model, version, spans, now_us=now_us, first_us=first_us)
        outcomes: dict[int, list[Outcome]] = {end: [] for end in ends}
        for outcome in await self._measuring.outcomes(evaluations):
            outcomes[outcome.row.end_us].append(outcome)
        return outcomes

    def _windows(self, progress: Progress) -> int:
        return self._fewer.get((progress.model, progress.version), _WINDOWS_MAX)

    def _end(
        self, progress: Progress, ledger: Ledger, outcomes: Sequence[Outcome], *, written: bool, seconds: float
    ) -> None:
        key = progress.model, progress.version
        windows = self._fewer.pop(key, _WINDOWS_MAX)
        windows = windows * 2 if written else max(1, windows // 4)
        if windows < _WINDOWS_MAX:
            self._fewer[key] = windows
        if written:
            for outcome in outcomes:
                self._observer.evaluated(progress.model, outcome.row.verdict, seconds / len(outcomes))
            self._on_recorded([outcome.row for outcome in outcomes])
            if ledger.tells:
                self._on_notices()


def _nothing_in(version: LiveVersion, step: Silent) -> list[CountsRead]:
    return [
        CountsRead(series=version.series(since.reference.id), first_us=step.start_us, last_us=step.end_us, rows=0)
        for since in version.since
    ]
