"""Which files a list of paths means.

A folder means every file below it, in the order of their relative names, links followed. What starts with `_` or `.`
is left out, because engines keep their own things under such names (`_SUCCESS`, `_metadata`, `.part-0.crc`,
`_delta_log/`). Nothing else is: a file of an unknown format is refused by name, since data left out in silence looks
like all the data.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from service.errors import InputError

__all__ = ["DataFile", "Format", "files_of"]

Format: TypeAlias = Literal["parquet", "arrow", "csv", "ndjson"]

_FORMATS: Final[dict[str, Format]] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".csv": "csv",
    ".csv.gz": "csv",
    ".ndjson": "ndjson",
    ".ndjson.gz": "ndjson",
    ".jsonl": "ndjson",
    ".jsonl.gz": "ndjson",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One file of data.

    Parameters
    ----------
    path : Path
    name : str
        For people: relative to the folder that was given; the path as given where that would be ambiguous.
    format : Format
    size_bytes : int
        On disk, compressed if it is.
    """

    path: Path
    name: str
    format: Format
    size_bytes: int

    @property
    def gzipped(self) -> bool:
        """Whether the bytes on disk are a gzip stream around the format."""
        return self.path.name.lower().endswith(".gz")


def files_of(paths: Sequence[Path]) -> tuple[DataFile, ...]:
    """List the data files that paths mean, in the order they are read.

    Raises
    ------
    InputError
        A path is missing, unreadable, given twice, of no known format, or an empty folder.
    """
    if not paths:
        raise InputError("no data: name at least one file or folder")
    files: list[DataFile] = []
    seen: dict[Path, Path] = {}
    for root in paths:
        try:
            found = list(_files_below(root))
        except OSError as error:
            raise InputError(f"{error.filename or root}: {error.strerror or error}") from error
        for file in found:
            first = seen.setdefault(file.path.resolve(), file.path)
            if first is not file.path:
                raise InputError(f"{file.path}: the same file as {first}; its rows would be counted twice")
        files += found
    uses = Counter(file.name for file in files)
    return tuple(file if uses[file.name] == 1 else replace(file, name=str(file.path)) for file in files)


def _files_below(root: Path) -> Iterator[DataFile]:
    if not root.exists():
        raise InputError(f"{root}: no such file or folder")
    if not root.is_dir():
        yield _data_file(root, root.name)
        return
    found = sorted((path.relative_to(root).as_posix(), path) for path in _walk(root, ()))
    if not found:
        raise InputError(f"{root}: the folder holds no data files; wanted {_known()}")
    for name, path in found:
        yield _data_file(path, name)


def _walk(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    here = folder.resolve()
    if here in above:
        raise InputError(f"{folder}: a link to a folder above it")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith((".", "_")):
                continue
            path = folder / entry.name
            if entry.is_dir():
                yield from _walk(path, (*above, here))
            else:
                yield path


def _data_file(path: Path, name: str) -> DataFile:
    suffix = "".join(part.lower() for part in path.suffixes[-2:])
    known = _FORMATS.get(suffix) or _FORMATS.get(path.suffix.lower())
    if known is None:
        raise InputError(f"{path}: not a known format; wanted {_known()}")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: not a regular file; data is read twice, so it cannot be a pipe")
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # names need not be UTF-8, documents must
    return DataFile(path=path, name=name, format=known, size_bytes=path.stat().st_size)


def _known() -> str:
    return ", ".join(_FORMATS)
