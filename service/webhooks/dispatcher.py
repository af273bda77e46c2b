"""Deliveries of all targets: looks into the outbox, and wakes the workers of those that have something pending.

Two small reads a second tell what is pending and who is disabled, whatever the number of targets; only the worker of a target
that has something claims. Notices of targets that nobody configured (any more) stay where they are: they are counted and
logged, and go out once the target is back.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Final

import structlog

from service.alerts.notice import make_test_notice
from service.errors import DeclarationError, StoreUnavailableError
from service.ports import Clock
from service.webhooks.outbox import AttemptEnded, Listener, Outbox
from service.webhooks.payloads import request_of
from service.webhooks.sender import Answer, Sender
from service.webhooks.target import Target
from service.webhooks.worker import Worker

__all__ = ["Dispatcher", "send_test"]

_US_PER_S: Final = 1_000_000
_POLL_S: Final = 1.0  # how late a retry may be
_DRAIN_S: Final = 20.0  # a stop waits no longer for receivers
_SETTLE_S: Final = 60.0  # beyond its timeout an attempt stays claimed, while the store is slow or away

_log = structlog.get_logger(__name__)


def _nobody(_: AttemptEnded) -> None:
    """Listen to nothing."""


class Dispatcher:
    """Delivers what is in the outbox until it is stopped."""

    def __init__(
        self,
        store: Outbox,
        targets: Mapping[str, Target],
        clock: Clock,
        rng: random.Random,
        owner: str,
        *,
        on_outcome: Listener = _nobody,
        sender: Sender | None = None,
        poll_s: float = _POLL_S,
        drain_s: float = _DRAIN_S,
        settle_s: float = _SETTLE_S,
    ) -> None:
        self._store = store
        self._targets = targets
        self._clock = clock
        self._rng = rng
        self._sender = sender or Sender()
        self._poll_s = poll_s
        self._drain_s = drain_s
        self._workers = {
            name: Worker(
                target,
                store=store,
                sender=self._sender,
                clock=clock,
                rng=rng,
                owner=owner,
                listener=on_outcome,
                again_s=poll_s,
                settle_s=settle_s,
            )
            for name, target in targets.items()
        }
        self._woken = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._stopping = False
        self._store_is_away = False
        self.unconfigured: Mapping[str, int] = {}
        """Pending notices of targets that are not configured."""

    def wake(self) -> None:
        """Say that notices were written."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until `stop`."""
        self._ended.clear()
        tasks = [asyncio.create_task(worker.run()) for worker in self._workers.values()]
        try:
            while not self._stopping:
                self._woken.clear()
                await self._look()
                await self._wait()
        finally:
            for worker in self._workers.values():
                worker.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(worker.drain(self._drain_s) for worker in self._workers.values()))
            self._ended.set()

    async def stop(self) -> None:
        """Claim nothing more, let attempts in flight end within a bound, and return when they have."""
        self._stopping = True
        self._woken.set()
        await self._ended.wait()

    async def send_test(self, target: str) -> Answer:
        """Send a test notice to a target at once, past the outbox."""
        return await send_test(self._targets, target, self._sender, self._clock, self._rng)

    async def _look(self) -> None:
        try:
            counts = await self._store.outbox_counts()
            disabled = await self._store.targets_disabled()
        except StoreUnavailableError as error:
            if not self._store_is_away:
                _log.warning("outbox_unavailable", reason=str(error))
            self._store_is_away = True
            return
        self._store_is_away = False
        pending = {target: number for (target, state), number in counts.items() if state == "pending" and number}
        for name, worker in self._workers.items():
            if name in pending:
                worker.kick(disabled=name in disabled)
        self._note({target: number for target, number in pending.items() if target not in self._workers})

    def _note(self, unconfigured: Mapping[str, int]) -> None:
        for target in unconfigured.keys() - self.unconfigured.keys():
            _log.warning("target_not_configured", target=target, pending=unconfigured[target])
        self.unconfigured = unconfigured

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await self._woken.wait()
        except TimeoutError:
            return


async def send_test(
    targets: Mapping[str, Target], name: str, sender: Sender, clock: Clock, rng: random.Random
) -> Answer:
    """Send a test notice to a target, once.

    Raises
    ------
    DeclarationError
        No such target.
    """
    target = targets.get(name)
    if target is None:
        raise DeclarationError(f"target {name!r} is not configured; there are: {', '.join(sorted(targets)) or 'none'}")
    now_us = clock.now_us()
    notice = make_test_notice(name, now_us, f"{rng.getrandbits(64):016x}")
    return await sender.send(target, request_of(target, notice, now_us // _US_PER_S))
