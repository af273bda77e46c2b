r"""The watchdog: alarms come more often than the budget of false alarms allows, and nobody took one of them for drift.

A calibration keeps to its budget on average over references. With an unlucky one, or one that production is unlike from the
first day, alarms keep coming, each of them with good evidence; that there are so many is evidence too. While nothing is wrong,
X episodes in windows that may spend m false alarms are at most Poisson, and

.. math:: P(X \ge x) = 1 - \sum_{k<x} e^{-m} m^k / k!

below one in a hundred says that this reference does not describe this traffic [1]_. A single episode says nothing of how often
they come, however early it is: it has a notice of its own. The probability is looked at when an episode opens: in between it
only grows. Once people are told, and once somebody has accepted an episode as drift, the watchdog is quiet until the next
reference.

References
----------
.. [1] STATISTICS.md 9.7, the watchdog.
"""

from dataclasses import replace
from typing import Any, Final

from scipy.special import pdtrc

from service.alerts.decision import Decision
from service.alerts.documents import Episode
from service.alerts.notice import instant
from service.alerts.state import AlertState, Watch

__all__ = ["accepted", "raised", "surplus_pvalue", "watch_document", "watched"]

_PVALUE: Final = 0.01
_EPISODES_MIN: Final = 2


def surplus_pvalue(episodes: int, expected: float) -> float:
    """Probability of so many episodes or more, where `expected` are allowed.

    Parameters
    ----------
    episodes : int
        At least 0.
    expected : float
        At least 0.

    Returns
    -------
    float
        1 for no episodes.
    """
    return float(pdtrc(episodes - 1, expected)) if episodes else 1.0


def watched(watch: Watch, decision: Decision) -> Watch:
    """Count a window that was decided under a budget; others spend nothing."""
    expected = decision.false_alarms_expected
    if expected is None:
        return watch
    return replace(
        watch,
        since_us=decision.window_start_us if watch.since_us is None else watch.since_us,
        windows=watch.windows + 1,
        expected=watch.expected + expected,
    )


def raised(watch: Watch, decision: Decision) -> Watch:
    """Count an episode that a decision opens, if it was made under a budget, and note whether that is one too many."""
    if decision.false_alarms_expected is None:
        return watch
    episodes = watch.episodes + 1
    is_surplus = episodes >= _EPISODES_MIN and surplus_pvalue(episodes, watch.expected) < _PVALUE
    exceeded = is_surplus and watch.exceeded_us is None and not watch.accepted
    return replace(watch, episodes=episodes, exceeded_us=decision.window_end_us if exceeded else watch.exceeded_us)


def watch_document(watch: Watch) -> dict[str, Any]:
    """What people are told of it."""
    return {
        "since": None if watch.since_us is None else instant(watch.since_us),
        "windows": watch.windows,
        "episodes": watch.episodes,
        "expected": watch.expected,
        "pvalue": surplus_pvalue(watch.episodes, watch.expected),
    }


def accepted(state: AlertState, episode: Episode) -> AlertState:
    """Note that somebody took an episode for drift. Episodes of another reference say nothing of this one."""
    if state.reference_id != episode.reference_id or state.watch.accepted:
        return state
    return replace(state, watch=replace(state.watch, accepted=True, exceeded_us=None))
