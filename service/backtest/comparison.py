"""Rules of thumb on the same windows, and on the reference's own, where nothing is wrong. Pure.

Their alarms are made as ours are: opened by as many windows in a row, closed by as many, no other one for as long. Without
that, each window that fires is a message, and their number is given too.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.arrays import Counts, FloatArray
from detectors.reference import Reference
from service.alerts.decision import Decision, Subject
from service.alerts.lifecycle import step
from service.alerts.notice import instant
from service.alerts.rules import Rules
from service.alerts.state import AlertState
from service.domain.thumb import ThumbRule, parse_rule
from service.evaluation.thumbs import Thumbs, fires
from service.windows.grid import Grid
from service.windows.zones import US_PER_DAY, US_PER_S

__all__ = ["DEFAULT_RULES", "Comparison", "ThumbAlarms"]

DEFAULT_RULES: Final = tuple(map(parse_rule, ("psi > 0.1", "psi > 0.2", "ks p < 0.05")))
"""What is in use most."""

_COUNTS_MAX: Final = 1 << 22  # 32 MiB
_SUBJECT: Final = Subject(model="", version="")


@dataclass(slots=True, kw_only=True)
class ThumbAlarms:
    """What one rule says of windows in their order.

    Parameters
    ----------
    rules : Rules
        When alarms open and close.
    looked_at : int
        Windows in which it had something to look at.
    windows : int
        In which it fired.
    opened : list of str
        Ends of the windows that opened an alarm.
    columns : Counter
        How often each was among those that passed, by number.
    """

    rules: Rules
    looked_at: int = 0
    windows: int = 0
    opened: list[str] = field(default_factory=list)
    columns: Counter[int] = field(default_factory=Counter)
    _state: AlertState = field(default_factory=AlertState)

    def take(self, start_us: int, end_us: int, fired: float, passed: FloatArray) -> None:
        """Take the next window; NaN where the rule has nothing to look at."""
        self.looked_at += not np.isnan(fired)
        if fired == 1:
            self.windows += 1
            self.columns.update(np.flatnonzero(passed == 1).tolist())
        decision = Decision(
            subject=_SUBJECT,
            reference_id="",
            window_start_us=start_us,
            window_end_us=end_us,
            verdict="undecided" if np.isnan(fired) else "drifted" if fired else "stable",
        )
        was_open = self._state.episode is not None
        self._state = step(self._state, decision, self.rules, end_us).state
        if self._state.episode is not None and not was_open:
            self.opened.append(instant(end_us))


class Comparison:
    """Rules of thumb through the windows of a history.

    Parameters
    ----------
    reference : Reference
    rules : sequence of ThumbRule
    alerts : Rules
        Of the policy that they are compared with.
    grid : Grid
    rows_min : int
    counts_max : int
        Counts that are looked at together.
    """

    def __init__(
        self,
        reference: Reference,
        rules: Sequence[ThumbRule],
        alerts: Rules,
        grid: Grid,
        *,
        rows_min: int,
        counts_max: int = _COUNTS_MAX,
    ) -> None:
        self._reference = reference
        self._thumbs = Thumbs(reference, rows_min)
        self._alerts = replace(alerts, triggers=(), notify=())
        self._grid = grid
        self._waiting: list[tuple[int, Counts]] = []
        self._at_once = max(1, counts_max // max(reference.layout.n_bins_total, 1))
        self.found = {rule: ThumbAlarms(rules=self._alerts) for rule in rules}

    def take(self, start_us: int, counts: Counts) -> None:
        """Take the next base window."""
        self._waiting.append((start_us, counts))
        if len(self._waiting) >= self._at_once:
            self.finish()

    def finish(self) -> None:
        """Look at what waits."""
        if not self._waiting:
            return
        counts = Counts(np.stack([counts for _, counts in self._waiting]))
        starts_us = [start_us for start_us, _ in self._waiting]
        self._waiting = []
        for rule, alarms in self.found.items():
            self._take(alarms, rule, starts_us, self._thumbs.passed(counts, rule))

    def on_the_reference(self, rule: ThumbRule) -> ThumbAlarms | None:
        """What a rule says of the reference's own base windows; None where it has none, or the rule cannot tell."""
        blocks = self._reference.blocks
        if blocks is None:
            return None
        alarms = ThumbAlarms(rules=self._alerts)
        for some in self._parts(blocks.starts_s):
            passed = self._thumbs.passed_by_groups(blocks.counts[some], rule)
            if passed is None:
                return None
            self._take(alarms, rule, (blocks.starts_s[some] * US_PER_S).tolist(), passed)
        return alarms

    def reference_days(self) -> float:
        """Length of the reference's own base windows together."""
        blocks = self._reference.blocks
        starts_us: list[int] = [] if blocks is None else (blocks.starts_s * US_PER_S).tolist()
        return sum(self._grid.base_end(start_us) - start_us for start_us in starts_us) / US_PER_DAY

    def _parts(self, starts: npt.NDArray[np.int64]) -> Iterator[slice]:
        for first in range(0, starts.size, self._at_once):
            yield slice(first, first + self._at_once)

    def _take(self, alarms: ThumbAlarms, rule: ThumbRule, starts_us: Sequence[int], passed: FloatArray) -> None:
        for start_us, fired, columns in zip(starts_us, fires(passed, rule).tolist(), passed, strict=True):
            alarms.take(start_us, self._grid.base_end(start_us), fired, columns)
