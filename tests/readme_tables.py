"""The tables of the README that are made from the code, between `<!-- made: NAME -->` and `<!-- end -->`.

From the root of the repository, to renew them::

    PYTHONPATH=. python tests/readme_tables.py
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from service.domain.targets import SecretReference, TargetConfiguration
from service.exporter.catalogue import CATALOGUE
from service.settings import (
    VARIABLES,
    LimitSettings,
    ModelSettings,
    ServerSettings,
    StoreSettings,
    VersionSettings,
)

README = Path(__file__).parent.parent / "README.md"
MARKED = re.compile(r"(<!-- made: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
SETS_OF_LABELS = {
    ("model", "version", "segment", "window", "column", "role"): "*column*",
    ("model", "version", "segment", "window"): "*window*",
    ("model", "version"): "*version*",
}


def settings() -> Iterator[str]:
    yield "| setting | default | variable | meaning |\n|---|---|---|---|\n"
    variables = {place: name for name, place in VARIABLES.items()}
    for section, document in (("server", ServerSettings), ("store", StoreSettings), ("limits", LimitSettings)):
        for path, field in fields_of(document):
            yield f"| `{section}.{path}` | {default_of(field)} | `{variables[section, path]}` | {field.description} |\n"
    yield f"| `auth` | by key | `{variables[('auth',)]}` | `none`: everybody may do everything; the variable can only be `none` |\n"


def models() -> Iterator[str]:
    yield "| setting of a model | default | meaning |\n|---|---|---|\n"
    yield from rows_of(ModelSettings, but=("versions",))
    yield from rows_of(VersionSettings, prefix="versions.V.")


def targets() -> Iterator[str]:
    yield "| setting of a target | default | meaning |\n|---|---|---|\n"
    yield from rows_of(TargetConfiguration)


def metrics() -> Iterator[str]:
    yield "| metric | type | labels | meaning |\n|---|---|---|---|\n"
    for metric in CATALOGUE:
        yield f"| `{metric.name}` | {metric.type} | {labels_of(metric.labels)} | {metric.help} |\n"


TABLES = {table.__name__: table for table in (settings, models, targets, metrics)}


def renewed(text: str) -> str:
    """A README with its tables as they should be."""
    return MARKED.sub(lambda found: f"{found[1]}{''.join(TABLES[found[2]]())}{found[4]}", text)


def rows_of(document: type[BaseModel], prefix: str = "", but: tuple[str, ...] = ()) -> Iterator[str]:
    for path, field in fields_of(document):
        if path not in but:
            yield f"| `{prefix}{path}` | {default_of(field)} | {field.description or ''} |\n"


def fields_of(document: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Fields by their path; those of a document within a document, or of a list of them, stand for it."""
    for name, field in document.model_fields.items():
        inner = inner_of(field.annotation)
        if inner is None:
            yield prefix + name, field
        else:
            yield from fields_of(inner, f"{prefix}{name}{'[]' if field.annotation is not inner else ''}.")


def inner_of(annotation: Any) -> type[BaseModel] | None:
    """The document that a field is, or is a list of; a reference to a secret is a value."""
    listed = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
    is_document = isinstance(listed, type) and issubclass(listed, BaseModel) and listed is not SecretReference
    return listed if is_document else None


def default_of(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    match value:
        case _ if value is PydanticUndefined:
            return "needed"
        case None | () | "":
            return "none"
        case dict() if not value:
            return "none"
        case ByteSize():
            return f"`{value.human_readable().replace('.0', '')}`"
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return f"`[{', '.join(map(str, value))}]`"
        case _:
            return f"`{value}`"


def labels_of(labels: tuple[str, ...]) -> str:
    for known, word in SETS_OF_LABELS.items():
        if labels[: len(known)] == known:
            return ", ".join([word, *(f"`{label}`" for label in labels[len(known) :])])
    return ", ".join(f"`{label}`" for label in labels)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
