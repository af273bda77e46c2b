"""The reference file: JSON, gzip'd when its name ends in `.gz`; written in one piece, read back bit for bit."""

import gzip
import os
import tempfile
import zlib
from pathlib import Path

import msgspec

from detectors.errors import ReferenceFormatError
from detectors.reference import Reference, from_form, to_form
from service.domain.durations import parse_duration_s, zone_of
from service.errors import DeclarationError, UnusableReferenceError

__all__ = ["read_reference", "reference_bytes", "reference_of_bytes", "write_reference"]

_GZIP_MAGIC = b"\x1f\x8b"
_INFLATED_MAX_BYTES = 2 << 30
"""What a compressed reference may inflate to; one of 5,000 columns and a year of hours takes a tenth of it."""


def reference_bytes(reference: Reference, *, compressed: bool) -> bytes:
    """Contents of the reference's file; the same for the same reference."""
    plain = msgspec.json.encode(to_form(reference)) + b"\n"
    return gzip.compress(plain, compresslevel=6, mtime=0) if compressed else plain


def write_reference(reference: Reference, path: Path) -> None:
    """Write a reference beside its final place, then move it there: a reader never sees half of it."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(reference_bytes(reference, compressed=path.suffix == ".gz"))
            os.chmod(temporary, 0o644)  # noqa: PTH101 - mkstemp made it private
            os.replace(temporary, path)  # noqa: PTH105
        except BaseException:
            os.unlink(temporary)  # noqa: PTH108
            raise
    except OSError as error:
        raise UnusableReferenceError(f"{path}: cannot be written ({error.strerror})") from error


def read_reference(path: Path) -> Reference:
    """Read a reference file.

    Raises
    ------
    UnusableReferenceError
        It cannot be read, is foreign, corrupt, or of a later format; the text says which and where.
    """
    try:
        if path.exists() and not path.is_file():
            raise UnusableReferenceError(f"{path}: not a regular file")
        if path.stat().st_size > _INFLATED_MAX_BYTES:
            raise UnusableReferenceError(f"{path}: larger than any reference")
        data = path.read_bytes()
    except OSError as error:
        raise UnusableReferenceError(f"{path}: cannot be read ({error.strerror})") from error
    return reference_of_bytes(data, str(path))


def reference_of_bytes(data: bytes, name: str) -> Reference:
    """Read a reference from the contents of its file; `name` is for messages."""
    try:
        form = msgspec.json.decode(_inflated(data) if data.startswith(_GZIP_MAGIC) else data)
        reference = from_form(form)
        parse_duration_s(reference.window)
        zone_of(reference.time_zone)
    except (zlib.error, EOFError) as error:
        raise UnusableReferenceError(f"{name}: cut off or corrupt (gzip)") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableReferenceError(f"{name}: not a Driftline reference: not JSON, or cut off") from error
    except (ReferenceFormatError, DeclarationError) as error:
        raise UnusableReferenceError(f"{name}: {error}") from error
    return reference


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    plain = inflater.decompress(data, _INFLATED_MAX_BYTES)
    if not inflater.eof or inflater.unused_data:
        raise EOFError
    return plain
