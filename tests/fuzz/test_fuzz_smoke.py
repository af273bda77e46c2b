import os
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow", "parquet", "compressed"])
def test_decoders_survive_a_few_hundred_rounds(form):
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))

    done = subprocess.run(
        [sys.executable, _HERE / "fuzz_decoders.py", "--rounds", "400", "--seed", "7", "--only", form],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rounds/s" in done.stdout
