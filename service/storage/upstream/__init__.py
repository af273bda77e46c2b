"""The store of a sidecar: a central Driftline, which is sent counts and decides.

It has no more of a store than rows need on their way (`service.ports.CountsStore`). Nothing is kept here but what the centre
said last: how far versions have come, and its time.
"""

from service.storage.upstream.centre import Patience
from service.storage.upstream.store import UpstreamStore

__all__ = ["Patience", "UpstreamStore"]
