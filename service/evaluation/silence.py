"""Live sources that fall silent, and those that come back."""

from collections.abc import Callable

from service.alerts.decision import Subject
from service.alerts.rules import Rules
from service.alerts.sources import source_resumed, source_silent
from service.evaluation.episodes import Ledger
from service.ports import Progress, Store
from service.registry.models import LiveModel
from service.windows.watermark import is_live

__all__ = ["SilenceWatch"]


class SilenceWatch:
    """Tells once that a live source has gone silent, and once that rows come again.

    Parameters
    ----------
    store : Store
    rules : callable
        Alert rules of a model.
    """

    def __init__(self, store: Store, rules: Callable[[LiveModel], Rules]) -> None:
        self._store = store
        self._rules = rules
        # How each version was found when last looked at: (newest event, whether it was silent for long).
        self._known: dict[tuple[str, str], tuple[int, bool]] = {}

    def forget(self, model: str) -> None:
        """Another replica may have looked at a model since."""
        for key in [key for key in self._known if key[0] == model]:
            del self._known[key]

    async def watch(self, model: LiveModel, progress: Progress, now_us: int, *, fence: int | None = None) -> bool:
        """Look at one version, in a role if a fence is given; whether notices were written."""
        rules = self._rules(model)
        if rules.silence_after_us is None or not is_live(progress, model.lateness):
            return False
        silent = now_us - progress.newest_us >= rules.silence_after_us
        found = progress.newest_us, silent
        key = model.model, progress.version
        if self._known.get(key) == found or (key in self._known and not silent and not self._known[key][1]):
            return False
        ledger = await Ledger.read(self._store, model, progress, rules, fence)
        before = ledger.state
        subject = Subject(model=model.model, version=progress.version)
        if silent:
            ledger.add(source_silent(ledger.state, subject, rules, progress.newest_us, now_us))
        else:
            ledger.add(source_resumed(ledger.state, subject, rules, now_us))
        if ledger.state != before and not await ledger.record(evaluated_until_us=progress.evaluated_until_us):
            return False
        self._known[key] = found
        return ledger.tells
