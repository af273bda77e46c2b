import os
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]


def fuzzed(script, *arguments):
    path = os.pathsep.join(filter(None, [str(_ROOT), str(_ROOT / "tests"), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, _HERE / script, "--rounds", "400", "--seed", "7", *arguments],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("form", ["json", "ndjson", "csv", "arrow", "parquet", "compressed"])
def test_decoders_survive_a_few_hundred_rounds(form):
    done = fuzzed("fuzz_decoders.py", "--only", form)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rounds/s" in done.stdout


def test_the_counts_of_sidecars_survive_a_few_hundred_rounds():
    done = fuzzed("fuzz_counts.py")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "rounds/s" in done.stdout
