"""Where data came from, as far as it can be known: hashes of the files, the git commit, DVC's hash, the MLflow run.

All but the file hashes is a courtesy: what cannot be found, or is broken, is left out, and nothing fails for it.
"""

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from service.errors import InputError
from service.formats import DataFile

__all__ = ["provenance_of"]

_GIT_TIMEOUT_S: Final = 10.0  # `git status` of a large repository on a cold disk
_GIT_PLACES: Final = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"})
_LOCK_LEVELS_MAX: Final = 3  # folders above the data in which a dvc.lock is looked for, where git sets no bound
_YAML_BYTES_MAX: Final = 16_000_000
_MD5: Final = re.compile(r"[0-9a-f]{32}(\.dir)?")


def provenance_of(files: Sequence[DataFile], roots: Sequence[Path], mlflow_run_id: str | None) -> dict[str, object]:
    """Provenance of data files; the files are read once.

    Parameters
    ----------
    files : sequence of DataFile
    roots : sequence of Path
        The files and folders that were given; git and DVC know these.
    mlflow_run_id : str, optional
        By default the environment variable `MLFLOW_RUN_ID`.

    Returns
    -------
    dict
        `files`: a list of `{"name", "sha256"}`. And if known: `git_commit` and `git_dirty` (whether a tracked file
        differs from it) of the repository that the data is in, else of that of the current directory; `dvc_md5`, text
        for one root, and by root for several; `mlflow_run_id`.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    found: dict[str, object] = {"files": [{"name": file.name, "sha256": _sha256(file)} for file in files]}
    places = [_folder_of(root) for root in roots] + [Path.cwd()]
    git = next((state for place in dict.fromkeys(places) if (state := _git_state(place))), None)
    if git is not None:
        found |= git
    md5s = {str(root): md5 for root in roots if (md5 := _dvc_md5(_absolute(root)))}
    if md5s:
        found["dvc_md5"] = next(iter(md5s.values())) if len(roots) == 1 else md5s
    run_id = mlflow_run_id or os.environ.get("MLFLOW_RUN_ID")
    if run_id:
        found["mlflow_run_id"] = run_id
    return found


def _sha256(file: DataFile) -> str:
    try:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{file.name}: {error.strerror}") from error


def _absolute(root: Path) -> Path:
    # Links are kept: DVC can link a data file into its cache, and knows it by the name of the link.
    return Path(os.path.abspath(root))  # noqa: PTH100 - Path.resolve follows links, Path.absolute keeps `..`


def _folder_of(root: Path) -> Path:
    path = _absolute(root)
    return path if path.is_dir() else path.parent


def _git_state(folder: Path) -> dict[str, object] | None:
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return None
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"git_commit": commit} if status is None else {"git_commit": commit, "git_dirty": bool(status)}


def _git(folder: Path, *arguments: str) -> str | None:
    # A hook that runs us says by GIT_DIR which repository is its own; the data's is wanted. Nor is its index written.
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=_GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


def _dvc_md5(path: Path) -> str | None:
    beside = _entries(_yaml(path.with_name(f"{path.name}.dvc")), "outs")
    md5 = next((md5 for name, md5 in beside if name == path.name), None)
    if md5 is not None:
        return md5
    for folder in _lock_folders(path):
        stages = _mapping(_yaml(folder / "dvc.lock")).get("stages")
        for part in ("outs", "deps"):  # what a stage made says more than what another one read
            for stage in _mapping(stages).values():
                for name, md5 in _entries(stage, part):
                    if os.path.normpath(folder / name) == str(path):
                        return md5
    return None


def _lock_folders(path: Path) -> Iterator[Path]:
    git_root = _git(path.parent, "rev-parse", "--show-toplevel")
    for level, folder in enumerate(path.parents):
        if not git_root and level > _LOCK_LEVELS_MAX:
            return
        yield folder
        if git_root and folder.resolve() == Path(git_root).resolve():
            return


def _yaml(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            # Text only, so that a hash of digits stays text; the loader makes no objects.
            return yaml.load(stream.read(_YAML_BYTES_MAX), Loader=yaml.BaseLoader)  # noqa: S506 - see above
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _entries(document: Any, part: str) -> Iterator[tuple[str, str]]:
    entries = _mapping(document).get(part)
    for entry in entries if isinstance(entries, list) else []:
        path, md5 = _mapping(entry).get("path"), _mapping(entry).get("md5")
        if isinstance(path, str) and isinstance(md5, str) and _MD5.fullmatch(md5):
            yield path, md5
