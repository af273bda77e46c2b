"""What the service refuses.

::

    DriftlineError
    +-- InputError              data that cannot be read: which file, which row or column, what was wanted
    +-- DeclarationError        columns.yaml or an option that contradicts itself or the data
    +-- UnusableReferenceError  a reference file that is foreign, corrupt, or does not fit the request
    +-- PayloadError            stored counts or sketches that are corrupt, of a later version, or do not fit together
    +-- DecodeError             a request body that cannot be taken: the HTTP status, and what was wanted
    +-- StoreUnavailableError   the store cannot be reached, is full, or is read-only: try again later
        +-- UnusableStoreError  the store is not ours, damaged, or refuses who we are: waiting alone does not help

Texts never hold a value of a row. Adapters translate once, at their border, `from error`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = [
    "NOT_KNOWN",
    "DeclarationError",
    "DecodeError",
    "DriftlineError",
    "InputError",
    "PayloadError",
    "RowError",
    "StoreUnavailableError",
    "UnusableReferenceError",
    "UnusableStoreError",
]

NOT_KNOWN: Final = "is not known"
"""Stands in the text of a `StoreUnavailableError` where a write may have been done; all others say that nothing was."""


class DriftlineError(Exception):
    """Root of everything that the service says itself."""


class InputError(DriftlineError):
    """Data cannot be read; the text names the file and what was wanted."""


class DeclarationError(DriftlineError):
    """A declaration or an option contradicts itself or the data."""


class UnusableReferenceError(DriftlineError):
    """A reference file is foreign, corrupt, or does not fit the request."""


class PayloadError(DriftlineError):
    """Stored counts or sketches are corrupt, of a later version, or do not fit together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowError:
    """One row that was refused, or one column: where, and what was wanted. Rows are counted from 1."""

    row: int
    column: str | None = None
    reason: str


class DecodeError(DriftlineError):
    """A request body cannot be taken; the text says what was wanted.

    Parameters
    ----------
    status : int
        Of HTTP: 400 unreadable, 413 too large, 415 not a type that is taken, 422 readable but not valid.
    detail : str
    errors : sequence of RowError
        Where it is wrong, if that can be told.
    """

    def __init__(self, status: int, detail: str, errors: Sequence[RowError] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)


class StoreUnavailableError(DriftlineError):
    """The store cannot be reached, is full, or is read-only; nothing was written, and trying again later may help."""


class UnusableStoreError(StoreUnavailableError):
    """The store is of another layout, damaged, or refuses who we are: somebody has to change it, or the settings."""
