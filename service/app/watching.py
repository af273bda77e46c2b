"""What the parts of the service tell, turned into its own metrics and log lines."""

import structlog

from service.exporter import OwnMetrics
from service.ingest.pending import Answer
from service.ports import Swept
from service.webhooks import AttemptEnded

__all__ = ["Telling", "Watching"]


class Telling:
    """What the service and a sidecar tell alike.

    Parameters
    ----------
    own : OwnMetrics
    rows_max, bytes_max : int
        Limits of the buffer.
    """

    def __init__(self, own: OwnMetrics, *, rows_max: int, bytes_max: int) -> None:
        self._own = own
        self._rows_max = rows_max
        self._bytes_max = bytes_max

    def committed(self, rows: int, seconds: float) -> None:
        """A commit is through; of a sidecar, a batch was sent."""
        self._own.committed(rows, seconds)

    def buffered(self, rows: int, size_bytes: int) -> None:
        """So much waits."""
        self._own.buffer(rows=rows, rows_max=self._rows_max, waiting_bytes=size_bytes, bytes_max=self._bytes_max)

    def store_failed(self, operation: str) -> None:
        """The store, or the centre, could not be reached."""
        self._own.store_error(operation)

    def requested(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._own.request(route, status, seconds)


class Watching(Telling):
    """Listens to all parts.

    Parameters
    ----------
    own : OwnMetrics
    rows_max, bytes_max : int
        Limits of the buffer.
    """

    def __init__(self, own: OwnMetrics, *, rows_max: int, bytes_max: int) -> None:
        super().__init__(own, rows_max=rows_max, bytes_max=bytes_max)
        self._ignored: set[tuple[str, str]] = set()

    def counted(self, model: str, answer: Answer) -> None:
        """Rows of a request have found their fate."""
        self._own.add_model(model)  # the first rows of a model may come before the first scrape that knows it
        if answer.duplicate:
            self._own.rows(model, "duplicate", answer.accepted + answer.rejected)
            return
        self._own.rows(model, "accepted", answer.accepted)
        if answer.late:
            self._own.rows(model, "late", answer.late)
        if answer.reasons:
            self._own.rejected(model, answer.reasons)
        for name in answer.ignored:
            if (model, name) not in self._ignored and len(self._ignored) < 10_000:  # noqa: PLR2004 - log lines, once each
                self._ignored.add((model, name))
                structlog.get_logger().info("column ignored: the reference does not know it", model=model, column=name)

    def ignored_cells(self, model: str, cells: int) -> None:
        """Cells of columns that nobody knows."""
        self._own.ignored_cells(model, cells)

    def dropped(self, model: str, rows: int) -> None:
        """Rows that were acknowledged on receipt could not be kept."""
        self._own.add_model(model)
        self._own.rows(model, "dropped", rows)

    def evaluated(self, model: str, verdict: str, seconds: float) -> None:
        """A window was evaluated for good."""
        self._own.evaluated(model, verdict, seconds)

    def delivered(self, ended: AttemptEnded) -> None:
        """An attempt to deliver has ended."""
        self._own.delivered(ended.target, "retried" if ended.state == "pending" else ended.state)

    def swept(self, swept: Swept) -> None:
        """A round of housekeeping is done."""
        self._own.swept(swept)
