"""Bytes of text files, unzipped, with one kind of error."""

import gzip
import io
import zlib
from typing import IO

from service.errors import InputError
from service.formats.files import DataFile

__all__ = ["LINE_BYTES_MAX", "ByteStream"]

LINE_BYTES_MAX = 10_000_000
"""Longest line of a text file: what is longer is another format, and would have to be held in memory whole."""


class ByteStream(io.BufferedIOBase):
    """The bytes of a file after decompression.

    Parameters
    ----------
    file : DataFile

    Raises
    ------
    InputError
        The file cannot be opened; later, from any method that reads: it cannot be read, or its gzip stream is broken.
    """

    def __init__(self, file: DataFile) -> None:
        self.name = file.name
        try:
            self._disk: IO[bytes] = file.path.open("rb")
        except OSError as error:
            raise InputError(f"{file.name}: {error.strerror}") from error
        self._bytes: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=self._disk) if file.gzipped else self._disk

    @property
    def consumed_bytes(self) -> int:
        """Bytes on disk that have been read."""
        return self._disk.tell()

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Bytes, as many as asked for unless the file ends."""
        try:
            return self._bytes.read(-1 if size is None else size)
        except EOFError as error:
            raise InputError(f"{self.name}: the gzip stream is cut off") from error
        except (gzip.BadGzipFile, zlib.error) as error:  # their texts hold bytes of the file
            raise InputError(f"{self.name}: not a gzip stream, or a broken one") from error
        except OSError as error:
            raise InputError(f"{self.name}: cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        self._disk.close()
        super().close()
