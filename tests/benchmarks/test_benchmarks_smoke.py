import os
import subprocess
import sys
from pathlib import Path

import pytest

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]


@pytest.mark.parametrize(
    "script",
    [
        "bench_binning.py",
        "bench_calibration.py",
        "bench_decode.py",
        "bench_evaluation.py",
        "bench_memory.py",
        "bench_metrics.py",
        "bench_redis.py",
        "bench_replicas.py",
    ],
)
def test_benchmark_answers_are_right_at_tiny_sizes(script):
    path = os.pathsep.join(filter(None, [str(_ROOT), str(_ROOT / "tests"), os.environ.get("PYTHONPATH")]))

    done = subprocess.run(
        [sys.executable, _HERE / script, "--smoke"],
        cwd=_ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
