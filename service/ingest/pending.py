"""What waits to be committed, and what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec

from service.ingest.decode import DecodedColumns, DecodedRows, RowError

__all__ = ["ERRORS_MAX", "Answer", "Asker", "Key", "Pending"]

ERRORS_MAX = 10
"""Errors and ignored columns that an answer names."""

_Rows = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Identity of a request, or of a chunk of one.

    Parameters
    ----------
    key : str
        What the sender calls it, with the number of the chunk.
    digest : bytes
        Of its contents.
    """

    key: str
    digest: bytes


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Fate of the rows of one request."""

    accepted: int = 0
    rejected: int = 0
    late: int = 0
    duplicate: bool = False
    errors: Sequence[RowError] = ()
    ignored: Sequence[str] = ()
    reasons: dict[str, int] = {}
    """Rejected rows by reason, for the metrics; not part of what is answered."""

    def merged(self, other: "Answer") -> "Answer":
        """Answer of two chunks of a stream; it is a duplicate if all of it was."""
        return Answer(
            accepted=self.accepted + other.accepted,
            rejected=self.rejected + other.rejected,
            late=self.late + other.late,
            duplicate=self.duplicate and other.duplicate,
            errors=(*self.errors, *other.errors)[:ERRORS_MAX],
            ignored=tuple(dict.fromkeys((*self.ignored, *other.ignored)))[:ERRORS_MAX],
            reasons={
                reason: self.reasons.get(reason, 0) + other.reasons.get(reason, 0)
                for reason in self.reasons.keys() | other.reasons.keys()
            },
        )

    @property
    def plain(self) -> bool:
        """Whether there is nothing to say but how many rows were taken, as nearly always."""
        return not (self.rejected or self.late or self.duplicate or self.errors or self.ignored)

    def body(self) -> bytes:
        """Contents of the response."""
        if self.plain:
            return b'{"accepted":%d,"rejected":0,"late":0,"duplicate":false,"errors":[]}' % self.accepted
        document: dict[str, object] = {
            "accepted": self.accepted,
            "rejected": self.rejected,
            "late": self.late,
            "duplicate": self.duplicate,
            "errors": [
                {"row": error.row, "column": error.column, "reason": error.reason} for error in self.errors[:ERRORS_MAX]
            ],
        }
        if self.ignored:
            document["ignored"] = list(self.ignored[:ERRORS_MAX])
        return msgspec.json.encode(document)

    @classmethod
    def again(cls, body: bytes) -> "Answer":
        """The answer of a request that was counted before, from what was answered then.

        Raises
        ------
        msgspec.DecodeError
            It is something else.
        """
        document = msgspec.json.decode(body, type=_Answered)
        return cls(
            accepted=document.accepted,
            rejected=document.rejected,
            late=document.late,
            duplicate=True,
            errors=document.errors,
            ignored=document.ignored,
        )


class _Answered(msgspec.Struct):
    """What `Answer.body` writes."""

    accepted: _Rows
    rejected: _Rows
    late: _Rows
    errors: tuple[RowError, ...]
    ignored: tuple[str, ...] = ()


class Asker(Protocol):
    """Who waits for an answer: a future, or what writes it at once."""

    def set_result(self, answer: Answer, /) -> None:
        """The rows are in the store."""

    def set_exception(self, error: Exception, /) -> None:
        """They are not."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...


class Pending(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Rows of one request, or of one chunk, on their way to the store.

    Parameters
    ----------
    model : str
    version : str or None
        None is the model's default version.
    decoded : DecodedRows or DecodedColumns
    received_us : int
        Time of receipt: the event time of rows that have none.
    key : Key, optional
    """

    model: str
    version: str | None
    decoded: DecodedRows | DecodedColumns
    received_us: int
    key: Key | None = None

    @property
    def rows(self) -> int:
        """Rows that could be read."""
        return len(self.decoded.cells) if isinstance(self.decoded, DecodedRows) else self.decoded.rows
