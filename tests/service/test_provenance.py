import hashlib
import subprocess
from pathlib import Path

import pytest

from service.errors import InputError
from service.formats import open_source
from service.references.provenance import provenance_of

MD5 = "d4e201c70d08ae5815e54f99275d91be"
OTHER_MD5 = "28a51e671bf49c6f34f00d0c7ad01e08"
# As DVC 3 writes them.
DVC_FILE = f"outs:\n- md5: {MD5}\n  size: 29543\n  hash: md5\n  path: train.csv\n"
DVC_LOCK = f"""schema: '2.0'
stages:
  train:
    cmd: python3 train.py
    deps:
    - path: data/train.csv
      hash: md5
      md5: {MD5}
      size: 29543
    - path: train.py
      hash: md5
      md5: {OTHER_MD5}
      size: 74
    outs:
    - path: model.json
      hash: md5
      md5: 8cbe8ba24d9598e3ee680384a8bbb3a4
      size: 17
"""


@pytest.fixture(autouse=True)
def _away_from_any_repository(tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    for name, value in {"NAME": "t", "EMAIL": "t@example.org"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "project" / "data"
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text("a\n1\n")
    return folder


def known(*roots, run=None):
    return provenance_of(open_source(roots).files, roots, run)


def git(folder, *arguments):
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def committed(folder):
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "data")
    return git(folder, "rev-parse", "HEAD")


def test_files_are_named_and_hashed_and_nothing_is_made_up(data):
    (data / "part").mkdir()
    (data / "part" / "2.csv").write_text("a\n2\n")

    assert known(data) == {
        "files": [
            {"name": "part/2.csv", "sha256": hashlib.sha256(b"a\n2\n").hexdigest()},
            {"name": "train.csv", "sha256": hashlib.sha256(b"a\n1\n").hexdigest()},
        ]
    }


def test_a_file_that_went_is_an_input_error(data):
    source = open_source([data])
    (data / "train.csv").unlink()

    with pytest.raises(InputError, match=r"train.csv: No such file"):
        provenance_of(source.files, [data], None)


def test_the_commit_is_that_of_the_data_and_dirty_means_a_tracked_file_differs(data):
    commit = committed(data.parent)

    found = known(data)
    assert (found["git_commit"], found["git_dirty"]) == (commit, False)

    (data / "untracked.csv").write_text("a\n")
    assert known(data / "train.csv")["git_dirty"] is False

    (data / "train.csv").write_text("a\n2\n")
    assert known(data / "train.csv")["git_dirty"] is True


def test_data_outside_a_repository_has_the_commit_of_the_current_directory(data, tmp_path, monkeypatch):
    project = tmp_path / "code"
    project.mkdir()
    (project / "train.py").write_text("")
    commit = committed(project)
    monkeypatch.chdir(project)

    assert known(data)["git_commit"] == commit


def test_the_repository_of_a_hook_that_runs_us_is_not_that_of_the_data(data, tmp_path, monkeypatch):
    commit = committed(data.parent)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))

    assert known(data)["git_commit"] == commit


def test_a_repository_without_a_commit_has_none(data):
    git(data, "init", "--quiet")

    assert "git_commit" not in known(data)


def test_without_git_there_is_no_commit(data, monkeypatch):
    committed(data.parent)
    monkeypatch.setenv("PATH", "")

    assert known(data).keys() == {"files"}


def test_dirtiness_is_left_out_where_git_cannot_tell(data):
    commit = committed(data.parent)
    (data.parent / ".git" / "index").write_bytes(b"broken")

    found = known(data)

    assert found["git_commit"] == commit
    assert "git_dirty" not in found


def test_dvc_files_beside_the_data_are_read(data):
    (data / "train.csv.dvc").write_text(DVC_FILE)

    assert known(data / "train.csv")["dvc_md5"] == MD5


def test_dvc_files_beside_a_folder_have_the_hash_of_the_folder(data):
    (data.parent / "data.dvc").write_text(f"outs:\n- md5: {MD5}.dir\n  nfiles: 1\n  path: data\n")

    assert known(data)["dvc_md5"] == f"{MD5}.dir"


