"""Notices, and their way to the targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

__all__ = ["Delivery", "DeliveryState", "OutboxNotice", "OutboxStore", "Settled"]

DeliveryState: TypeAlias = Literal["pending", "delivered", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxNotice:
    """A notice for one target.

    Parameters
    ----------
    id : str
        Of the delivery: the notice's id and the target's name. A notice that is already there is left alone.
    order_key : str
        Notices with the same target and order key are delivered one after the other, by `sequence`.
    """

    id: str
    target: str
    order_key: str
    sequence: int
    model: str
    created_at_us: int
    notice: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A notice on its way to one target."""

    id: str
    target: str
    order_key: str
    sequence: int
    model: str
    notice: bytes
    state: DeliveryState
    attempts: int
    created_at_us: int
    next_attempt_us: int
    updated_at_us: int
    last: str
    """What the last attempt ended with: `204`, `timeout`, `refused` ...; empty before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Outcome of an attempt: delivered, dead, or pending again until `next_attempt_us`."""

    id: str
    state: DeliveryState
    next_attempt_us: int
    last: str


class OutboxStore(Protocol):
    """What is to be sent."""

    async def enqueue(self, notices: Sequence[OutboxNotice]) -> None:
        """Put notices into the outbox that no record carries, such as a test."""
        ...

    async def claim(self, target: str, owner: str, until_us: int, limit: int) -> Sequence[Delivery]:
        """Pending deliveries of a target that are due, for one owner until a time; oldest first.

        Of each order key only the first pending one, and none while that one is claimed or not yet due.
        """
        ...

    async def settle(self, owner: str, settled: Sequence[Settled]) -> None:
        """End attempts. Those whose claim has passed to another owner are left alone."""
        ...

    async def deliveries(self, *, state: DeliveryState | None, target: str | None, limit: int) -> Sequence[Delivery]:
        """Latest first."""
        ...

    async def retry_delivery(self, delivery_id: str) -> bool:
        """Make a dead delivery pending again, at once; whether there was one."""
        ...

    async def outbox_counts(self) -> Mapping[tuple[str, DeliveryState], int]:
        """Number of deliveries by target and state."""
        ...

    async def targets_disabled(self) -> Mapping[str, str]:
        """Targets that asked for no more (410), and when."""
        ...

    async def set_target_disabled(self, target: str, reason: str | None) -> None:
        """Disable a target, or enable it again (None)."""
        ...
