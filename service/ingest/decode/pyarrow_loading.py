"""pyarrow, for those who have installed it: imported with the first body that needs it, which takes half a second."""

from collections.abc import Iterator
from typing import Any, TypeVar

from service.errors import DecodeError

__all__ = ["pyarrow", "translated"]

_T = TypeVar("_T")


def pyarrow() -> Any:
    """Import it.

    Raises
    ------
    DecodeError
        415: it is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - 120 MB, and half a second
    except ImportError:
        raise DecodeError(
            415, "Arrow and Parquet are not installed here: pip install 'driftline[arrow]', or send NDJSON"
        ) from None
    return pa


def translated(parts: Iterator[_T], wanted: str) -> Iterator[_T]:
    """Pass on what a reader gives; whatever pyarrow says of hostile bytes is one error of ours."""
    try:
        yield from parts
    except DecodeError:
        raise
    except Exception as error:  # noqa: BLE001 - there is no closed list of what pyarrow raises; its texts may hold values
        said = type(error).__name__
        raise DecodeError(
            400, f"the body cannot be read as {wanted}: cut off, corrupt or of another format ({said})"
        ) from None
