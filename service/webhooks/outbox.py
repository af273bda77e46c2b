"""What a dispatcher needs of the store, and what it says of each attempt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.ports import Delivery, DeliveryState, Settled

__all__ = ["AttemptEnded", "Listener", "Outbox"]


class Outbox(Protocol):
    """The part of `service.ports.Store` that deliveries are about; the contract stands there."""

    async def now_us(self) -> int:
        """Time by the store's clock."""
        ...

    async def claim(self, target: str, owner: str, until_us: int, limit: int) -> Sequence[Delivery]:
        """Take pending deliveries that are due."""
        ...

    async def settle(self, owner: str, settled: Sequence[Settled]) -> None:
        """End attempts."""
        ...

    async def outbox_counts(self) -> Mapping[tuple[str, DeliveryState], int]:
        """Count deliveries by target and state."""
        ...

    async def targets_disabled(self) -> Mapping[str, str]:
        """Targets that asked for no more."""
        ...

    async def set_target_disabled(self, target: str, reason: str | None) -> None:
        """Disable a target, or enable it again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """One attempt, for metrics.

    Parameters
    ----------
    target, delivery_id : str
    state : {"delivered", "pending", "dead"}
        Of the delivery now; pending is tried again.
    ended : str
        What the attempt ended with: a status or a word of a closed list.
    duration_s : float
    """

    target: str
    delivery_id: str
    state: DeliveryState
    ended: str
    duration_s: float


Listener = Callable[[AttemptEnded], None]
