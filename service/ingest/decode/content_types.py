"""Which format a body is in, by its content type."""

from email.message import Message
from typing import Final, Literal, TypeAlias

from service.errors import DecodeError

__all__ = ["BodyFormat", "format_of"]

BodyFormat: TypeAlias = Literal["json", "ndjson", "csv", "arrow", "parquet"]

_FORMATS: Final[dict[str, BodyFormat]] = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/vnd.apache.parquet": "parquet",
}
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii"})


def format_of(content_type: str) -> BodyFormat | None:
    """Find the format of a content type, or None for one that is not known.

    Raises
    ------
    DecodeError
        415: text of another character set than UTF-8, or CSV without a header.
    """
    if ";" not in content_type:
        return _FORMATS.get(content_type.strip().lower())
    message = Message()
    message["content-type"] = content_type.replace("\r", " ").replace("\n", " ")
    found = _FORMATS.get(message.get_content_type())
    if found in {"json", "ndjson", "csv"} and _parameter(message, "charset", "utf-8") not in _CHARSETS:
        raise DecodeError(415, "text in another character set; wanted charset=utf-8")
    if found == "csv" and _parameter(message, "header", "present") == "absent":
        raise DecodeError(415, "CSV without a header; wanted a first line with the names of the columns")
    return found


def _parameter(message: Message, name: str, default: str) -> str:
    value = message.get_param(name, default)
    return str(value).strip().lower()
