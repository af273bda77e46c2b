"""Values to bins to counts."""

from detectors.binning.binner import Binner
from detectors.binning.edges import Edges, Family, edges_of
from detectors.binning.kernel import ranks
from detectors.binning.layout import Layout, layout_of
from detectors.binning.numbers import as_numbers
from detectors.binning.table import Table, table_of
from detectors.binning.values import ColumnValues, DictionaryValues, TextValues, Values

__all__ = [
    "Binner",
    "ColumnValues",
    "DictionaryValues",
    "Edges",
    "Family",
    "Layout",
    "Table",
    "TextValues",
    "Values",
    "as_numbers",
    "edges_of",
    "layout_of",
    "ranks",
    "table_of",
]
