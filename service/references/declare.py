"""`columns.yaml`: what the user declares of the columns."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from detectors.binning.points import RESOLUTION, RESOLUTION_MAX, RESOLUTION_MIN
from detectors.reference import CATEGORIES_MAX
from service.domain.declarations import ColumnDeclaration
from service.domain.durations import zone_of
from service.domain.yaml_tree import read_yaml
from service.errors import DeclarationError, InputError

__all__ = ["Declarations", "read_declarations"]


class Declarations(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_zone: str = "UTC"
    resolution: int = Field(default=RESOLUTION, ge=RESOLUTION_MIN, le=RESOLUTION_MAX)
    categories_max: int = Field(default=CATEGORIES_MAX, ge=1, le=100_000)
    columns: dict[str, ColumnDeclaration] = Field(default_factory=dict)

    @property
    def time_column(self) -> str | None:
        """The column that is declared to be the time."""
        return next((name for name, column in self.columns.items() if column.role == "time"), None)


def read_declarations(path: Path) -> Declarations:
    """Read `columns.yaml`.

    Raises
    ------
    InputError
        The file cannot be read.
    DeclarationError
        It is not YAML, or says what it must not; the text names the place and what was wanted.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: cannot be read ({type(error).__name__})") from error
    tree = read_yaml(text)
    if tree.faults:
        fault = tree.faults[0]
        raise DeclarationError(f"{path.name}: {fault.text}" + (f", line {fault.line}" if fault.line else ""))
    try:
        declarations = Declarations.model_validate({} if tree.data is None else tree.data)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg'].lower()}" for fault in error.errors()
        )
        raise DeclarationError(f"{path.name}: {faults}") from error
    zone_of(declarations.time_zone)
    if sum(column.role == "time" for column in declarations.columns.values()) > 1:
        raise DeclarationError(f"{path.name}: more than one column has the role 'time'")
    return declarations
