"""A policy on the past: base windows in, `driftline.backtest/1` out. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from service.alerts.notice import instant
from service.alerts.rules import rules_of
from service.backtest.alarms import Alarms, alarm_document
from service.backtest.comparison import DEFAULT_RULES, Comparison, ThumbAlarms
from service.backtest.history import History, Lived
from service.backtest.proposal import ASSUMED_TRIGGER
from service.domain.thumb import ThumbRule, parse_rule
from service.evaluation.evaluators import Evaluators
from service.evaluation.spans import sum_of
from service.ports import Pane
from service.registry.models import LiveModel
from service.windows.zones import US_PER_DAY

__all__ = ["BACKTEST_FORMAT", "Backtest"]

BACKTEST_FORMAT: Final = "driftline.backtest/1"
_COLUMNS_MAX: Final = 20


class Backtest:
    """Lives through the base windows of one reference, and counts what would have been raised.

    Parameters
    ----------
    model : LiveModel
        As `proposed` makes it.
    version : str
    rows_exposed_min : int
        Of fewer rows no share of a bin is shown.
    """

    def __init__(self, model: LiveModel, version: str, *, rows_exposed_min: int = 0) -> None:
        policy = model.configuration.policy
        self._model = model
        self._version = version
        self._live = model.versions[version].since[-1].reference
        self._evaluators = Evaluators(rows_exposed_min)
        rules = rules_of(model.configuration, {})
        self._history = History(model, version, rules, self._evaluators)
        self._alarms = Alarms(rules=rules)
        thumbs = tuple(dict.fromkeys(map(parse_rule, policy.rules))) or DEFAULT_RULES
        self._comparison = Comparison(self._live.reference, thumbs, rules, model.grid, rows_min=policy.rows_min)
        self._span_us: tuple[int, int] | None = None
        self._length_us = self._windows = self._rows = 0

    def know(self, pane: Pane) -> None:
        """Take a base window into account that larger ones may hold, without evaluating it."""
        self._history.know(pane)

    def take(self, pane: Pane) -> Lived | None:
        """Evaluate the next base window that has rows; None if no scale was due."""
        end_us = self._model.grid.base_end(pane.start_us)
        self._span_us = (pane.start_us if self._span_us is None else self._span_us[0]), end_us
        self._length_us += end_us - pane.start_us
        self._windows += 1
        self._rows += pane.rows
        self._comparison.take(pane.start_us, sum_of([pane], self._live.reference.layout.n_bins_total))
        lived = self._history.live(pane)
        if lived is not None:
            self._alarms.take(lived)
        return lived

    def document(self, **more: Any) -> dict[str, Any]:
        """What was found, as `driftline.backtest/1`; `more` says of the data what only its reader knows."""
        self._comparison.finish()
        configuration = self._model.configuration
        trust = self._evaluators.trust(self._model, self._live)
        alarms = [alarm_document(episode) for episode in self._alarms.episodes.values()]
        retrainings = [told for told in self._alarms.told if told.kind == "retrain"]
        notices = [told for told in self._alarms.told if told.kind != "retrain"]
        drifted = self._alarms.verdicts["drifted"]
        return {
            "format": BACKTEST_FORMAT,
            "model": self._model.model,
            "version": self._version,
            "reference_id": self._live.id,
            "since": None if self._span_us is None else instant(self._span_us[0]),
            "until": None if self._span_us is None else instant(self._span_us[1]),
            "base_window": configuration.base_window,
            "scales": list(configuration.scales),
            "windows": self._windows,
            "days": self._days,
            "rows": self._rows,
            **more,
            "calibration": trust.status,
            "season": trust.season,
            "advice": trust.advice,
            "replayed_false_alarms_per_30d": trust.replayed_per_30d,
            "policy": configuration.policy.model_dump(mode="json"),
            "triggers_assumed": configuration.triggers == (ASSUMED_TRIGGER,),
            "decisions": {verdict: self._alarms.verdicts[verdict] for verdict in ("stable", "drifted", "undecided")},
            "alarms": alarms,
            "notices": [_without(asdict(told), "target", "dry_run", "reason") for told in notices],
            "retrainings": [_without(asdict(told), "kind") for told in retrainings],
            "totals": {
                **self._total("alarms", len(alarms)),
                **self._total("notices", len(notices)),
                **self._total("retrainings", len(retrainings)),
                **self._total("drifted_windows", drifted),
            },
            "rules_of_thumb": [self._thumb(rule, found) for rule, found in self._comparison.found.items()],
        }

    @property
    def _days(self) -> float:
        return self._length_us / US_PER_DAY

    def _total(self, name: str, number: int, days: float | None = None) -> dict[str, Any]:
        days = self._days if days is None else days
        return {name: number, f"{name}_per_30d": number * 30 / days if days else None}

    def _thumb(self, rule: ThumbRule, found: ThumbAlarms) -> dict[str, Any]:
        past, days = self._comparison.on_the_reference(rule), self._comparison.reference_days()
        return {
            "rule": rule.text,
            "kind": "rule of thumb",
            **self._counted(found, self._days),
            "opened": found.opened,
            "columns": self._named(found.columns),
            "on_the_reference": None
            if past is None
            else {"days": days, "known_by": "counts of groups", **self._counted(past, days)},
        }

    def _counted(self, found: ThumbAlarms, days: float) -> dict[str, Any]:
        days = days if found.looked_at else 0.0  # of what it never looked at it cannot be said how often it fires
        return {
            "windows_looked_at": found.looked_at,
            **self._total("windows", found.windows, days),
            **self._total("alarms", len(found.opened), days),
        }

    def _named(self, columns: Counter[int]) -> dict[str, int]:
        names = [column.name for column in self._live.reference.columns]
        return {names[number]: times for number, times in columns.most_common(_COLUMNS_MAX)}


def _without(document: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