def test_several_roots_have_their_hashes_by_name(data):
    (data / "train.csv.dvc").write_text(DVC_FILE)
    (data.parent / "other.csv").write_text("a\n")
    roots = (data / "train.csv", data.parent / "other.csv")

    assert known(*roots)["dvc_md5"] == {str(roots[0]): MD5}


def test_links_into_a_cache_are_known_by_the_name_of_the_link(data, tmp_path):
    cached = tmp_path / "cache" / "d4e201.csv"
    cached.parent.mkdir()
    (data / "train.csv").rename(cached)
    (data / "train.csv").symlink_to(cached)
    (data / "train.csv.dvc").write_text(DVC_FILE)

    assert known(data / "train.csv")["dvc_md5"] == MD5


@pytest.mark.parametrize("in_git", [False, True])
def test_dvc_locks_above_the_data_are_read(data, in_git):
    (data.parent / "dvc.lock").write_text(DVC_LOCK)
    if in_git:
        committed(data.parent)

    assert known(data / "train.csv")["dvc_md5"] == MD5


def test_what_a_stage_made_counts_before_what_another_read(data):
    made = f"  prepare:\n    outs:\n    - path: data/train.csv\n      md5: {OTHER_MD5}\n"
    (data.parent / "dvc.lock").write_text(DVC_LOCK + made)

    assert known(data / "train.csv")["dvc_md5"] == OTHER_MD5


def test_dvc_locks_outside_the_repository_of_the_data_are_not_read(data):
    (data.parent.parent / "dvc.lock").write_text(DVC_LOCK.replace("data/", "project/data/"))
    committed(data.parent)

    assert "dvc_md5" not in known(data / "train.csv")


@pytest.mark.parametrize(("levels", "found"), [(3, True), (4, False)])
def test_dvc_locks_without_git_are_looked_for_three_folders_up(tmp_path, levels, found):
    folder = tmp_path.joinpath("top", *"abcd"[:levels])
    folder.mkdir(parents=True)
    (folder / "train.csv").write_text("a\n")
    path = Path(*"abcd"[:levels], "train.csv")
    (tmp_path / "top" / "dvc.lock").write_text(DVC_LOCK.replace("data/train.csv", str(path)))

    assert ("dvc_md5" in known(folder / "train.csv")) == found


def test_hashes_that_are_all_digits_are_text(data):
    (data / "train.csv.dvc").write_text(DVC_FILE.replace(MD5, "1" * 32))

    assert known(data / "train.csv")["dvc_md5"] == "1" * 32


@pytest.mark.parametrize(
    "content",
    [
        "", "outs", "outs: x", "- outs", "outs: [1, {path: train.csv}]", "outs: [{path: train.csv, md5: x}]", "outs: [", "\x00",
        "outs: [{path: [], md5: []}]", "[" * 100_000, "outs: !!python/name:os.system", DVC_FILE.replace("train", "other"),
        "stages: []", "stages: {a: 1}", "stages: {a: {outs: 2}}",
    ],
)  # fmt: skip
def test_broken_dvc_files_are_as_good_as_none(data, content):
    (data / "train.csv.dvc").write_text(content)
    (data / "dvc.lock").write_text(content)

    assert "dvc_md5" not in known(data / "train.csv")


def test_dvc_files_that_are_not_text_are_as_good_as_none(data):
    (data / "train.csv.dvc").write_bytes(b"\xff\xfe\xfd")

    assert "dvc_md5" not in known(data / "train.csv")


def test_the_mlflow_run_is_what_is_given_else_what_the_environment_says(data, monkeypatch):
    assert "mlflow_run_id" not in known(data)

    monkeypatch.setenv("MLFLOW_RUN_ID", "from-environment")

    assert known(data)["mlflow_run_id"] == "from-environment"
    assert known(data, run="given")["mlflow_run_id"] == "given"
