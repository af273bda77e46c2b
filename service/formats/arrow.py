"""Parquet and Arrow IPC by pyarrow, imported when the first such file is read: it is large, and not for everybody.

Parquet is decoded without read-ahead and without threads, since both hold several row groups at once. Repetitive text
is taken over in the codes it is stored in: 4 ns a cell, against 60 for decoding and encoding it again. Arrow files
are mapped, so that a file written as one huge batch is sliced and not loaded.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from service.domain import Batch
from service.errors import InputError
from service.formats.arrow_values import is_zoned, values_of
from service.formats.files import DataFile

__all__ = ["read_arrow", "read_parquet"]

_ROWS_MAX = 65_536
_CELLS_MAX = 1 << 22
_BATCH_BYTES_MAX = 1 << 26
_BUFFER_BYTES = 1 << 16  # a column at a time; without it a whole column of a row group
_PLAIN_LENGTH_BYTES = 4  # what plain Parquet text spends on the length of each value
_IPC_FILE_MAGIC = b"ARROW1"
_FEATHER_V1_MAGIC = b"FEA1"


def read_parquet(file: DataFile, wanted: Collection[str] | None) -> Iterator[tuple[Batch, int]]:
    """Batches of a Parquet file, each with the bytes of the file consumed so far: its share of the rows.

    Raises
    ------
    InputError
        The file is corrupt or cut off, has a column twice, or pyarrow is not installed.
    """
    pa = _pyarrow(file)
    try:
        yield from _parquet(file, wanted)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(file, "Parquet", error) from error


def read_arrow(file: DataFile, wanted: Collection[str] | None) -> Iterator[tuple[Batch, int]]:
    """Batches of an Arrow IPC file or stream, each with the bytes of the file consumed so far.

    Raises
    ------
    InputError
        The file is corrupt or cut off, has a column twice, or pyarrow is not installed.
    """
    pa = _pyarrow(file)
    try:
        yield from _ipc(file, wanted)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(file, "Arrow IPC", error) from error


def _pyarrow(file: DataFile) -> Any:
    try:
        import pyarrow as pa  # noqa: PLC0415 - 120 MB, and half a second
    except ImportError as error:
        raise InputError(f"{file.name}: reading it takes pyarrow: pip install 'driftline[arrow]'") from error
    return pa


def _unreadable(file: DataFile, wanted: str, error: Exception) -> InputError:
    # The texts of pyarrow's errors may hold values.
    said = "text that is not UTF-8" if isinstance(error, UnicodeDecodeError) else type(error).__name__
    return InputError(f"{file.name}: cannot be read as {wanted}: cut off, corrupt or of another format ({said})")


def _parquet(file: DataFile, wanted: Collection[str] | None) -> Iterator[tuple[Batch, int]]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    metadata = pq.read_metadata(file.path)
    names = _names(file, metadata.schema.to_arrow_schema(), wanted)
    with pq.ParquetFile(
        file.path,
        metadata=metadata,
        read_dictionary=_repetitive(metadata),
        buffer_size=_BUFFER_BYTES,
        pre_buffer=False,
    ) as parquet:
        rows_max = max(1, min(_rows_max(len(names)), _BATCH_BYTES_MAX // _row_bytes(metadata)))
        rows = 0
        for record_batch in parquet.iter_batches(rows_max, columns=names, use_threads=False):
            rows += record_batch.num_rows
            yield _batch(record_batch, wanted), file.size_bytes * rows // max(1, metadata.num_rows)


def _repetitive(metadata: Any) -> list[str]:
    # Text columns stored as codes that take well under what plain text would: their dictionary is small beside the
    # rows. Of others the dictionary grows with every batch of a row group, and would be decoded again for each.
    if not metadata.num_row_groups:
        return []
    group = metadata.row_group(0)
    chunks = (group.column(i) for i in range(group.num_columns))
    return [
        chunk.path_in_schema
        for chunk in chunks
        if chunk.physical_type == "BYTE_ARRAY"
        and chunk.has_dictionary_page
        and chunk.total_uncompressed_size * 2 <= chunk.num_values * _PLAIN_LENGTH_BYTES
    ]


def _row_bytes(metadata: Any) -> int:
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    return max((1 + group.total_byte_size // max(1, group.num_rows) for group in groups), default=1)


def _ipc(file: DataFile, wanted: Collection[str] | None) -> Iterator[tuple[Batch, int]]:
    import pyarrow as pa  # noqa: PLC0415 - as above

    with pa.memory_map(str(file.path)) as mapped:
        magic = mapped.read(len(_IPC_FILE_MAGIC))
        if magic.startswith(_FEATHER_V1_MAGIC):
            raise InputError(f"{file.name}: Feather of version 1, which pyarrow no longer reads; write it as version 2")
        opened = pa.ipc.open_file if magic == _IPC_FILE_MAGIC else pa.ipc.open_stream
        mapped.seek(0)
        schema = opened(mapped).schema
        names = _names(file, schema, wanted)
        # No fields at all means every field to pyarrow; what is not wanted is dropped later.
        options = pa.ipc.IpcReadOptions(included_fields=[schema.names.index(name) for name in names], use_threads=False)
        mapped.seek(0)
        reader = opened(mapped, options=options)
        is_file = magic == _IPC_FILE_MAGIC
        record_batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else iter(reader)
        rows_max = _rows_max(len(names))
        for i, record_batch in enumerate(record_batches):
            end = file.size_bytes * (i + 1) // reader.num_record_batches if is_file else mapped.tell()
            for row in range(0, record_batch.num_rows, rows_max):
                yield _batch(record_batch.slice(row, rows_max), wanted), end


def _names(file: DataFile, schema: Any, wanted: Collection[str] | None) -> list[str]:
    repeated = [name for name, uses in Counter(schema.names).items() if uses > 1]
    if repeated:
        raise InputError(f"{file.name}: has the columns {', '.join(map(repr, repeated))} twice")
    return [name for name in schema.names if wanted is None or name in wanted]


def _rows_max(n_columns: int) -> int:
    return max(1, min(_ROWS_MAX, _CELLS_MAX // max(1, n_columns)))


def _batch(record_batch: Any, wanted: Collection[str] | None) -> Batch:
    # Codes out of range and broken text would crash what comes after; the check is 1 ns a cell.
    record_batch.validate(full=True)
    columns = {
        field.name: record_batch.column(i)
        for i, field in enumerate(record_batch.schema)
        if wanted is None or field.name in wanted
    }
    return Batch(
        rows=record_batch.num_rows,
        columns={name: values_of(array) for name, array in columns.items()},
        zoned=frozenset(name for name, array in columns.items() if is_zoned(array.type)),
    )
