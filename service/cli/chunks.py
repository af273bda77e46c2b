"""A log in requests that are the same whenever the log is.

A request has the rows that one chunk of the service has, so that each is committed whole. Its idempotency key is made of the
contents of the files, of the span that was asked for and of its number. The same replay again, after an interruption or by
mistake, gives the same keys, and adds nothing while the service remembers them (`limits.idempotency_retention`). Another span
of the same files gives other keys: its rows are counted again.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final

from service.cli.log_order import Log, TimedLine
from service.cli.sending import Chunk
from service.cli.wire import Form
from service.errors import InputError

__all__ = ["LINE_BYTES_MAX", "chunks_of", "identity_of"]

LINE_BYTES_MAX: Final = 1 << 20
"""What the service takes for one row."""

_ROWS_MAX: Final = 1_000
_BYTES_MAX: Final = 1 << 20
_READ_BYTES: Final = 1 << 20
_FORMAT: Final = b"driftline.replay/1"  # of the lines: if they are written in another way, the keys must be others


def identity_of(log: Log, on_progress: Callable[[int], None]) -> str:
    """What keys begin with: a digest of the files' contents and of what is taken from them.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    span = (log.time_column, log.sent_as, log.time_zone.key, log.since_us, log.until_us)
    whole = blake2b(_FORMAT + repr(span).encode("utf-8", "surrogatepass"), digest_size=16)
    done_bytes = 0
    for file in log.source.files:
        content = blake2b()
        try:
            with file.path.open("rb", buffering=0) as stream:
                while piece := stream.read(_READ_BYTES):
                    content.update(piece)
                    done_bytes += len(piece)
                    on_progress(done_bytes)
        except OSError as error:
            raise InputError(f"{file.name}: {error.strerror}") from error
        whole.update(content.digest())
    return whole.hexdigest()


def chunks_of(
    lines: Iterator[TimedLine], identity: str, on_too_long: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, Chunk]]:
    """Gather lines into requests.

    Parameters
    ----------
    lines : iterator of TimedLine
        In the order of their times.
    identity : str
    on_too_long : callable
        Called for each row that is left out because the service would refuse the request for it.

    Yields
    ------
    int
        Event time of the last row.
    Chunk
    """
    number, form, rows, size, last_us = 0, None, list[bytes](), 0, 0
    for time_us, its_form, line in lines:
        if len(line) > LINE_BYTES_MAX:
            on_too_long()
            continue
        if form is not None and (its_form != form or len(rows) == _ROWS_MAX or size + len(line) > _BYTES_MAX):
            yield last_us, _chunk(identity, number, form, rows)
            number, rows, size = number + 1, [], 0
        form, last_us = its_form, time_us
        rows.append(line)
        size += len(line)
    if form is not None and rows:
        yield last_us, _chunk(identity, number, form, rows)


def _chunk(identity: str, number: int, form: Form, rows: list[bytes]) -> Chunk:
    return Chunk(
        key=f"replay-{identity}-{number}",
        content_type=form.content_type,
        body=b"".join((form.head, *rows)),
        rows=len(rows),
    )
