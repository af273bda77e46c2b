"""Rows on their way in."""

from collections.abc import Mapping
from dataclasses import dataclass

from detectors.binning import Values

__all__ = ["Batch"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Rows in columns, as a reader or decoder hands them on.

    Parameters
    ----------
    rows : int
    columns : mapping of str to Values
        Each of length `rows`. Where events may lack a column (NDJSON), its `absent` mask says in which rows.
    rejected : int
        Rows of the source that could not be read as rows; they are not among `rows`. A batch may hold nothing else.
    zoned : frozenset of str
        Columns whose datetime64 values are instants in UTC. In all others they are wall-clock times without a zone.
    file : str or None
        Name of the file that the rows come from.
    """

    rows: int
    columns: Mapping[str, Values]
    rejected: int = 0
    zoned: frozenset[str] = frozenset()
    file: str | None = None
