"""The store in one SQLite file, which any number of processes may open at a time."""

from service.storage.sqlite.store import Durability, SqliteStore

__all__ = ["Durability", "SqliteStore"]
