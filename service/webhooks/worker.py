"""Deliveries of one target. Each target has a worker of its own, so that one that is stuck delays nobody else.

An attempt is claimed for longer than it can take, so that no other replica makes it at the same time. If the process dies, the
claim runs out and the attempt is made again, under the same id: at least once, and the receiver can drop the repeat. Every claim
has a name of its own: an attempt that was paused for longer than its claim ends no later one, not even of its own process.
"""

import asyncio
import contextlib
import itertools
import random
import traceback
from typing import Any, Final

import msgspec
import structlog

from service.errors import StoreUnavailableError
from service.ports import Clock, Delivery, Settled
from service.webhooks.outbox import AttemptEnded, Listener, Outbox
from service.webhooks.payloads import OutgoingRequest, request_of
from service.webhooks.retry import Fate, fate_of, parse_retry_after_us
from service.webhooks.sender import Answer, Sender
from service.webhooks.target import Target

__all__ = ["Worker"]

_US_PER_S: Final = 1_000_000
_CANCEL_S: Final = 5.0  # for writing that attempts were broken off

_log = structlog.get_logger(__name__)


class Worker:
    """Claims what is due for a target, makes the attempts, writes what became of them."""

    def __init__(
        self,
        target: Target,
        *,
        store: Outbox,
        sender: Sender,
        clock: Clock,
        rng: random.Random,
        owner: str,
        listener: Listener,
        again_s: float,
        settle_s: float,
    ) -> None:
        self._target = target
        self._store = store
        self._sender = sender
        self._clock = clock
        self._rng = rng
        self._owner = owner
        self._claims = itertools.count(1)
        self._listener = listener
        self._again_s = again_s
        self._settle_s = settle_s
        self._kicked = asyncio.Event()
        self._stopping = False
        self._in_flight: set[asyncio.Task[None]] = set()
        self._disabled = False
        self._resting_until_us = 0

    def kick(self, *, disabled: bool) -> None:
        """Say that something may be due."""
        self._disabled = disabled
        self._kicked.set()

    async def run(self) -> None:
        """Work until stopped."""
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            if self._stopping:
                return
            with contextlib.suppress(StoreUnavailableError):  # the dispatcher sees it too, and kicks again afterwards
                await self._claim()

    def stop(self) -> None:
        """Claim no more. What is being claimed still is, and goes out: a claim that is lost blocks until it runs out."""
        self._stopping = True
        self._kicked.set()

    async def drain(self, timeout_s: float) -> None:
        """Let attempts in flight end; those that do not in time are broken off and go back."""
        if not self._in_flight:
            return
        _, late = await asyncio.wait(self._in_flight, timeout=timeout_s)
        for attempt in late:
            attempt.cancel()
        if late:
            await asyncio.wait(late, timeout=_CANCEL_S)

    async def _claim(self) -> None:
        free = self._target.concurrency - len(self._in_flight)
        if free <= 0:
            return  # the end of an attempt kicks again
        now_us = await self._store.now_us()
        if now_us < self._resting_until_us and not self._disabled:
            return
        claim_s = self._target.timeout_s + self._settle_s
        until_us = now_us + int(claim_s * _US_PER_S)
        claim = f"{self._owner}#{next(self._claims)}"
        for delivery in await self._store.claim(self._target.name, claim, until_us, free):
            attempt = asyncio.create_task(self._deliver(delivery, claim, now_us))
            self._in_flight.add(attempt)
            attempt.add_done_callback(self._ended)

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        self._in_flight.discard(attempt)
        if not attempt.cancelled() and attempt.exception() is not None:
            # The store was away when an attempt was broken off: its claim runs out.
            _log.warning("delivery_not_settled", target=self._target.name)
        self._kicked.set()

    async def _deliver(self, delivery: Delivery, claim: str, claimed_at_us: int) -> None:
        try:
            fate, answer = await self._attempted(delivery, claimed_at_us)
        except asyncio.CancelledError:
            broken_off = Settled(id=delivery.id, state="pending", next_attempt_us=claimed_at_us, last="interrupted")
            await self._store.settle(claim, [broken_off])
            raise
        settled = Settled(id=delivery.id, state=fate.state, next_attempt_us=fate.next_attempt_us, last=answer.ended)
        self._disabled = self._disabled or fate.disables
        await self._write(claim, settled, disables=fate.disables)
        self._tell(delivery, fate, answer)

    async def _attempted(self, delivery: Delivery, claimed_at_us: int) -> tuple[Fate, Answer]:
        dead = Fate(state="dead", next_attempt_us=claimed_at_us)
        if self._disabled:
            return dead, Answer(status=None, ended="disabled")
        try:
            notice: dict[str, Any] = msgspec.json.decode(delivery.notice, type=dict[str, Any])
            request = request_of(self._target, notice, self._clock.now_us() // _US_PER_S)
        except (msgspec.MsgspecError, LookupError, TypeError, AttributeError):
            return dead, Answer(status=None, ended="unreadable")
        answer = await self._sent(request)
        now_us = claimed_at_us + int(answer.duration_s * _US_PER_S)
        retry_after_us = parse_retry_after_us(answer.retry_after, self._clock.now_us())
        fate = fate_of(
            self._target,
            answer.status,
            retry_after_us=retry_after_us,
            attempts=delivery.attempts,
            created_at_us=delivery.created_at_us,
            now_us=now_us,
            rng=self._rng,
        )
        if fate.state == "pending" and retry_after_us is not None:
            # What a receiver asks for, it asks for all that it is sent.
            self._resting_until_us = max(self._resting_until_us, now_us + retry_after_us)
        return fate, answer

    async def _sent(self, request: OutgoingRequest) -> Answer:
        try:
            return await self._sender.send(self._target, request)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not keep a delivery from ever ending
            # The text and the locals of an error may hold an address or a token: only where it was is told.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("delivery_failed", target=self._target.name, error=type(error).__name__, where=where)
            return Answer(status=None, ended="error")

    async def _write(self, claim: str, settled: Settled, *, disables: bool) -> None:
        """Write an outcome; if the store is away, again until the claim has run out."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._settle_s
        while True:
            try:
                if disables:
                    await self._store.set_target_disabled(self._target.name, f"{settled.last} for {settled.id}")
                await self._store.settle(claim, [settled])
            except StoreUnavailableError:
                if loop.time() >= deadline_s:
                    _log.warning("delivery_not_settled", target=self._target.name, delivery=settled.id)
                    return
                await asyncio.sleep(self._again_s)
            else:
                return

    def _tell(self, delivery: Delivery, fate: Fate, answer: Answer) -> None:
        level = "warning" if fate.state == "dead" else "info"
        getattr(_log, level)(
            "delivery_attempted",
            target=self._target.name,
            delivery=delivery.id,
            model=delivery.model,
            attempt=delivery.attempts + 1,
            state=fate.state,
            ended=answer.ended,
            duration_s=round(answer.duration_s, 3),
        )
        self._listener(
            AttemptEnded(
                target=self._target.name,
                delivery_id=delivery.id,
                state=fate.state,
                ended=answer.ended,
                duration_s=answer.duration_s,
            )
        )
