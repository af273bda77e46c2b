"""What the detectors refuse.

::

    ValueError
    +-- ReferenceFormatError    a reference document is foreign, corrupt, or of a later format
    +-- SketchFormatError       bytes of a sketch are foreign, corrupt, or of a later format
    +-- EmptyReferenceError     nothing is there to make a reference of: no row, or no column that can be watched
"""

__all__ = ["EmptyReferenceError", "ReferenceFormatError", "SketchFormatError"]


class ReferenceFormatError(ValueError):
    """A reference document cannot be read; the text says where it broke and what was wanted."""


class SketchFormatError(ValueError):
    """Bytes of a sketch cannot be read; the text says where they broke."""


class EmptyReferenceError(ValueError):
    """There is no row, or no column that can be watched, to make a reference of."""
