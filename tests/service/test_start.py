"""What the service imports at its start."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.leaving_out import ABSENT, leaving_out

ROOT = Path(__file__).parents[2]
HEAVY = (*ABSENT, "numpy.f2py", "pyarrow", "scipy.stats")


def test_serving_imports_nothing_that_it_does_not_use():
    script = (
        "import sys\n"
        "from service.cli.leaving_out import leaving_out\n"
        "with leaving_out():\n"
        "    import service.app\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        "import numpy.f2py, rich.traceback, pydantic.v1\n"
        "print(callable(numpy.f2py.compile if hasattr(numpy.f2py, 'compile') else numpy.f2py.run_main))\n"
    )

    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert ran.stdout.split("\n")[:2] == ["[]", "True"]


def test_what_is_there_already_stays():
    before = sys.modules["pytest"]

    with leaving_out(["pytest", "tomllib_of_nobody"]):
        inside = sys.modules["pytest"]
        with pytest.raises(ImportError):
            __import__("tomllib_of_nobody")

    assert (inside, sys.modules["pytest"]) == (before, before)
    assert "tomllib_of_nobody" not in sys.modules
