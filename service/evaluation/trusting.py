"""How far rates of false alarms are to be trusted, for those who only ask: it may have to be replayed first."""

import asyncio
from typing import Final

from service.calibration.calibrated import Trust
from service.evaluation.evaluators import Evaluators
from service.registry.models import LiveModel, LiveReference

__all__ = ["PATIENCE_S", "Trusts"]

PATIENCE_S: Final = 3.0
"""A reference that has no replay yet takes seconds, or a minute if it is wide: who asks then asks again."""


class Trusts:
    """Asks evaluators, in a thread, about each reference once at a time.

    Parameters
    ----------
    evaluators : Evaluators
    """

    def __init__(self, evaluators: Evaluators) -> None:
        self._evaluators = evaluators
        self._asked: dict[object, asyncio.Task[Trust]] = {}

    def known(self, model: LiveModel, live: LiveReference) -> Trust | None:
        """What is known without work; None if it has to be worked out."""
        return self._evaluators.known_trust(model, live)

    async def trust(self, model: LiveModel, live: LiveReference, patience_s: float = PATIENCE_S) -> Trust | None:
        """What is known of a reference; None if that takes longer than one may wait. It goes on all the same."""
        known = self.known(model, live)
        if known is not None:
            return known
        key = self._evaluators.key(model, live)
        if key not in self._asked:
            task = asyncio.create_task(asyncio.to_thread(self._evaluators.trust, model, live), name=f"trust {live.id}")
            self._asked[key] = task
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        done, _ = await asyncio.wait({self._asked[key]}, timeout=patience_s)
        return done.pop().result() if done else None
