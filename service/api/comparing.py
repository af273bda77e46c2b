"""How a reference compares with the one before it, over HTTP."""

import msgspec
from pydantic import BaseModel, Field

from detectors.columns import Kind, Role
from service.api.context import Context
from service.api.problem import Problem
from service.ports import ReferenceRow
from service.references.comparison import Comparison, compare, comparison_document
from service.registry.models import LiveModel, LiveReference

__all__ = ["ComparisonDocument", "compared_with", "comparison_of", "identity_of"]


class ComparedColumnDocument(BaseModel):
    """A column of both references; PSI and KS are right to about a bin."""

    name: str
    role: Role
    kind: Kind
    psi: float | None
    ks: float | None
    missing_before: float | None
    missing_after: float | None


class KindChangeDocument(BaseModel):
    """A column that was of another kind."""

    name: str
    before: Kind
    after: Kind


class ComparisonDocument(BaseModel):
    """A reference beside the one before it; the strongest change first."""

    before: str
    after: str
    rows_before: int
    rows_after: int
    sentence: str
    columns: list[ComparedColumnDocument]
    added: list[str] = Field(description="Columns that only the new one has")
    removed: list[str] = Field(description="Columns that only the old one has")
    kinds: list[KindChangeDocument]


def comparison_of(comparison: Comparison | None) -> ComparisonDocument | None:
    """What is said of a comparison; None where there was none before."""
    return None if comparison is None else ComparisonDocument.model_validate(comparison_document(comparison))


async def compared_with(
    context: Context, model: LiveModel, version: str, reference_id: str, other: str
) -> ComparisonDocument | None:
    """Compare a reference with another one, or with the active one of its version.

    Raises
    ------
    Problem
        404: one of them is not there, or not ready.
    """
    known = model.version(version)
    active = None if known is None else known.active
    if other == "active" and active is None:
        raise Problem(404, "the version has no active reference to compare with")
    before = active if other == "active" and active is not None else await _reference(context, model.model, other)
    return comparison_of(await compare(before, await _reference(context, model.model, reference_id)))


async def _reference(context: Context, model: str, reference_id: str) -> LiveReference:
    row = await context.store.reference(model, reference_id)
    if row is None or row.state != "ready":
        raise Problem(404, "no such reference of the model is ready")
    return await context.registry.reference(model, identity_of(row))


def identity_of(row: ReferenceRow) -> str:
    """Id of a finished reference, also where it is asked for by the job that made it."""
    identity: str = msgspec.json.decode(row.summary).get("reference_id", row.id)
    return identity
