"""The table of the demo: a line a week, as soon as the service has evaluated it for both models."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import httpx
from rich.console import Console
from rich.text import Text

from service.cli.tables import STYLES, VERDICTS

__all__ = ["THUMBS", "Weekly"]

_SIZE: Final = "7d"
_FIRST, _LAST = "2011-01-01T00:00:00Z", "2014-01-01T00:00:00Z"
_PREDICTION: Final = "prediction"
_FIXED_WIDTH: Final = 80
_STRONGEST_WIDTH_MIN: Final = 16
THUMBS: Final = ("psi > 0.2", "ks p < 0.05")
"""Rules of thumb that both models name in their policy, to be compared with."""

_REASONS: Final = {"too_few_rows": "too few rows"}


@dataclass(slots=True, kw_only=True)
class Weekly:
    """Weeks that were evaluated, side by side.

    Parameters
    ----------
    client : httpx.Client
    console : Console
    sound, broken : str
        The models.
    column : str
        That is broken in one of them.
    on_week : callable
        Called with the start of each week after its line.
    """

    client: httpx.Client
    console: Console
    sound: str
    broken: str
    column: str
    on_week: Callable[[str], None]
    closed: int = 0
    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    often: Counter[str] = field(default_factory=Counter)
    columns: tuple[str, ...] = ()
    thumbs: dict[str, Counter[str]] = field(default_factory=dict)
    _ends: dict[str, str] = field(default_factory=dict)
    _waiting: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def print_header(self) -> None:
        """Print the names of the columns."""
        names = self._cells("week of", "rows", self.sound, "drifted", _PREDICTION, "effect, strongest first")
        self.console.print(Text(names + f"{self.broken:<14}{self.column}", style="bold"), no_wrap=True, overflow="crop")

    def grow(self) -> None:
        """Ask the service for what it has evaluated since, and print the weeks that both models have."""
        for model in (self.sound, self.broken):
            for evaluation in self._fetched(model):
                start = evaluation["window"]["start"]
                self._waiting.setdefault(start, {})[model] = evaluation
                self._ends[model] = evaluation["window"]["end"]
        for start in sorted(self._waiting):
            if len(self._waiting[start]) == len((self.sound, self.broken)):
                self._print(self._waiting.pop(start))
                self.on_week(start)

    def print_totals(self) -> None:
        """Print how often what was found."""
        for model in (self.sound, self.broken):
            verdicts = self.verdicts[model]
            counted = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdicts[verdict])
            self.console.print(f"{model}: {verdicts.total()} weeks, {counted}")
        never = ", ".join(name for name in self.columns if not self.often[name])
        often = ", ".join(f"{name} {count}" for name, count in self.often.most_common())
        self.console.print(f"Drifted weeks of {self.sound} by column: {often or 'none'}. Never: {never or 'none'}.\n")
        self._print_rules_of_thumb()

    def _print_rules_of_thumb(self) -> None:
        self.console.print(Text("Weeks that would have been called drift", style="bold"))
        self.console.print(Text(f"{'rule':<44}{self.sound:<16}{self.broken}", style="bold"))
        rules = [(f"{rule} in any column, a rule of thumb", counts) for rule, counts in self.thumbs.items()]
        ours = Counter({model: self.verdicts[model]["drifted"] for model in (self.sound, self.broken)})
        for name, counts in [*rules, ("driftline, one false alarm in 30 days", ours)]:
            cells = [f"{counts[model]} of {self.verdicts[model].total()}" for model in (self.sound, self.broken)]
            self.console.print(f"{name:<44}{cells[0]:<16}{cells[1]}")

    def _fetched(self, model: str) -> list[dict[str, Any]]:
        params = {"window": _SIZE, "since": self._ends.get(model, _FIRST), "until": _LAST, "limit": "100"}
        answer = self.client.get(f"/v1/models/{model}/evaluations", params=params)
        answer.raise_for_status()
        return list(reversed(answer.json()["evaluations"]))

    def _print(self, evaluations: dict[str, dict[str, Any]]) -> None:
        self.closed += 1
        sound, broken = evaluations[self.sound], evaluations[self.broken]
        for model, evaluation in evaluations.items():
            self.verdicts.setdefault(model, Counter())[evaluation["verdict"]] += 1
            for said in evaluation["rules"]:
                self.thumbs.setdefault(said["rule"], Counter())[model] += bool(said["fires"])
        self.columns = tuple(sound["columns"])
        drifted = _drifted(sound)
        self.often.update(drifted)
        self.console.print(self._line(sound, broken, drifted), no_wrap=True, overflow="crop")

    def _line(self, sound: dict[str, Any], broken: dict[str, Any], drifted: list[str]) -> Text:
        columns = sound["columns"]
        prediction = columns[_PREDICTION]
        changes = [f"{name} {_effect(columns[name])}{_direction(columns[name])}" for name in drifted]
        week = self._cells(
            _monday(sound),
            f"{sound['rows']:,}",
            sound["verdict"],
            f"{len(drifted)}/{len(columns)}",
            f"{prediction['verdict']:<9} {_effect(prediction):>5}",
            _fitting(changes, self._room) if changes else _REASONS.get(sound["reason"], sound["reason"] or ""),
        )
        line = Text(week)
        line.append(f"{broken['verdict']:<14}", STYLES[broken["verdict"]])
        line.append(_effect(broken["columns"][self.column]))
        line.highlight_regex(r"\bstable\b", STYLES["stable"])
        line.highlight_regex(r"\bdrifted\b", STYLES["drifted"])
        line.highlight_regex(r"\bundecided\b", STYLES["undecided"])
        return line

    @property
    def _room(self) -> int:
        """For what is strongest: what the other columns leave of the terminal's width."""
        room = self.console.width - _FIXED_WIDTH
        return room if room >= _STRONGEST_WIDTH_MIN else 0

    def _cells(self, *cells: str) -> str:
        week, rows, verdict, drifted, prediction, strongest = cells
        text = f"{week:<10}  {rows:>4}  {verdict:<9}  {drifted:>7}  {prediction:<15}  "
        return text + f"{strongest[: self._room]:<{self._room}}  " if self._room else text


def _drifted(evaluation: dict[str, Any]) -> list[str]:
    columns = evaluation["columns"]
    names = [name for name, column in columns.items() if column["verdict"] == "drifted"]
    return sorted(names, key=lambda name: -(columns[name]["effect"] or 0.0))


def _fitting(changes: Sequence[str], room: int) -> str:
    """As many as there is room for, and how many more there are."""
    text = ""
    for number, change in enumerate(changes):
        more = f" and {len(changes) - number - 1} more" if number < len(changes) - 1 else ""
        longer = f"{text}, {change}" if text else change
        if len(longer + more) > room:
            return f"{text} and {len(changes) - number} more" if text else f"{len(changes)} columns"
        text = longer
    return text


def _effect(column: dict[str, Any]) -> str:
    return "" if column["effect"] is None or column["verdict"] == "undecided" else f"{column['effect']:.2f}"


def _direction(column: dict[str, Any]) -> str:
    return f" {column['direction']}" if column["direction"] else ""


def _monday(evaluation: dict[str, Any]) -> str:
    # Local midnight of Washington is 4 or 5 o'clock of the same day in UTC.
    return f"{datetime.fromisoformat(evaluation['window']['start']):%Y-%m-%d}"
