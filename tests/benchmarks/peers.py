"""Tools that need an environment of their own: makes it, runs a worker in it, returns what the worker printed.

Environments lie in `.venv-peers/` of the repository, made once from `tests/benchmarks/peers/<name>.txt`. A worker takes a
task and an .npz file, times itself, and prints one JSON object on its last line. What cannot be installed or run is said
and left out. To make them all beforehand::

    python tests/benchmarks/peers.py
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

__all__ = ["answer_of"]

_HERE = Path(__file__).resolve().parent
_ENVIRONMENTS = _HERE.parents[1] / ".venv-peers"
_PEERS = ("evidently", "whylogs")
_INSTALL_TIMEOUT_S = 900
_WORK_TIMEOUT_S = 1200


def answer_of(peer: str, task: str, data: Path) -> dict[str, Any] | None:
    """Run a peer's worker; None, and a line that says why, when there is no answer."""
    try:
        python = _python_of(peer)
        quiet = os.environ | {"DO_NOT_TRACK": "1", "WHYLOGS_NO_ANALYTICS": "True", "OPENBLAS_NUM_THREADS": "1"}
        quiet.pop("PYTHONPATH", None)  # our packages stay out of their environment
        done = subprocess.run(
            [python, _HERE / "peers" / f"run_{peer}.py", task, data],
            check=True,
            capture_output=True,
            text=True,
            timeout=_WORK_TIMEOUT_S,
            env=quiet,
        )
        return json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        last = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        print(f"{peer} gave no answer, left out: {' '.join(last)}")
        return None


def _python_of(peer: str) -> Path:
    folder, wanted = _ENVIRONMENTS / peer, (_HERE / "peers" / f"{peer}.txt")
    python, made_from = folder / "bin" / "python", folder / "made_from.txt"
    if made_from.is_file() and made_from.read_text() == wanted.read_text():
        return python
    print(f"making {folder} ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted],
        check=True,
        capture_output=True,
        text=True,
        timeout=_INSTALL_TIMEOUT_S,
    )
    made_from.write_text(wanted.read_text())
    return python


if __name__ == "__main__":
    for name in _PEERS:
        try:
            print(f"{name}: {_python_of(name)}")
        except (OSError, subprocess.SubprocessError) as failure:
            print(f"{name}: cannot be installed: {getattr(failure, 'stderr', None) or failure}")
            sys.exit(1)
