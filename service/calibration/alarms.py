"""Which base windows of a history would have raised an alarm: the lifecycle on rates alone. Pure.

An alarm opens where the rate of false alarms at the strength of the evidence is within the budget; it ends when six base windows
in a row have been clear; none opens for a day after. `service.alerts.lifecycle` does the same with all that surrounds it.
"""

from typing import Final

from detectors.arrays import FloatArray
from service.alerts.decision import clear_above

__all__ = ["alarms_of"]

_RESOLVE_AFTER: Final = 6
_COOL_DOWN_S: Final = 86_400
_30_DAYS_S: Final = 30 * 86_400


def alarms_of(rates: FloatArray, budget: float, base_s: int) -> list[int]:
    """Base windows at which an alarm would have opened.

    Parameters
    ----------
    rates : ndarray of float64, shape [n_base_windows]
        False alarms in 30 days at the strength of the evidence; NaN where nothing was tested.
    budget : float
    base_s : int
    """
    opened: list[int] = []
    clear_rate = clear_above(budget, _30_DAYS_S / base_s)
    firing, clear, quiet_until = False, 0, -1
    for place, rate in enumerate(rates.tolist()):
        if firing:
            clear = clear + 1 if rate > clear_rate else clear if rate != rate else 0  # noqa: PLR0124 - NaN
            if clear >= _RESOLVE_AFTER:
                firing, quiet_until = False, place + _COOL_DOWN_S // base_s
        elif rate <= budget and place > quiet_until:
            opened.append(place)
            firing, clear = True, 0
    return opened
