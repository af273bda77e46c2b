"""What the service refuses.

::

    DriftlineError
    +-- InputError              data that cannot be read: which file, which row or column, what was wanted
    +-- DeclarationError        columns.yaml or an option that contradicts itself or the data
    +-- UnusableReferenceError  a reference file that is foreign, corrupt, or does not fit the request
    +-- PayloadError            stored counts or sketches that are corrupt, of a later version, or do not fit together
    +-- StoreUnavailableError   the store cannot be reached, is full, or is read-only: try again later

Texts never hold a value of a row. Adapters translate once, at their border, `from error`.
"""

__all__ = [
    "DeclarationError",
    "DriftlineError",
    "InputError",
    "PayloadError",
    "StoreUnavailableError",
    "UnusableReferenceError",
]


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


class StoreUnavailableError(DriftlineError):
    """The store cannot be reached, is full, or is read-only; nothing was written, and trying again later may help."""
