"""Models that the configuration file owns: applied at start-up, read-only over the API."""

from pathlib import Path

import httpx
import structlog

from detectors.reference import Reference, reference_id
from service.domain.configuration import ModelConfiguration
from service.errors import UnusableReferenceError
from service.ports import Store
from service.references.jobs import ReferenceJobs
from service.registry.models import Registry
from service.registry.reference_file import read_reference, reference_of_bytes
from service.settings import ModelSettings, Settings, VersionSettings

__all__ = ["apply_models"]

_FETCH_TIMEOUT_S = 60.0


async def apply_models(settings: Settings, store: Store, registry: Registry, jobs: ReferenceJobs) -> None:
    """Make the store's models those of the file; a model that has left the file belongs to the API from then on.

    Raises
    ------
    UnusableReferenceError
        A reference cannot be read, or is not the one that was declared.
    """
    for row in await store.models():
        if row.owner == "file" and row.model not in settings.models:
            await store.put_model(row.model, row.configuration, "api", row.epoch)
    for name, declared in settings.models.items():
        await _put(store, name, _configuration(declared))
        await registry.refresh(name)
        for version, wanted in declared.versions.items():
            if wanted.reference is not None:
                reference = await _reference(name, version, wanted)
                kept = await jobs.keep(name, reference)
                await jobs.activate(name, version, kept.id, None)
    await registry.refresh()


def _configuration(declared: ModelSettings) -> ModelConfiguration:
    """The configuration with its versions without a reference among those that learn."""
    configuration = declared.configuration
    learning = [version for version, wanted in declared.versions.items() if wanted.reference is None]
    versions = tuple(dict.fromkeys((*configuration.learning.versions, *learning)))
    return configuration.model_copy(
        update={"learning": configuration.learning.model_copy(update={"versions": versions})}
    )


async def _put(store: Store, name: str, configuration: ModelConfiguration) -> None:
    document = configuration.model_dump_json().encode()
    known = await store.model(name)
    if known is not None and known.owner == "file" and known.configuration == document:
        return
    await store.put_model(name, document, "file", None if known is None else known.epoch)
    structlog.get_logger().info("model configured", model=name)


async def _reference(name: str, version: str, wanted: VersionSettings) -> Reference:
    source = str(wanted.reference)
    if wanted.is_url:
        try:
            async with httpx.AsyncClient(timeout=_FETCH_TIMEOUT_S, follow_redirects=True) as client:
                answer = await client.get(source)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise UnusableReferenceError(f"reference of {name} {version}: {type(error).__name__}") from error
        reference = reference_of_bytes(answer.content, f"reference of {name} {version}")
    else:
        reference = read_reference(Path(source))
    if wanted.id is not None and reference_id(reference) != wanted.id:
        raise UnusableReferenceError(f"reference of {name} {version}: another id than the one declared")
    return reference
