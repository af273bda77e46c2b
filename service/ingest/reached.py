"""How far versions have come, as far as this process knows: what decides which rows are late or too old.

Other processes may have committed newer rows to the same store: what is known is read again after a second.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from service.errors import StoreUnavailableError
from service.ingest.fates import Clocked
from service.ports import CountsStore, Progress
from service.registry.models import LiveModel
from service.windows.watermark import watermark_us

__all__ = ["Reached"]

_KNOWN_FOR_US: Final = 1_000_000


class Reached:
    """Progress of versions, read once an epoch of their model and once a second.

    Parameters
    ----------
    store : CountsStore
    """

    def __init__(self, store: CountsStore) -> None:
        self._store = store
        self._known: dict[str, tuple[int, int, dict[str, Progress]]] = {}

    async def read(self, models: Iterable[LiveModel], now_us: int) -> dict[str, StoreUnavailableError]:
        """Read what is not known, all at once; why it cannot be read, by model.

        A store may have lost some of its parts: that of one model must not cost the others their rows, nor its time again.
        """
        unknown = [model for model in models if not self._is_known(model, now_us)]
        found = await asyncio.gather(*(self._versions(model, now_us) for model in unknown), return_exceptions=True)
        errors = {}
        for model, one in zip(unknown, found, strict=True):
            if isinstance(one, StoreUnavailableError):
                errors[model.model] = one
            elif isinstance(one, BaseException):
                raise one
        return errors

    async def clocked(self, model: LiveModel, version: str, now_us: int) -> Clocked:
        """Times that decide over rows of a version."""
        known = (await self._versions(model, now_us)).get(version)
        return Clocked(
            now_us=now_us,
            newest_us=None if known is None else known.newest_us,
            watermark_us=None if known is None else watermark_us(known, now_us, model.lateness),
        )

    async def versions(self, model: LiveModel, now_us: int) -> Sequence[Progress]:
        """How far the versions of a model have come."""
        return list((await self._versions(model, now_us)).values())

    def advance(self, model: str, newest_us: dict[str, int], now_us: int) -> None:
        """Remember how far versions have come with a commit."""
        _, _, versions = self._known.get(model, (0, 0, {}))
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

    async def _versions(self, model: LiveModel, now_us: int) -> dict[str, Progress]:
        if not self._is_known(model, now_us):
            versions = {progress.version: progress for progress in await self._store.progress(model.model)}
            self._known[model.model] = model.epoch, now_us, versions
        return self._known[model.model][-1]

    def _is_known(self, model: LiveModel, now_us: int) -> bool:
        epoch, read_at_us, _ = self._known.get(model.model, (None, 0, {}))
        # Another epoch: it was changed, or deleted and made again.
        return epoch == model.epoch and 0 <= now_us - read_at_us < _KNOWN_FOR_US
