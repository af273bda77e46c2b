"""Data files as one source of batches that can be read more than once."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

from service.domain import Batch
from service.errors import InputError
from service.formats.arrow import read_arrow, read_parquet
from service.formats.csv import read_csv
from service.formats.files import DataFile, files_of
from service.formats.ndjson import read_ndjson

__all__ = ["Source", "open_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Data files, in the order they are read.

    Parameters
    ----------
    files : tuple of DataFile
    """

    files: tuple[DataFile, ...]

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes of the files: what progress ends at."""
        return sum(file.size_bytes for file in self.files)

    def batches(
        self,
        columns: Collection[str] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Iterator[Batch]:
        """Read all files once, in order.

        Parameters
        ----------
        columns : collection of str, optional
            Columns to read; all by default. Those that a file lacks are not in its batches.
        on_progress : callable, optional
            Called with the bytes of input consumed since the start of the pass, from 0 to `size_bytes`.

        Yields
        ------
        Batch
            Never across two files. A column that a file lacks is not among its columns.

        Raises
        ------
        InputError
            A file is unreadable, corrupt, cut off, or has changed since the source was opened.
        """
        wanted = None if columns is None else frozenset(columns)
        before = 0
        for file in self.files:
            _check_unchanged(file)
            for batch, consumed_bytes in _read(file, wanted):
                if on_progress is not None:
                    on_progress(before + min(consumed_bytes, file.size_bytes))
                yield replace(batch, file=file.name)
            before += file.size_bytes
            if on_progress is not None:
                on_progress(before)


def open_source(paths: Sequence[Path]) -> Source:
    """Find the data files that paths mean; their contents are not looked at yet.

    Parameters
    ----------
    paths : sequence of Path
        Files or folders.

    Returns
    -------
    Source

    Raises
    ------
    InputError
        A path is missing, unreadable, given twice, of no known format, or an empty folder.
    """
    return Source(files=files_of(paths))


def _read(file: DataFile, wanted: frozenset[str] | None) -> Iterator[tuple[Batch, int]]:
    match file.format:
        case "csv":
            return read_csv(file, wanted)
        case "ndjson":
            return read_ndjson(file, wanted)
        case "parquet":
            return read_parquet(file, wanted)
        case "arrow":
            return read_arrow(file, wanted)
        case _:
            assert_never(file.format)


def _check_unchanged(file: DataFile) -> None:
    # Bins from one pass and counts from another must be of the same rows.
    try:
        size_bytes = file.path.stat().st_size
    except OSError as error:
        raise InputError(f"{file.name}: {error.strerror}") from error
    if size_bytes != file.size_bytes:
        raise InputError(f"{file.name}: changed while it was read: {file.size_bytes} bytes, now {size_bytes}")
