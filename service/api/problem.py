"""Errors as `application/problem+json` (RFC 9457): which field or row, and what was wanted; never a value.

References
----------
.. [1] RFC 9457, "Problem Details for HTTP APIs".
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from service.errors import (
    DeclarationError,
    DecodeError,
    DriftlineError,
    InputError,
    StoreUnavailableError,
    UnusableReferenceError,
)
from service.ingest.buffer import BufferFullError
from service.ingest.rounds import GoneError, KeyReusedError, RefusedError
from service.references.jobs import ActivationError, UploadTooLargeError

__all__ = ["CONTENT_TYPE", "Problem", "problem_of"]

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 1


class Problem(Exception):  # noqa: N818 - it is what RFC 9457 calls it
    """An answer that is an error.

    Parameters
    ----------
    status : int
    detail : str
    errors : sequence of mapping
        Each with what it is about (`field`, `row`, `column`) and `reason`.
    retry_after_s : int, optional
    headers : mapping, optional
    """

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Iterable[Mapping[str, Any]] = (),
        *,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors: Sequence[Mapping[str, Any]] = list(errors)
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["Retry-After"] = str(retry_after_s)

    @property
    def title(self) -> str:
        """Name of its status."""
        return HTTPStatus(self.status).phrase

    def body(self) -> bytes:
        """Contents of the response."""
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "errors": self.errors,
        }
        return msgspec.json.encode(document)


_STATUS_OF: tuple[tuple[type[DriftlineError], int], ...] = (
    (BufferFullError, 429),
    (StoreUnavailableError, 503),
    (KeyReusedError, 422),
    (GoneError, 404),
    (RefusedError, 502),
    (UploadTooLargeError, 413),
    (ActivationError, 409),
    (InputError, 422),
    (DeclarationError, 422),
    (UnusableReferenceError, 422),
)


def problem_of(error: DriftlineError) -> Problem:
    """The answer to an error of the service's own tree."""
    if isinstance(error, DecodeError):
        errors = [{"row": one.row, "column": one.column, "reason": one.reason} for one in error.errors]
        return Problem(error.status, str(error), errors)
    status = next((status for kind, status in _STATUS_OF if isinstance(error, kind)), 422)
    retry_after_s = RETRY_AFTER_S if status in {429, 503} else None
    return Problem(status, str(error), retry_after_s=retry_after_s)
