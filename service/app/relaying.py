"""What the parts of a sidecar tell, turned into its metrics and log lines.

Rows by fate are counted at the centre, which is told of them with the counts.
"""

import structlog

from service.app.watching import Telling
from service.exporter import OwnMetrics, UpstreamMetrics
from service.ingest.pending import Answer

__all__ = ["Relaying"]


class Relaying(Telling):
    """Listens to the parts of a sidecar.

    Parameters
    ----------
    own : OwnMetrics
    upstream : UpstreamMetrics
    rows_max, bytes_max : int
        Limits of the buffer.
    """

    def __init__(self, own: OwnMetrics, upstream: UpstreamMetrics, *, rows_max: int, bytes_max: int) -> None:
        super().__init__(own, rows_max=rows_max, bytes_max=bytes_max)
        self._upstream = upstream
        self.dropped_rows = 0

    def counted(self, model: str, answer: Answer) -> None:
        """The centre has the counts of a request, or knew the request."""
        if not answer.duplicate:
            self._upstream.sent(model, answer.accepted)

    def ignored_cells(self, model: str, cells: int) -> None:
        """The centre is told."""

    def dropped(self, model: str, rows: int) -> None:
        """Rows that were acknowledged on receipt could not be kept."""
        if not self.dropped_rows:
            structlog.get_logger().warning(
                "rows dropped: the centre does not take them, and no more can wait", model=model
            )
        self.dropped_rows += rows
        self._upstream.dropped(model, rows)
