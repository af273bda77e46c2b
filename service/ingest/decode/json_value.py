"""One JSON text to Python objects.

msgspec decodes it. What msgspec refuses is tried once more with pydantic-core, because Python's own `json` writes the
tokens NaN and Infinity, and numbers beyond 1.8e308 are infinite. Of a key that is there twice the last value counts.
"""

import re
from typing import Any, Final

import msgspec
import pydantic_core

__all__ = ["REFUSED", "UnreadableError", "json_value"]

REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoders of msgspec raise."""

_POSITION: Final = re.compile(r"\(byte (\d+)\)")

_decode = msgspec.json.Decoder().decode


class UnreadableError(ValueError):
    """A text is not JSON; the message says where or why, and holds nothing of the text."""


def json_value(text: bytes) -> Any:
    """Decode a JSON text.

    Raises
    ------
    UnreadableError
        It is not JSON, not UTF-8, nested too deeply, or holds an integer of more than 4,300 digits.
    """
    try:
        return _decode(text)
    except RecursionError:
        raise UnreadableError("nested too deeply") from None
    except UnicodeDecodeError:
        raise UnreadableError("text that is not UTF-8") from None
    except msgspec.DecodeError as error:
        refused = error
    if isinstance(refused, msgspec.ValidationError) or b"N" in text or b"I" in text:
        try:
            return pydantic_core.from_json(text)
        except ValueError:
            pass
    raise UnreadableError(_where(refused)) from None


def _where(error: msgspec.DecodeError) -> str:
    # The libraries' own texts are not passed on: they may quote what they read.
    position = _POSITION.search(str(error))
    if position is not None:
        return f"not JSON near byte {position[1]}"
    return "a number too long" if isinstance(error, msgspec.ValidationError) else "cut off, or broken text in it"
