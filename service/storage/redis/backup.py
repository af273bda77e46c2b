"""Copies of all that a store holds, in a file, and back.

Each model is copied at one moment, and models one after the other. Counters are copied last, so that no number that a model
has used is drawn again. Values are in the form of DUMP, which a Redis of the same version or a later one takes back.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from service.errors import StoreUnavailableError
from service.storage.redis import index, keys
from service.storage.redis.server import Server

__all__ = ["load", "save"]

_MAGIC: Final = b"driftline redis copy 1\n"
_LENGTH_BYTES: Final = 8
_COMMON: Final = ("layout", "models", "outbox", "targets_disabled", "counters")

_Values = list[tuple[bytes, bytes]]


async def save(server: Server, path: Path) -> None:
    """Write a copy, which appears when it is whole.

    Raises
    ------
    StoreUnavailableError
        Also if the file cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        await asyncio.to_thread(part.write_bytes, _MAGIC)
        for name in sorted({*await index.names(server, "models"), *await index.names(server, "outbox")}):
            values = await server.read("dump", keys.model(name), {"names": keys.MODEL_KEYS})
            await asyncio.to_thread(_append, part, values)
        values = await server.read("dump", keys.ALL, {"names": _COMMON})
        await asyncio.to_thread(_append, part, values)
        await asyncio.to_thread(part.replace, path)
    except OSError as error:
        raise StoreUnavailableError(f"backup: the file cannot be written ({error.strerror})") from error
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)


async def load(server: Server, path: Path) -> None:
    """Put a copy into a Redis that holds no model.

    Raises
    ------
    StoreUnavailableError
        Also if the file is no whole copy, or the Redis holds models already.
    """
    if await index.names(server, "models"):
        raise StoreUnavailableError("restore: this Redis holds models already")
    try:
        content = await asyncio.to_thread(path.read_bytes)
        parts = list(_parts(content))
    except (OSError, msgspec.DecodeError) as error:
        raise StoreUnavailableError("restore: the file is no whole copy of a store in Redis") from error
    for values in parts:
        await server.commands([("RESTORE", key, 0, value, "REPLACE") for key, value in values])


def _append(path: Path, values: _Values) -> None:
    packed = msgspec.msgpack.encode(values)
    with path.open("ab") as file:
        file.write(len(packed).to_bytes(_LENGTH_BYTES, "little") + packed)


def _parts(content: bytes) -> Iterator[_Values]:
    if not content.startswith(_MAGIC):
        raise msgspec.DecodeError
    at = len(_MAGIC)
    while at < len(content):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(content[at:start], "little")
        yield msgspec.msgpack.decode(content[start:at], type=_Values)
