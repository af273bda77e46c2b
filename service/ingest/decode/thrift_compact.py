"""Structs in Thrift's compact protocol, as the footer and the page headers of Parquet are written.

A field is a byte with the step from the last field's number and the type, then its value; a number is a varint in zigzag
order; a struct ends with a zero byte. Read are structs, lists and numbers; text is passed over.
"""

from typing import Any, Final, TypeAlias

__all__ = ["BrokenStructError", "Fields", "read_struct"]

Fields: TypeAlias = dict[int, Any]
"""Values by field number: int, dict of a struct, list, or None for what was passed over."""

_DEPTH_MAX: Final = 8  # a unit of time in a logical type in the schema lies six deep
_VARINT_BITS_MAX: Final = 70
_CONTINUED: Final = 0x80
_LONG_LIST: Final = 15

# Types of fields; in lists a boolean is a byte.
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12


class BrokenStructError(ValueError):
    """The bytes are no struct, or break off."""


def read_struct(data: bytes, at: int, end: int) -> tuple[Fields, int]:
    """Read the struct that starts at a place; its fields, and where it ends.

    Raises
    ------
    BrokenStructError
        There is no whole struct before `end`.
    """
    reader = _Reader(data, at, min(end, len(data)))
    return reader.struct(0), reader.at


class _Reader:
    def __init__(self, data: bytes, at: int, end: int) -> None:
        self._data = data
        self._end = end
        self.at = at

    def struct(self, depth: int) -> Fields:
        if depth > _DEPTH_MAX:
            raise BrokenStructError
        fields: Fields = {}
        number = 0
        while head := self._byte():
            step = head >> 4
            number = number + step if step else self._integer()
            kind = head & 0x0F
            fields[number] = None if kind in _BOOLEANS else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _INTEGERS:
            return self._integer()
        if kind == _BINARY:
            self._skip(self._varint())
        elif kind == _STRUCT:
            return self.struct(depth + 1)
        elif kind in _LISTS:
            return self._list(depth)
        elif kind == _DOUBLE:
            self._skip(8)
        elif kind == _BYTE or kind in _BOOLEANS:
            self._skip(1)
        else:  # maps, of which Parquet has none
            raise BrokenStructError
        return None

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        size = head >> 4
        if size == _LONG_LIST:
            size = self._varint()
        if size > self._end - self.at:  # every element takes a byte at least
            raise BrokenStructError
        return [self._value(head & 0x0F, depth) for _ in range(size)]

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        byte = self._byte()
        if byte < _CONTINUED:
            return byte
        value = byte & 0x7F
        for shift in range(7, _VARINT_BITS_MAX, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < _CONTINUED:
                return value
        raise BrokenStructError

    def _byte(self) -> int:
        at = self.at
        if at >= self._end:
            raise BrokenStructError
        self.at = at + 1
        return self._data[at]

    def _skip(self, size: int) -> None:
        self.at += size
        if self.at > self._end:
            raise BrokenStructError
