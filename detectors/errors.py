"""What the detectors refuse.

::

    ValueError
    +-- ReferenceFormatError    a reference document is foreign, corrupt, or of a later format
"""

__all__ = ["ReferenceFormatError"]


class ReferenceFormatError(ValueError):
    """A reference document cannot be read; the text says where it broke and what was wanted."""
