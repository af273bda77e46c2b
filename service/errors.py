"""What the service refuses.

::

    DriftlineError
    +-- InputError              data that cannot be read: which file, which row or column, what was wanted
    +-- DeclarationError        columns.yaml or an option that contradicts itself or the data
    +-- UnusableReferenceError  a reference file that is foreign, corrupt, or does not fit the request

Texts never hold a value of a row. Adapters translate once, at their border, `from error`.
"""

__all__ = ["DeclarationError", "DriftlineError", "InputError", "UnusableReferenceError"]


class DriftlineError(Exception):
    """Root of everything that is the caller's to mend."""


class InputError(DriftlineError):
    """Data cannot be read; the text names the file and what was wanted."""


class DeclarationError(DriftlineError):
    """A declaration or an option contradicts itself or the data."""


class UnusableReferenceError(DriftlineError):
    """A reference file is foreign, corrupt, or does not fit the request."""
