"""Log lines: readable on a terminal, JSON where nobody watches. They never hold a value of a row.

A line that cannot be written, such as on a full disk, is lost; it stops no work.
"""

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog

__all__ = ["configure_logs"]


def configure_logs(level: str = "info") -> None:
    """Send everything that is logged to standard error, in one form."""
    terminal = sys.stderr.isatty()
    stream = cast("TextIO", _Stream(sys.stderr))
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, _type_of_failure, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _type_of_failure, render],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    # It warns of every tick that takes longer than its interval; a tick that is missed is not made up for, by design.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    # A tick that takes longer than its interval is let finish; that is no news, once a second.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)


class _Stream:
    """Standard error without its buffer: what could not be written would be tried again at exit, and fail again."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._raw = getattr(getattr(stream, "buffer", None), "raw", None)

    def write(self, text: str) -> None:
        with suppress(OSError):
            if self._raw is not None:
                self._raw.write(text.encode(errors="replace"))
            else:
                self._stream.write(text)

    def flush(self) -> None:
        """There is nothing to flush."""


def _type_of_failure(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A traceback without the texts of the errors: those of numpy or of a decoder may quote a cell."""
    raised = event.pop("exc_info", None)
    if raised:
        error = raised[1] if isinstance(raised, tuple) else sys.exc_info()[1]
        event.setdefault("error", type(error).__name__)
        places = []
        trace = error.__traceback__ if error is not None else None
        while trace is not None:
            places.append(f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}")
            trace = trace.tb_next
        event["at"] = " > ".join(places[-8:])
    return event
