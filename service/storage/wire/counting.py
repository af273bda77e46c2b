"""What a sidecar must know of a model to count as the centre does, and what it is answered: JSON.

`driftline.counting/1` is the epoch of a model, the part of its configuration that binning needs, its activations, how far its
versions have come, and the time.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from service.errors import PayloadError
from service.ports import Activation, Mark, ModelRow, Progress

__all__ = [
    "COUNTING",
    "ActivationDocument",
    "CountingDocument",
    "CountsAnswer",
    "EpochsDocument",
    "KnownRequest",
    "VersionProgress",
    "read_document",
]

COUNTING: Final = "driftline.counting/1"

_Document = TypeVar("_Document")


class VersionProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a version has come at the centre."""

    version: str
    newest_us: int
    advanced_at_us: int

    @classmethod
    def of(cls, progress: Progress) -> "VersionProgress":
        """What a sidecar needs of it."""
        return cls(version=progress.version, newest_us=progress.newest_us, advanced_at_us=progress.advanced_at_us)

    def progress(self, model: str) -> Progress:
        """As the port has it; of what a sidecar has no need, there is nothing."""
        return Progress(
            model=model,
            version=self.version,
            newest_us=self.newest_us,
            advanced_at_us=self.advanced_at_us,
            oldest_us=self.newest_us,
            evaluated_until_us=None,
            dirty={},
        )


class KnownRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a sender that was counted before; in JSON its bytes are base64."""

    key: str
    digest: bytes
    answer: bytes

    @classmethod
    def of(cls, mark: Mark) -> "KnownRequest":
        """Of its mark."""
        return cls(key=mark.key, digest=mark.digest, answer=mark.answer)

    def mark(self) -> Mark:
        """As the port has it."""
        return Mark(key=self.key, digest=self.digest, answer=self.answer)


class CountsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch.

    Parameters
    ----------
    counted : bool
        Whether it is in the centre's store, by this attempt or an earlier one.
    duplicate : bool
        Whether it was an earlier one.
    known : sequence of KnownRequest
        If it is not: requests in it that were counted before, which are to be left out.
    now_us : int
        The centre's clock.
    progress : sequence of VersionProgress
    """

    counted: bool
    duplicate: bool
    known: Sequence[KnownRequest] = ()
    now_us: int
    progress: Sequence[VersionProgress] = ()


class ActivationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """That rows of a version are counted with a reference from an event time on; the first has no beginning."""

    version: str
    reference_id: str
    from_us: int | None
    at_us: int


class CountingDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`driftline.counting/1`: what must be known of a model to count as the centre does.

    `keys_kept_us` is for how long the centre knows a request again by its key.
    """

    format: str
    model: str
    epoch: int
    configuration: msgspec.Raw
    activations: Sequence[ActivationDocument]
    now_us: int
    keys_kept_us: int = 86_400_000_000
    progress: Sequence[VersionProgress] = ()

    def row(self) -> ModelRow:
        """As the port has it."""
        return ModelRow(
            model=self.model,
            epoch=self.epoch,
            owner="api",
            configuration=bytes(self.configuration),
            activations=tuple(
                Activation(version=one.version, reference_id=one.reference_id, from_us=one.from_us, at_us=one.at_us)
                for one in self.activations
            ),
        )


class EpochsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Epochs of models, and the time."""

    epochs: Mapping[str, int]
    now_us: int


def read_document(body: bytes, kind: type[_Document]) -> _Document:
    """Read a JSON document of the centre's.

    Raises
    ------
    PayloadError
        It is something else.
    """
    try:
        document = msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError("the centre's answer is not one that this program reads") from error
    if isinstance(document, CountingDocument) and document.format != COUNTING:
        raise PayloadError(f"the centre's answer is of another format; this program reads {COUNTING}")
    return document
