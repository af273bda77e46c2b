"""What the routes of health, metrics and the page need: of the service, or of a sidecar."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from fastapi import Request

from service.api.access import Access
from service.api.context import ControlLimits

__all__ = ["Operated", "operated"]


class Operated(Protocol):
    """What is running."""

    @property
    def access(self) -> Access:
        """Who may do what."""
        ...

    @property
    def limits(self) -> ControlLimits:
        """Bounds of its requests."""
        ...

    @property
    def begun(self) -> Callable[[], None]:
        """Returns once its requests can be answered; raises `StoreUnavailableError` with the reason until then."""
        ...

    @property
    def ready(self) -> Callable[[], Awaitable[str | None]]:
        """Why it is not ready; None if it is."""
        ...

    @property
    def metrics(self) -> Callable[[str], Awaitable[tuple[bytes, str]]]:
        """Exposition for an `Accept` header, and its content type."""
        ...

    @property
    def info(self) -> dict[str, Any]:
        """Its version."""
        ...


def operated(request: Request) -> Operated:
    """What runs, and was asked."""
    running: Operated = request.app.state.context
    return running
