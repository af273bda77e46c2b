"""The file and the environment to settings, or to all their faults at once.

Paths in the file are relative to the folder of the file, so that it means the same wherever the service is started; paths
from the environment and defaults are relative to where it is started.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from service.domain.yaml_tree import Place, YamlFault, YamlTree, read_yaml
from service.settings.checks import cross_faults
from service.settings.documents import Settings
from service.settings.environment import overlaid, secret_variables
from service.settings.faults import Fault, SettingsError, faults_of

__all__ = ["fault_in", "load_settings", "settings_schema"]

_FILE_BYTES_MAX: Final = 1 << 20
"""A thousand models take a fifth of it; PyYAML reads some 100 kB a second."""


_STORE_PATHS: Final = (
    "path",
    "password_file",
    "sentinel_password_file",
    "tls_ca_file",
    "tls_certificate_file",
    "tls_key_file",
)


def load_settings(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Read the settings of a file, or the defaults, with the environment laid over.

    Raises
    ------
    SettingsError
        With every fault: its file and line or its variable, its path, and what was wanted.
    """
    name = "settings" if path is None else str(path)
    tree = YamlTree(data={}, lines={}, faults=()) if path is None else _tree_of(path)
    data = _with_paths(_without_empty(tree.data), Path() if path is None else path.parent)
    data, origins, unknown = overlaid(data, environment, frozenset(secret_variables(data.get("targets"))))
    settings, found = _validated(data)
    faults = [Fault(line=fault.line, text=fault.text) for fault in tree.faults] + unknown
    faults += [_located(place, text, tree, origins) for place, text in found]
    if faults:
        raise SettingsError([fault.located(name) for fault in sorted(faults, key=lambda fault: fault.line or 0)])
    return settings


def fault_in(path: Path, place: Place, text: str) -> str:
    """One line for a fault that was found later, such as in a file that the settings name."""
    return _located(place, text, read_yaml(_text_of(path)), {}).located(str(path))


@cache
def settings_schema() -> dict[str, Any]:
    """JSON Schema of the file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Settings.model_json_schema()


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_BYTES_MAX + 1)
        if len(content) > _FILE_BYTES_MAX:
            raise SettingsError([f"{path}: larger than {_FILE_BYTES_MAX:,} bytes"])
        return content.decode("utf-8-sig")
    except OSError as error:
        raise SettingsError([f"{path}: cannot be read ({error.strerror})"]) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError([f"{path}:{line}: not UTF-8"]) from error


def _tree_of(path: Path) -> YamlTree:
    tree = read_yaml(_text_of(path))
    if tree.data is None and not tree.faults:
        return replace(tree, data={})
    if not isinstance(tree.data, dict):
        faults = tree.faults or (YamlFault(line=1, text="wanted a mapping"),)
        raise SettingsError([Fault(line=fault.line, text=fault.text).located(str(path)) for fault in faults])
    return tree


def _validated(data: dict[str, Any]) -> tuple[Settings, list[tuple[Place, str]]]:
    """Settings and their faults; when there are any, only so much of the settings as has none."""
    found: list[tuple[Place, str]] = []
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        found += faults_of(error, data, settings_schema())
        settings = _salvaged(data)
    return settings, found + list(cross_faults(settings, _inside(data, "targets")))


def _without_empty(data: dict[str, Any]) -> dict[str, Any]:
    """`limits:` with nothing below it, as when all of it is commented out, is no fault; so are models and versions."""
    data = {name: section for name, section in data.items() if section is not None}
    if isinstance(data.get("models"), dict):
        data["models"] = {name: _model(model) for name, model in data["models"].items()}
    return data


def _model(model: Any) -> Any:
    if model is None:
        return {}
    if isinstance(model, dict) and isinstance(model.get("versions"), dict):
        versions = {name: {} if version is None else version for name, version in model["versions"].items()}
        return model | {"versions": versions}
    return model


def _with_paths(data: dict[str, Any], folder: Path) -> dict[str, Any]:
    store, models = data.get("store"), data.get("models")
    if isinstance(store, dict):
        named = {name: str(folder / store[name]) for name in _STORE_PATHS if isinstance(store.get(name), str)}
        data["store"] = store | named
    for model in models.values() if isinstance(models, dict) else ():
        versions = model.get("versions") if isinstance(model, dict) else None
        for version in versions.values() if isinstance(versions, dict) else ():
            reference = version.get("reference") if isinstance(version, dict) else None
            if isinstance(reference, str) and reference and "://" not in reference:
                version["reference"] = str(folder / reference)
    return data


def _salvaged(data: Mapping[str, Any]) -> Settings:
    """Faulty data without its faulty parts: what the others say of each other can be checked already."""
    rest = deepcopy(dict(data))
    while True:  # each round takes something out
        try:
            return Settings.model_validate(rest)
        except ValidationError as error:
            for place, _ in list(faults_of(error, rest, {})):
                _prune(rest, place)


def _prune(data: dict[str, Any], place: Place) -> None:
    """Take out the setting that holds a place; lists go as a whole, so that the items of others keep their numbers."""
    match place:
        case ("auth", *_):
            data["auth"] = "none"  # that there are no keys would be the next fault, and is not true
        case ("models", str(model), "versions", str(version), _, *_):
            _inside(data, "models", model, "versions")[version] = {}  # it is there: others may name it
        case ("models", str(model), str(field), *_):
            _inside(data, "models", model).pop(field, None)
        case (str(section), str(name), *_):
            _inside(data, section).pop(name, None)
        case _:
            data.pop(str(place[0]), None)


def _inside(data: Any, *path: str) -> dict[str, Any]:
    for step in path:
        data = data.get(step)
    return data if isinstance(data, dict) else {}


def _located(place: Place, text: str, tree: YamlTree, origins: Mapping[tuple[str, ...], str]) -> Fault:
    line = next((tree.lines[place[:end]] for end in range(len(place), 0, -1) if place[:end] in tree.lines), None)
    variable = next((variable for origin, variable in origins.items() if origin == place), None)
    return Fault(text=text, place=".".join(map(str, place)), line=line, variable=variable)
