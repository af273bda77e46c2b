"""The ASGI application: the raw routes first, the control plane behind them, one error form for all."""

from collections.abc import Callable
from typing import Any

from service.api.backtests import router as backtests
from service.api.context import Context
from service.api.counting import router as counting
from service.api.counts import ROUTE as COUNTS_ROUTE
from service.api.counts import Counts
from service.api.deliveries import router as deliveries
from service.api.episodes import router as episodes
from service.api.evaluations import router as evaluations
from service.api.guard import Guard
from service.api.inferences import ROUTE as INFERENCES_ROUTE
from service.api.inferences import Inferences
from service.api.models import router as models
from service.api.operations import router as operations
from service.api.page import router as page
from service.api.plane import control_plane
from service.api.raw import Front
from service.api.references import router as references

__all__ = ["Application"]

_ROUTERS = (models, references, counting, evaluations, backtests, episodes, deliveries, operations, page)


class Application(Front):
    """The whole service as one ASGI application.

    Parameters
    ----------
    context : Context
    inferences : Inferences
    counts : Counts
    version : str
    observe : callable
        Told of the route, the status and the seconds of each request.
    """

    def __init__(
        self,
        context: Context,
        inferences: Inferences,
        counts: Counts,
        version: str,
        observe: Callable[[str, int, float], None],
    ) -> None:
        self._plane = control_plane(context, version, _ROUTERS, (INFERENCES_ROUTE, COUNTS_ROUTE))
        control = Guard(self._plane, context, observe)
        super().__init__((inferences, counts), control, inferences.at_once)

    @property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return self._plane.openapi()
