"""The store in memory: what the port says, in as few words as possible. For tests, and to hold the others to."""

from service.storage.memory.state import State
from service.storage.memory.store import MemoryStore

__all__ = ["MemoryStore", "State"]
