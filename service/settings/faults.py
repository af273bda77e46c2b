"""What is wrong with settings: where, and what was wanted. Never what stands there, which may be a secret.

The texts are pydantic's, in our words; what it found is left out already (`include_input=False`).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from service.domain.configuration import NAME_PATTERN
from service.domain.yaml_tree import Place
from service.errors import DeclarationError

__all__ = ["Fault", "SettingsError", "faults_of"]

_TEXTS: Final = {
    "missing": "is missing",
    "string_type": "wanted text; numbers, dates, yes and no need quotes to be text",
    "model_type": "wanted a mapping",
    "model_attributes_type": "wanted a mapping",
    "dict_type": "wanted a mapping",
    "tuple_type": "wanted a list",
    "list_type": "wanted a list",
    "set_type": "wanted a list",
    "frozen_set_type": "wanted a list",
    "int_type": "wanted a whole number",
    "int_parsing": "wanted a whole number",
    "int_from_float": "wanted a whole number",
    "float_type": "wanted a number",
    "float_parsing": "wanted a number",
    "byte_size": "wanted a number of bytes, or one with a unit such as 64MiB",
    "byte_size_unit": "wanted a number of bytes, or one with a unit such as 64MiB",
}
_NAME_TEXT: Final = "wanted a name: letters, digits, dots, dashes and underscores, a letter or digit first, at most 128"
_SHOULD: Final = re.compile(r"^\w+ should (be|have) ")
_LEADING_NAME: Final = re.compile(r"(\w+): ")


class SettingsError(DeclarationError):
    """Settings that cannot be used; `faults` has one line each."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Parameters
    ----------
    text : str
        What is wrong, and what was wanted.
    place : str, optional
        Dotted path of the setting.
    line : int, optional
        In the file, from 1.
    variable : str, optional
        Of the environment, when the value comes from there.
    """

    text: str
    place: str = ""
    line: int | None = None
    variable: str | None = None

    def located(self, name: str) -> str:
        """As one line, with the name of the file."""
        if self.variable is not None:
            return f"{self.variable}: {self.text}"
        return ": ".join(filter(None, (f"{name}:{self.line}" if self.line else name, self.place, self.text)))


def faults_of(error: ValidationError, data: Any, schema: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Place and text of each fault of a document; several of one place (a union's) are made one."""
    found: dict[Place, dict[str, None]] = {}
    for fault in error.errors(include_input=False, include_url=False):
        place, at = _place(fault["loc"], data)
        text = _text(fault)
        if fault["type"] == "missing":
            place = (*place, fault["loc"][-1])
        elif fault["type"] == "extra_forbidden":
            text = "unknown setting" + _nearest(str(place[-1]), schema, place[:-1])
        elif (leading := _LEADING_NAME.match(text)) and isinstance(at, dict) and leading[1] in at:
            place, text = (*place, leading[1]), text[leading.end() :]
        found.setdefault(place, {})[text] = None
    for place, texts in found.items():
        yield place, ", or ".join(texts)


def _place(location: tuple[str | int, ...], data: Any) -> tuple[Place, Any]:
    """The steps of a location that are steps of the data, and where they lead; others are names of union members."""
    place: list[str | int] = []
    for step in location:
        inside = step in data if isinstance(data, dict) else isinstance(data, list) and step in range(len(data))
        if inside:
            data = data[step]
            place.append(step)
    return tuple(place), data


def _text(fault: Mapping[str, Any]) -> str:
    kind, message = fault["type"], fault["msg"]
    if kind == "string_pattern_mismatch":
        pattern = fault["ctx"]["pattern"]
        return _NAME_TEXT if pattern == NAME_PATTERN else f"wanted text that matches {pattern}"
    if kind == "value_error":
        return str(message.removeprefix("Value error, "))
    return _TEXTS.get(kind) or _SHOULD.sub("wanted ", message)


def _nearest(name: str, schema: Mapping[str, Any], place: Place) -> str:
    nodes = [schema]
    for step in place:
        nodes = [child for node in _members(nodes, schema) for child in _children(node, step)]
    known = {known for node in _members(nodes, schema) for known in node.get("properties", ())}
    nearest = get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def _members(nodes: Sequence[Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Nodes of a JSON schema, with references followed and unions taken apart."""
    for node in nodes:
        if "$ref" in node:
            yield from _members([schema["$defs"][node["$ref"].rpartition("/")[2]]], schema)
        yield node
        yield from _members([*node.get("anyOf", ()), *node.get("oneOf", ())], schema)


def _children(node: Mapping[str, Any], step: str | int) -> Iterator[Any]:
    if step in node.get("properties", ()):
        yield node["properties"][step]
    yield from node.get("patternProperties", {}).values()
    yield from (node[name] for name in ("additionalProperties", "items") if isinstance(node.get(name), dict))
