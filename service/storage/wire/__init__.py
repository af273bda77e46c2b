"""What sidecars and their centre say to one another: pure, versioned.

Counts name what they were counted by: the epoch of the model. Any change of its configuration or activations moves it on,
and what was counted by another one is refused whole. So a sidecar need not know of a change in time, and nothing can be
counted by the wrong reference: the rows are still there, and are counted again.

Times are microseconds since the epoch.
"""

from service.storage.wire.counting import (
    COUNTING,
    ActivationDocument,
    CountingDocument,
    CountsAnswer,
    EpochsDocument,
    KnownRequest,
    VersionProgress,
    read_document,
)
from service.storage.wire.counts import (
    COUNTS,
    COUNTS_TYPE,
    ROWS_MAX,
    CountsDelta,
    CountsDocument,
    CountsMark,
    decode_counts,
    encode_counts,
)

__all__ = [
    "COUNTING",
    "COUNTS",
    "COUNTS_TYPE",
    "ROWS_MAX",
    "ActivationDocument",
    "CountingDocument",
    "CountsAnswer",
    "CountsDelta",
    "CountsDocument",
    "CountsMark",
    "EpochsDocument",
    "KnownRequest",
    "VersionProgress",
    "decode_counts",
    "encode_counts",
    "read_document",
]
