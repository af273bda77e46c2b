"""Models and their references.

An epoch is drawn for all models before it is written, so it never comes back, not even in a model that is made again.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from service.ports import Activation, ModelRow, ReferenceRow
from service.storage.redis import drawing, index, keys
from service.storage.redis.packing import Blob
from service.storage.redis.server import Server

__all__ = [
    "activate",
    "delete_model",
    "delete_reference",
    "document",
    "epochs",
    "models",
    "put_model",
    "put_reference",
    "reference",
    "references",
]


async def models(server: Server, names: Sequence[str]) -> Sequence[ModelRow]:
    """Those of some models that there are."""
    found = await server.reads("model", [(keys.model(name), {}) for name in names])
    return [_row(name, *row) for name, row in zip(names, found, strict=True) if row]


async def epochs(server: Server, names: Sequence[str]) -> Mapping[str, int]:
    """Epoch of each of some models that there are."""
    found = await server.commands([("HGET", f"{keys.model(name)}row", "epoch") for name in names])
    return {name: int(epoch) for name, epoch in zip(names, found, strict=True) if epoch is not None}


async def put_model(
    server: Server, model: str, configuration: bytes, owner: Literal["api", "file"], epoch: int | None
) -> int | None:
    """Make a model (epoch None) or change it (its epoch); the new epoch."""
    await index.enlist(server, "models", [model])
    given = {"known": "" if epoch is None else str(epoch), "owner": owner, "configuration": configuration}
    return await _with_new_epoch(server, "put_model", model, given, epoch)


async def activate(server: Server, model: str, epoch: int, activation: Activation) -> int | None:
    """Append an activation; the new epoch."""
    given = {
        "known": str(epoch),
        "activation": msgspec.msgpack.encode(activation),
        "reference": activation.reference_id,
    }
    return await _with_new_epoch(server, "activate", model, given, epoch)


async def delete_model(server: Server, model: str) -> bool:
    """Drop a model and all that is kept of it."""
    return bool(await server.write("delete_model", keys.model(model), {"names": keys.MODEL_KEYS}))


async def put_reference(server: Server, row: ReferenceRow, document: bytes | None) -> None:
    """Keep a reference or the state of a job."""
    await index.enlist(server, "models", [row.model])
    given: dict[str, object] = {"id": row.id, "state": row.state, "row": msgspec.msgpack.encode(row)}
    if document is not None:
        given["document"] = Blob(document)
    await server.write("put_reference", keys.model(row.model), given)


async def references(server: Server, model: str) -> Sequence[ReferenceRow]:
    """Of a model, in the order they were made."""
    rows = [_reference(row) for row in await server.read("references", keys.model(model))]
    return sorted(rows, key=lambda row: row.created_at_us)


async def reference(server: Server, model: str, reference_id: str) -> ReferenceRow | None:
    """One of them."""
    found = await server.command("HGET", f"{keys.model(model)}references", reference_id)
    return None if found is None else _reference(found)


async def document(server: Server, model: str, reference_id: str) -> bytes | None:
    """Document of a ready reference."""
    row, found = await server.read("reference_document", keys.model(model), {"id": reference_id})
    return found if row is not None and _reference(row).state == "ready" else None


async def delete_reference(server: Server, model: str, reference_id: str) -> bool:
    """Drop one that no activation names and no pane needs."""
    given = {"id": reference_id, "quoted": keys.quoted(reference_id)}
    return bool(await server.write("delete_reference", keys.model(model), given))


async def _with_new_epoch(
    server: Server, script: str, model: str, given: Mapping[str, object], known: int | None
) -> int | None:
    epoch = await drawing.epoch(server, known)
    return epoch if await server.write(script, keys.model(model), {**given, "epoch": str(epoch)}) else None


def _row(name: str, epoch: bytes, owner: bytes, configuration: bytes, activations: Sequence[bytes]) -> ModelRow:
    return ModelRow(
        model=name,
        epoch=int(epoch),
        owner="file" if owner == b"file" else "api",
        configuration=configuration,
        activations=tuple(msgspec.msgpack.decode(activation, type=Activation) for activation in activations),
    )


def _reference(row: bytes) -> ReferenceRow:
    return msgspec.msgpack.decode(row, type=ReferenceRow)
