"""How far versions have come, as far as this process knows: what decides which rows are late or too old."""

from dataclasses import replace

from service.ingest.fates import Clocked
from service.ports import Progress, Store
from service.registry.models import LiveModel
from service.windows.watermark import watermark_us

__all__ = ["Reached"]


class Reached:
    """Progress of versions, read once an epoch of their model and then kept.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[int, dict[str, Progress]]] = {}

    async def clocked(self, model: LiveModel, version: str, now_us: int) -> Clocked:
        """Times that decide over rows of a version."""
        epoch, versions = self._known.get(model.model, (None, {}))
        if epoch != model.epoch:  # it was changed, or deleted and made again
            versions = {progress.version: progress for progress in await self._store.progress(model.model)}
            self._known[model.model] = model.epoch, versions
        known = versions.get(version)
        return Clocked(
            now_us=now_us,
            newest_us=None if known is None else known.newest_us,
            watermark_us=None if known is None else watermark_us(known, now_us, model.lateness),
        )

    def advance(self, model: str, newest_us: dict[str, int], now_us: int) -> None:
        """Remember how far versions have come with a commit."""
        _, versions = self._known.get(model, (0, {}))
        for version, newest in newest_us.items():
            known = versions.get(version)
            if known is None:
                versions[version] = Progress(
                    model=model,
                    version=version,
                    newest_us=newest,
                    advanced_at_us=now_us,
                    oldest_us=newest,
                    evaluated_until_us=None,
                    dirty={},
                )
            elif newest > known.newest_us:
                versions[version] = replace(known, newest_us=newest, advanced_at_us=now_us)

    def forget(self, model: str) -> None:
        """Forget a model that is gone."""
        self._known.pop(model, None)
