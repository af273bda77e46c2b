"""Data files to batches: streamed, with bounded memory, as often as wanted."""

from service.references.readers.files import DataFile, Format
from service.references.readers.source import Source, open_source

__all__ = ["DataFile", "Format", "Source", "open_source"]
