"""Evaluators by reference and policy, and the evaluation of a span."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final, TypeAlias

import numpy as np

from detectors.arrays import Counts
from detectors.reference import Reference
from service.calibration.calibrated import Trust, calibrated
from service.calibration.settings import CalibrationSettings, settings_of
from service.domain import ColumnEvaluation, Evaluation, Reason, Window
from service.domain.configuration import PolicyConfiguration
from service.domain.thumb import parse_rule
from service.evaluation.evaluate import Evaluator
from service.evaluation.judging import Parts, parts_of
from service.evaluation.policy import Policy
from service.evaluation.spans import Span, newest_panes, sum_of, within
from service.ports import Pane
from service.registry.models import LiveModel, LiveReference
from service.windows.times import format_instant

__all__ = ["Evaluators", "silence"]

_KEPT_MAX: Final = 256

_Key: TypeAlias = tuple[str, Policy, CalibrationSettings, int]


class Evaluators:
    """Makes evaluators when they are first needed, and keeps the last ones used.

    Parameters
    ----------
    rows_exposed_min : int
        Of fewer rows no share of a bin is shown.
    """

    def __init__(self, rows_exposed_min: int = 0) -> None:
        self._rows_exposed_min = rows_exposed_min
        self._kept: OrderedDict[_Key, Evaluator] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[_Key, threading.Lock] = {}

    def evaluate(
        self, model: LiveModel, version: str, span: Span, panes: Sequence[Pane], *, now_us: int, first_us: int
    ) -> Evaluation:
        """Evaluate a span.

        Parameters
        ----------
        model : LiveModel
        version : str
        span : Span
        panes : sequence of Pane
            Of the span's reference; those outside the span are left out.
        now_us : int
        first_us : int
            Start of the first base window that the version had rows in.
        """
        some = within(panes, span.start_us, span.end_us)
        start_us = span.start_us
        if span.rows_min is not None and sum(pane.rows for pane in some) >= span.rows_min:
            some = newest_panes(some, span.rows_min)
            start_us = some[0].start_us
        live = span.since.reference
        evaluator = self._evaluator(live, model)
        counts, parts = _counted(some, live.reference, span.scale)
        evaluation = evaluator.evaluate(
            counts,
            sum(pane.rows for pane in some),
            Window(start_us=start_us, end_us=span.end_us, size=span.size),
            format_instant(now_us),
            parts=parts,
        )
        evaluation = replace(
            evaluation,
            model=model.model,
            version=version,
            late_rows=sum(pane.late for pane in some),
            scale=span.scale,
            columns={name: self._shown(column) for name, column in evaluation.columns.items()},
        )
        return _undecided(evaluation, "refilling") if span.refilling(first_us) else evaluation

    def _shown(self, column: ColumnEvaluation) -> ColumnEvaluation:
        # The shares of very few rows say what was in them.
        return column if column.rows >= self._rows_exposed_min or not column.moved else replace(column, moved=())

    def trust(self, model: LiveModel, live: LiveReference) -> Trust:
        """How far the rate of false alarms against a reference is to be trusted. Not for the event loop: may take long."""
        return self._evaluator(live, model).trust

    def known_trust(self, model: LiveModel, live: LiveReference) -> Trust | None:
        """The same if that is known already; None if it would have to be worked out."""
        evaluator = self._kept.get(self.key(model, live))
        return None if evaluator is None else evaluator.trust

    def key(self, model: LiveModel, live: LiveReference) -> _Key:
        """What an evaluator depends on."""
        configuration = model.configuration
        return live.id, _policy(configuration.policy), settings_of(configuration), model.grid.base_s

    def _evaluator(self, live: LiveReference, model: LiveModel) -> Evaluator:
        key = self.key(model, live)
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        # A replay may take a minute: who wants the same waits for it, and does not begin another one.
        with making:
            evaluator = self._kept.get(key) or _made(key, live, model)
            with self._lock:
                self._making.pop(key, None)
                self._kept[key] = evaluator
                self._kept.move_to_end(key)
                if len(self._kept) > _KEPT_MAX:
                    self._kept.popitem(last=False)
        return evaluator


def silence(
    model: LiveModel, version: str, reference_id: str, start_us: int, end_us: int, *, size: str, now_us: int
) -> Evaluation:
    """The record of a stretch without rows: nothing is known of it, and that is not stability."""
    return Evaluation(
        model=model.model,
        version=version,
        segment=None,
        reference_id=reference_id,
        window=Window(start_us=start_us, end_us=end_us, size=size),
        evaluated_at=format_instant(now_us),
        revision=1,
        provisional=False,
        rows=0,
        late_rows=0,
        verdict="undecided",
        reason="silent",
        calibration="iid",
        calibration_advice=None,
        false_alarms_per_30d=None,
        budget_per_30d=None,
        scale=1,
        tier=None,
        season=None,
        replayed_false_alarms_per_30d=None,
        columns={},
    )


def _made(key: _Key, live: LiveReference, model: LiveModel) -> Evaluator:
    _, policy, settings, base_s = key
    return Evaluator(live.reference, policy, calibrated(live.reference, settings, model.grid.time_zone, base_s))


def _undecided(evaluation: Evaluation, reason: Reason) -> Evaluation:
    # What is not decided has no rate: nothing of a budget is spent on it, and it keeps no episode open.
    return replace(evaluation, verdict="undecided", reason=reason, false_alarms_per_30d=None, tier=None)


def _policy(configuration: PolicyConfiguration) -> Policy:
    return Policy(
        false_discovery_rate=configuration.false_discovery_rate,
        effect_threshold=configuration.effect_threshold,
        rows_min=configuration.rows_min,
        budget_per_30d=configuration.false_alarms_per_30d,
        rules=tuple(dict.fromkeys(map(parse_rule, configuration.rules))),
    )


def _counted(panes: Sequence[Pane], reference: Reference, scale: int | None) -> tuple[Counts, Parts]:
    """Counts of a window, all together and by base window."""
    n_bins = reference.layout.n_bins_total
    by_window = [(start_us, sum_of(some, n_bins)) for start_us, some in _windows(panes)]
    whole = np.zeros(n_bins, dtype=np.int64)
    for _, counts in by_window:
        whole += counts
    return Counts(whole), parts_of(reference, by_window, scale)


def _windows(panes: Sequence[Pane]) -> Iterator[tuple[int, Iterator[Pane]]]:
    return groupby(panes, key=lambda pane: pane.window_start_us)
