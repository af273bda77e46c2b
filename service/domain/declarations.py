"""What a user declares of a column."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from detectors.columns import Kind

__all__ = ["AnyRole", "ColumnDeclaration"]

AnyRole = Literal["input", "output", "label", "id", "time", "dimension", "ignore"]


class ColumnDeclaration(BaseModel):
    """What is declared of one column; what is not is inferred."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: AnyRole | None = None
    kind: Kind | None = None
