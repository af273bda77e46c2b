"""What a process does once all that it starts with is there."""

import ctypes
import gc
from typing import Final

__all__ = ["settle_down"]

_GC_THRESHOLD: Final = 25_000, 20, 50
"""Requests make no cycles: the collector finds next to nothing, and by default looks after every 700 objects."""


def settle_down() -> None:
    """Keep what lives now out of the collector's way, and give back what the start needed."""
    # What lives now lives until the end: the collector need not look at it again.
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLD)
    _give_memory_back()


def _give_memory_back() -> None:
    """Return to the system what the start needed and nobody needs any more: 3 MB of 106, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
