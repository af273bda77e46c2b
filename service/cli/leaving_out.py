"""Imports without what they bring along and nobody uses: an eighth of the start, and 5 MB.

structlog asks for rich, to draw tracebacks that our logs never show; httpx for pygments, for a command line of its own;
FastAPI for the first pydantic, to recognise models that are made with it. All three take the absence for an answer. scipy
copies every name of numpy, and so imports f2py, which reads Fortran; that it does not ask, so it is given an empty module.
What is left out can be imported as ever once the imports are through.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Final

__all__ = ["ABSENT", "leaving_out"]

ABSENT: Final = ("rich", "pygments", "pydantic.v1")
"""Packages that those who ask for them can do without."""

_EMPTY: Final = "numpy.f2py"


@contextmanager
def leaving_out(absent: Sequence[str] = ABSENT) -> Iterator[None]:
    """Import as if these packages, and f2py, were not there; those that are there already stay.

    Parameters
    ----------
    absent : sequence of str
    """
    import numpy as np  # noqa: PLC0415 - commands that do not serve need not wait for it

    left_out = [name for name in absent if name not in sys.modules]
    hollow = _EMPTY not in sys.modules
    sys.modules.update(dict.fromkeys(left_out))  # type: ignore[arg-type]  # None is how the import system says "absent"
    if hollow:
        sys.modules[_EMPTY] = np.f2py = ModuleType(_EMPTY)
    try:
        yield
    finally:
        for name in left_out:
            del sys.modules[name]
        if hollow:
            del sys.modules[_EMPTY], np.f2py
