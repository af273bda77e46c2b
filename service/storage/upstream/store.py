"""The port, over HTTP.

A commit is one request a model. What the centre says is all that is kept: how far versions have come, for as long as that
may be relied upon (a second, as replicas do), and which models were asked for, whose epochs are then followed.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar
from urllib.parse import quote

import httpx

from service.errors import PayloadError, StoreUnavailableError
from service.ports import TURNS_KEPT_US, Clock, Commit, Committed, ModelRow, Progress, Turn
from service.storage.upstream.centre import IN_DOUBT, Centre, Heard, Patience
from service.storage.upstream.clock import CentreClock
from service.storage.wire import (
    COUNTS_TYPE,
    CountingDocument,
    CountsAnswer,
    EpochsDocument,
    VersionProgress,
    encode_counts,
    read_document,
)

__all__ = ["UpstreamStore"]

_T = TypeVar("_T")
_OK, _NOT_FOUND, _CONFLICT = 200, 404, 409
_COUNTS_HEADERS: Final = {"Content-Type": COUNTS_TYPE}
_REFERENCE_TIMEOUT_S: Final = 60.0
_CHECK_TIMEOUT_S: Final = 1.0
_PROGRESS_FOR_US: Final = 1_000_000
_NAMES_MAX: Final = 100
"""Models asked for at a time: the head of a request is bounded."""

_STALE: Final = Committed(status="stale")


class UpstreamStore:
    """What rows need of a store, at a central Driftline.

    Parameters
    ----------
    url : str
        Of the centre.
    key : str or None
        With the scopes `ingest` and `read` there.
    clock : Clock, optional
        In the place of the centre's.
    name : str
        Of this process, by which its batches differ from those of all others.
    patience : Patience
    rng : random.Random
        For jitter.
    monotonic_s : callable
    transport : httpx.AsyncBaseTransport, optional
        In the place of connections.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        clock: Clock | None = None,
        *,
        name: str,
        patience: Patience,
        rng: random.Random,
        monotonic_s: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._centre_clock = CentreClock(monotonic_s)
        self.clock: Clock = clock or self._centre_clock
        self._centre = Centre.at(url, key, clock=self._centre_clock, patience=patience, rng=rng, transport=transport)
        self._progress: dict[str, tuple[int, Sequence[Progress]]] = {}
        self._asked: set[str] = set()
        self._name = name
        self._turns = 0
        self._last_again: dict[str, tuple[str, int]] = {}
        self.sent_at_us: int | None = None
        self.keys_kept_us: int = TURNS_KEPT_US

    @property
    def up(self) -> bool | None:
        """Whether the centre answered when it was last asked; None before the first time."""
        return self._centre.up

    async def now_us(self) -> int:
        """Time by the centre's clock."""
        return self.clock.now_us()

    async def check(self) -> None:
        """Return if the centre answers, to this key; it is asked once, for a probe does not wait."""
        self._read(
            await self._centre.ask("GET", _epochs_path(sorted(self._asked)[:1]), call_s=_CHECK_TIMEOUT_S),
            EpochsDocument,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._centre.close()

    async def commit(self, commits: Sequence[Commit]) -> Sequence[Committed]:
        """Send counts; each model's by itself."""
        found: list[Committed] = []
        for commit in commits:
            try:
                found.append(await self._commit(commit))
            except StoreUnavailableError as error:
                if found:  # who asked for those hears of this one
                    raise StoreUnavailableError(f"{error}{IN_DOUBT}") from error
                raise
        return found

    async def progress(self, model: str | None = None) -> Sequence[Progress]:
        """How far the versions of a model have come."""
        if model is None:
            return [one for name in sorted(self._asked) for one in await self.progress(name)]
        heard_us, known = self._progress.get(model, (None, ()))
        if heard_us is None or self._centre_clock.local_us() - heard_us >= _PROGRESS_FOR_US:
            await self.model(model)
            _, known = self._progress.get(model, (0, ()))
        return known

    async def model(self, model: str) -> ModelRow | None:
        """What must be known of a model to count its rows."""
        heard = await self._centre.ask("GET", f"/v1/models/{quote(model)}/counting")
        if heard.status == _NOT_FOUND:
            self._forget(model)
            return None
        document = self._read(heard, CountingDocument)
        self._centre_clock.told(document.now_us, heard.asked_us, heard.heard_us)
        self.keys_kept_us = document.keys_kept_us
        self._asked.add(model)
        self._know(model, document.progress)
        return document.row()

    async def epochs(self) -> Mapping[str, int]:
        """Epochs of the models that were asked for."""
        found: dict[str, int] = {}
        asked = sorted(self._asked)
        for start in range(0, len(asked), _NAMES_MAX):
            names = asked[start : start + _NAMES_MAX]
            heard = await self._centre.ask("GET", _epochs_path(names))
            document = self._read(heard, EpochsDocument)
            self._centre_clock.told(document.now_us, heard.asked_us, heard.heard_us)
            found |= {name: document.epochs[name] for name in names if name in document.epochs}
            for gone in set(names) - document.epochs.keys():
                self._forget(gone)
        return found

    async def introduce(self, model: str) -> bool:
        """Name a model to the centre that it does not know; whether it does then, as where it makes those that rows come for."""
        nothing = Commit(model=model, epoch=0, deltas=())
        return (await self._post(nothing)).status != _NOT_FOUND

    async def reference_document(self, model: str, reference_id: str) -> bytes | None:
        """A reference's file."""
        path = f"/v1/models/{quote(model)}/references/{quote(reference_id)}/file"
        heard = await self._centre.ask("GET", path, call_s=_REFERENCE_TIMEOUT_S)
        if heard.status == _NOT_FOUND:
            return None
        if heard.status != _OK:
            raise StoreUnavailableError(f"the centre answers {heard.status}: {heard.detail}")
        return heard.body

    def _turn(self, commit: Commit) -> Turn:
        """By which counts are added once, however often they have to be sent.

        Rows that may be sent again keep their turn meanwhile, while those that somebody waits for go by: they are two senders.
        """
        last_id, number = self._last_again.get(commit.model, ("", 0))
        if not commit.rows_id or commit.rows_id != last_id:
            self._turns += 1
            number = self._turns
        if commit.rows_id:
            self._last_again[commit.model] = commit.rows_id, number
        return Turn(sender=f"{self._name}.{'again' if commit.rows_id else 'once'}", number=number)

    async def _commit(self, commit: Commit) -> Committed:
        heard = await self._post(commit)
        if heard.status in {_NOT_FOUND, _CONFLICT}:  # the model is another by now, or gone: who asks for it is told
            self._progress.pop(commit.model, None)
            return _STALE
        if heard.status != _OK:
            return Committed(status="refused", reason=f"{heard.status}: {heard.detail}")
        answer = self._read(heard, CountsAnswer)
        self._centre_clock.told(answer.now_us, heard.asked_us, heard.heard_us)
        self._know(commit.model, answer.progress)
        self.sent_at_us = answer.now_us
        if answer.counted:
            return Committed(status="committed")
        return Committed(status="duplicate", known=[known.mark() for known in answer.known])

    async def _post(self, commit: Commit) -> Heard:
        return await self._centre.ask(
            "POST",
            f"/v1/models/{quote(commit.model)}/counts",
            content=encode_counts(commit, self._turn(commit)),
            headers=_COUNTS_HEADERS,
        )

    def _read(self, heard: Heard, kind: type[_T]) -> _T:
        if heard.status != _OK:
            raise StoreUnavailableError(f"the centre answers {heard.status}: {heard.detail}")
        try:
            return read_document(heard.body, kind)
        except PayloadError as error:
            raise StoreUnavailableError(str(error)) from error

    def _know(self, model: str, progress: Sequence[VersionProgress]) -> None:
        self._progress[model] = self._centre_clock.local_us(), [one.progress(model) for one in progress]

    def _forget(self, model: str) -> None:
        self._asked.discard(model)
        self._progress.pop(model, None)
        self._last_again.pop(model, None)


def _epochs_path(names: Sequence[str]) -> str:
    return "/v1/counting?" + "&".join(f"model={quote(name)}" for name in names)
