"""What the parts of the settings say of each other. Pure."""

from collections.abc import Collection, Iterator

from detectors.catalog import CATALOG
from service.domain.redis_address import redis_address
from service.domain.yaml_tree import Place
from service.settings.documents import AuthSettings, ModelSettings, Settings, StoreSettings

__all__ = ["cross_faults"]

_STATISTICS = frozenset(detector.name for detector in CATALOG)


def cross_faults(settings: Settings, targets: Collection[str]) -> Iterator[tuple[Place, str]]:
    """Place and text of each contradiction; `targets` are the names of all targets, also of faulty ones."""
    if settings.auth == AuthSettings() and not settings.server.loopback:
        yield ("server", "host"), "without keys wanted a loopback address such as 127.0.0.1; or say `auth: none`"
    if isinstance(settings.auth, AuthSettings):
        yield from _repeated_keys(settings.auth)
    if settings.store.is_upstream:
        for section in ("models", "targets"):
            if getattr(settings, section):
                yield (section,), "wanted none: a sidecar has its models from the centre, which decides and tells"
    yield from _of_store(settings.store)
    if len(settings.models) > settings.limits.models_max:
        yield ("models",), f"{len(settings.models):,} models; limits.models_max is {settings.limits.models_max:,}"
    for name, model in settings.models.items():
        for place, text in _of_model(model, targets, settings.limits.versions_max):
            yield ("models", name, *place), text


def _of_store(store: StoreSettings) -> Iterator[tuple[Place, str]]:
    if store.url is None or store.is_upstream:
        return
    address = redis_address(store.url)
    for name in ("tls_ca_file", "tls_certificate_file", "tls_key_file"):
        if getattr(store, name) is not None and not address.tls:
            yield ("store", name), "is of no use: store.url is without TLS"
    if store.tls_key_file is not None and store.tls_certificate_file is None:
        yield ("store", "tls_key_file"), "wanted store.tls_certificate_file with it"
    if store.sentinel_password_file is not None and address.kind != "sentinel":
        yield ("store", "sentinel_password_file"), "is of no use: store.url names no Sentinels"
    if store.replicas_acknowledge and address.kind == "cluster":
        yield ("store", "replicas_acknowledge"), "cannot be had of a cluster; there is min-replicas-to-write"


def _repeated_keys(auth: AuthSettings) -> Iterator[tuple[Place, str]]:
    for field in ("name", "hash"):
        seen = set()
        for index, key in enumerate(auth.keys):
            if getattr(key, field) in seen:
                yield ("auth", "keys", index, field), "an earlier key has the same"
            seen.add(getattr(key, field))


def _of_model(model: ModelSettings, targets: Collection[str], versions_max: int) -> Iterator[tuple[Place, str]]:
    named: list[tuple[Place, str]] = [(("notify", index), name) for index, name in enumerate(model.notify)]
    named += [(("triggers", index, "target"), trigger.target) for index, trigger in enumerate(model.triggers)]
    for place, target in named:
        if target not in targets:
            yield place, "no target has this name"
    for index, statistic in enumerate(model.metrics.statistics):
        if statistic not in _STATISTICS:
            yield ("metrics", "statistics", index), "wanted one of " + ", ".join(sorted(_STATISTICS))
    yield from _of_versions(model, versions_max)


def _of_versions(model: ModelSettings, versions_max: int) -> Iterator[tuple[Place, str]]:
    if len(model.versions) > versions_max:
        yield ("versions",), f"{len(model.versions):,} versions; limits.versions_max is {versions_max:,}"
    if model.versions and model.default_version is not None and model.default_version not in model.versions:
        yield ("default_version",), "no version has this name"
    for name, version in model.versions.items():
        if version.id is not None and version.reference is None:
            yield ("versions", name, "id"), "wanted a reference with it"
