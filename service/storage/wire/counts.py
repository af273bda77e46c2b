"""`driftline.counts/1`: counts on their way to the centre, as MessagePack.

::

    {format: "driftline.counts/1", sender: str, number: int, epoch: int,
     deltas: [{version: str, reference_id: str, segment: str, pane_start_us: int, rows: int, late: int, payload: bin}],
     newest_us: {version: int},
     marks: [{key: str, digest: bin, answer: bin}],
     tally: {accepted: int, late: int, rejected: {reason: int}, ignored_cells: int}}

`sender` and `number` are the turn of the batch (`service.ports.Turn`): one that comes again, or behind a later one, adds nothing.
`marks` are requests of senders that named a key, with what they are answered (JSON), so that a repeat is known wherever it
arrives. Payloads are those of `service.storage.codec`, which compresses them. What is not known is refused: a field that is
passed over in silence would be counts that are lost in silence.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from service.domain.configuration import NAME_PATTERN
from service.errors import DecodeError
from service.ports import Commit, Delta, Tally, Turn

__all__ = [
    "COUNTS",
    "COUNTS_TYPE",
    "ROWS_MAX",
    "CountsDelta",
    "CountsDocument",
    "CountsMark",
    "CountsTally",
    "decode_counts",
    "encode_counts",
]

COUNTS: Final = "driftline.counts/1"
COUNTS_TYPE: Final = "application/vnd.driftline.counts"

ROWS_MAX: Final = 10**9
"""Rows of one delta. A sidecar commits 20,000 at a time; this only keeps sums within their type."""

_DELTAS_MAX: Final = 100_000
_MARKS_MAX: Final = 100_000
_VERSIONS_MAX: Final = 10_000
_INT64_MAX: Final = (1 << 63) - 1
_INT64_MIN: Final = -(1 << 63)
_NUMBER_MAX: Final = (1 << 53) - 1
_Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
_Sender = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
_Number = Annotated[int, Meta(ge=1, le=_NUMBER_MAX)]
_ReferenceId = Annotated[str, Meta(min_length=1, max_length=128)]
_Segment = Annotated[str, Meta(max_length=256)]
_Key = Annotated[str, Meta(pattern=r"^[ -~]{1,300}$")]
_Digest = Annotated[bytes, Meta(max_length=64)]
_Answer = Annotated[bytes, Meta(min_length=2, max_length=16_384)]
_Reason = Annotated[str, Meta(min_length=1, max_length=64)]
_Us = Annotated[int, Meta(ge=_INT64_MIN, le=_INT64_MAX)]
_Rows = Annotated[int, Meta(ge=0, le=ROWS_MAX)]
_Cells = Annotated[int, Meta(ge=0, le=_INT64_MAX)]
_Epoch = Annotated[int, Meta(ge=0, le=_INT64_MAX)]


class CountsDelta(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts of one pane, as a sidecar sends them."""

    version: _Name
    reference_id: _ReferenceId
    segment: _Segment = ""
    pane_start_us: _Us
    rows: Annotated[int, Meta(ge=1, le=ROWS_MAX)]
    late: _Rows = 0
    payload: bytes

    def delta(self, window_start_us: int) -> Delta:
        """As the port has it."""
        return Delta(
            version=self.version,
            reference_id=self.reference_id,
            segment=self.segment,
            pane_start_us=self.pane_start_us,
            window_start_us=window_start_us,
            rows=self.rows,
            late=self.late,
            payload=self.payload,
        )


class CountsMark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That a request of a sender has been counted, and what it was answered (JSON)."""

    key: _Key
    digest: _Digest
    answer: _Answer


class CountsTally(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fates of the rows of a batch."""

    accepted: _Rows = 0
    late: _Rows = 0
    rejected: dict[_Reason, _Rows] = {}
    ignored_cells: _Cells = 0

    def tally(self) -> Tally:
        """As the port has it."""
        return Tally(accepted=self.accepted, late=self.late, rejected=self.rejected, ignored_cells=self.ignored_cells)


class CountsDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`driftline.counts/1`: counts of one model that belong together."""

    format: str
    sender: _Sender
    number: _Number
    epoch: _Epoch
    deltas: Annotated[list[CountsDelta], Meta(max_length=_DELTAS_MAX)] = []
    marks: Annotated[list[CountsMark], Meta(max_length=_MARKS_MAX)] = []
    newest_us: Annotated[dict[_Name, _Us], Meta(max_length=_VERSIONS_MAX)] = {}
    tally: CountsTally = CountsTally()

    @property
    def turn(self) -> Turn:
        """As the port has it."""
        return Turn(sender=self.sender, number=self.number)


def encode_counts(commit: Commit, turn: Turn) -> bytes:
    """The body that a commit is sent in, at its turn."""
    document = CountsDocument(
        format=COUNTS,
        sender=turn.sender,
        number=turn.number,
        epoch=commit.epoch,
        deltas=[
            CountsDelta(
                version=delta.version,
                reference_id=delta.reference_id,
                segment=delta.segment,
                pane_start_us=int(delta.pane_start_us),
                rows=int(delta.rows),
                late=int(delta.late),
                payload=delta.payload,
            )
            for delta in commit.deltas
        ],
        marks=[CountsMark(key=mark.key, digest=mark.digest, answer=mark.answer) for mark in commit.marks],
        newest_us={version: int(newest_us) for version, newest_us in commit.newest_us.items()},
        tally=CountsTally(
            accepted=commit.tally.accepted,
            late=commit.tally.late,
            rejected=dict(commit.tally.rejected),
            ignored_cells=commit.tally.ignored_cells,
        ),
    )
    return msgspec.msgpack.encode(document)


def decode_counts(body: bytes) -> CountsDocument:
    """Read a body, as far as it can be judged without its model.

    Raises
    ------
    DecodeError
        400 not MessagePack, 422 of another format or not what was wanted; the text says which field.
    """
    try:
        document = _counts.decode(body)
    except msgspec.ValidationError as error:
        raise DecodeError(422, f"the counts are not valid: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(400, f"wanted MessagePack, of {COUNTS}, and all of it") from error
    if document.format != COUNTS:
        raise DecodeError(422, f"format: wanted {COUNTS}")
    return document


_counts: Final = msgspec.msgpack.Decoder(CountsDocument)
