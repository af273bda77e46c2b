"""Models and their references."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

__all__ = ["Activation", "JobState", "ModelRow", "ModelsStore", "ReferenceRow"]

JobState: TypeAlias = Literal["receiving", "building", "replaying", "ready", "failed"]
"""Of a reference on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """That rows from an event time on are counted with a reference; the first of a version has no beginning (None)."""

    version: str
    reference_id: str
    from_us: int | None
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A model.

    Parameters
    ----------
    model : str
    epoch : int
        Grows with every change of this row; never comes back, not even when a deleted model is made again, or when a backup is
        restored from before it was drawn, unless the clock was set back: it is the time, or one more than the last.
    owner : {"api", "file"}
        Who may change its configuration.
    configuration : bytes
        JSON of `ModelConfiguration`.
    activations : sequence of Activation
        In the order they were made.
    """

    model: str
    epoch: int
    owner: Literal["api", "file"]
    configuration: bytes
    activations: Sequence[Activation] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRow:
    """A reference of a model version, or the job that makes one.

    Parameters
    ----------
    id : str
        Content hash of a finished reference, or id of the job.
    state : {"receiving", "building", "replaying", "ready", "failed"}
    created_at_us, updated_at_us : int
    summary : bytes
        JSON for lists: rows, columns, findings, progress, the reason of a failure.
    """

    id: str
    model: str
    version: str
    state: JobState
    created_at_us: int
    updated_at_us: int
    summary: bytes


class ModelsStore(Protocol):
    """Who is watched, and against what."""

    async def models(self) -> Sequence[ModelRow]:
        """All of them, by name."""
        ...

    async def put_model(
        self, model: str, configuration: bytes, owner: Literal["api", "file"], epoch: int | None
    ) -> int | None:
        """Make a model (epoch None) or change it (its epoch); the new epoch, or None if that was not how it stood."""
        ...

    async def delete_model(self, model: str) -> bool:
        """Drop a model and all that is kept of it, its pending notices too; whether there was one."""
        ...

    async def put_reference(self, row: ReferenceRow, document: bytes | None) -> None:
        """Keep a reference (ready: with its document) or the state of a job; replaces the row of the same model and id."""
        ...

    async def references(self, model: str) -> Sequence[ReferenceRow]:
        """Of a model, in the order they were made."""
        ...

    async def reference(self, model: str, reference_id: str) -> ReferenceRow | None:
        """One of them."""
        ...

    async def delete_reference(self, model: str, reference_id: str) -> bool:
        """Drop one that no activation names and no pane needs; whether it was dropped."""
        ...

    async def activate(self, model: str, epoch: int, activation: Activation) -> int | None:
        """Append an activation; the new epoch, or None if the model's was another one."""
        ...
