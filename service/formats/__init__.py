"""Data files to batches: streamed, with bounded memory, as often as wanted."""

from service.formats.files import DataFile, Format
from service.formats.source import Source, open_source

__all__ = ["DataFile", "Format", "Source", "open_source"]
