"""YAML as plain data that knows its lines.

Stricter and kinder than a plain load, where people fall over it: a key that stands twice is a fault (a plain load keeps the
last and says nothing), keys are always text (`2011:` and `yes:` are names here, not a number and a boolean), and aliases are
followed only so far (nested ones can make billions of values of a few lines). All faults are collected, none is raised.

Values never show in faults.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml.constructor import SafeConstructor

__all__ = ["Place", "YamlFault", "YamlTree", "read_yaml"]

Place = tuple[str | int, ...]
"""Keys and indices that lead to a value."""

_VALUES_MAX: Final = 200_000  # a thousand models with all their settings are some 30,000
_DEPTH_MAX: Final = 50
_MERGE: Final = "tag:yaml.org,2002:merge"
_COLLECTIONS: Final = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFault:
    """What is wrong, and in which line (from 1)."""

    line: int | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlTree:
    """A document.

    Parameters
    ----------
    data : object
        Dictionaries, lists and scalars; None when the text is empty or is no YAML.
    lines : mapping
        Line, from 1, of each key and item.
    faults : tuple of YamlFault
    """

    data: Any
    lines: Mapping[Place, int]
    faults: tuple[YamlFault, ...]


def read_yaml(text: str) -> YamlTree:
    """Read one YAML document."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        return _unreadable(YamlFault(line=mark.line + 1 if mark else None, text="not YAML"))
    if root is None:
        return YamlTree(data=None, lines={}, faults=())
    reader = _Reader()
    try:
        data = reader.read(root, ())
    except _TooMuchError:
        return _unreadable(YamlFault(line=None, text="nested too deeply, or more values than any configuration has"))
    return YamlTree(data=data, lines=reader.lines, faults=tuple(dict.fromkeys(reader.faults)))


def _unreadable(fault: YamlFault) -> YamlTree:
    return YamlTree(data=None, lines={}, faults=(fault,))


class _TooMuchError(Exception):
    pass


class _Reader:
    def __init__(self) -> None:
        self.lines: dict[Place, int] = {}
        self.faults: list[YamlFault] = []
        self._left = _VALUES_MAX
        self._scalars = SafeConstructor()

    def read(self, node: yaml.Node, place: Place, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _DEPTH_MAX:
            raise _TooMuchError
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in _COLLECTIONS:
            self._fault(node, "a tag that is not known here")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, depth)
        items = enumerate(node.value)
        return [self._at(item, item, (*place, index), depth) for index, item in items]

    def _at(self, marked: yaml.Node, value: yaml.Node, place: Place, depth: int) -> Any:
        self.lines[place] = marked.start_mark.line + 1
        return self.read(value, place, depth + 1)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):  # a date that is none, a number of a thousand digits, a foreign tag
            self._fault(node, "a value that cannot be read; as text it needs quotes")
            return None

    def _mapping(self, node: yaml.MappingNode, place: Place, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for merged in reversed(
            list(_merged(node))
        ):  # the first of several wins, and keys of the mapping's own over all
            if isinstance(merged, yaml.MappingNode):
                data |= self.read(merged, place, depth + 1)
            else:
                self._fault(merged, "<< wants a mapping")
        own: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fault(key, "a key that is not text")
            elif key.tag != _MERGE:
                if key.value in own:
                    self._fault(key, "repeats a key")
                own.add(key.value)
                data[key.value] = self._at(key, value, (*place, key.value), depth)
        return data

    def _fault(self, node: yaml.Node, text: str) -> None:
        self.faults.append(YamlFault(line=node.start_mark.line + 1, text=text))


def _merged(node: yaml.MappingNode) -> Iterator[yaml.Node]:
    for key, value in node.value:
        if key.tag == _MERGE:
            yield from value.value if isinstance(value, yaml.SequenceNode) else (value,)
