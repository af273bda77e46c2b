"""A version's life from its counts: every base window evaluated when it is due, decided, and taken into the alert state. Pure.

The evaluator, the decision and the lifecycle are those of the service, and so is what they are given: counts by base window, of
one reference, in order. Where no rows came late the same counts give the same history as the service that lived through them,
but for the times at which it did so. What depends on the clock, such as that a source fell silent, is not in it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.alerts.decision import Decision
from service.alerts.lifecycle import Step, step
from service.alerts.rules import Rules
from service.alerts.state import AlertState
from service.domain import Evaluation
from service.evaluation.evaluators import Evaluators
from service.evaluation.outcome import decision_of, outcome_of
from service.evaluation.spans import spans_at
from service.ports import Pane
from service.registry.models import LiveModel

__all__ = ["History", "Lived"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lived:
    """What one base window gave.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        One a scale that was due.
    decision : Decision
    step : Step
    """

    evaluations: Sequence[Evaluation]
    decision: Decision
    step: Step


class History:
    """Lives through base windows.

    Parameters
    ----------
    model : LiveModel
        With the policy, the scales and the grid that are to be tried.
    version : str
        Of whose references only the last one counts, as often as it was active.
    rules : Rules
    evaluators : Evaluators
    """

    def __init__(self, model: LiveModel, version: str, rules: Rules, evaluators: Evaluators) -> None:
        live = model.versions[version]
        # Views have no say in what is decided.
        self._model = replace(model, configuration=model.configuration.model_copy(update={"views": ()}))
        active = live.since[-1].reference
        self._version = replace(live, since=tuple(since for since in live.since if since.reference is active))
        self._rules = rules
        self._evaluators = evaluators
        self._panes: deque[Pane] = deque(maxlen=max(model.configuration.scales))
        self._first_us: int | None = None
        self.state = AlertState()

    def know(self, pane: Pane) -> None:
        """Take a base window into account that larger ones may hold, without evaluating it."""
        if self._first_us is None:
            self._first_us = pane.start_us
        self._panes.append(pane)

    def live(self, pane: Pane) -> Lived | None:
        """Evaluate the base window that a pane is; None if no scale was due.

        Parameters
        ----------
        pane : Pane
            With rows; later than those before.
        """
        self.know(pane)
        end_us = self._model.grid.base_end(pane.start_us)
        panes = list(self._panes)
        evaluations = [
            self._evaluators.evaluate(
                self._model, self._version.version, span, panes, now_us=end_us, first_us=self._first_us or 0
            )
            for span in spans_at(self._model, self._version, end_us)
        ]
        decision = decision_of([outcome_of(evaluation) for evaluation in evaluations], pane.start_us, end_us)
        if decision is None:
            return None
        taken = step(self.state, decision, self._rules, end_us)
        self.state = taken.state
        return Lived(evaluations=evaluations, decision=decision, step=taken)
