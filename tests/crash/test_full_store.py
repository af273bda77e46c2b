import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from needs import lacking
from senders import request_of
from traffic import STREAMS, batch_of
from trial import Trial, make_reference
from victim import wait_until

SEED = 3
BULK = replace(STREAMS[2], rows=900)  # a chunk: of two, the first may be kept where the second is refused
_CAP_DAC_OVERRIDE, _PR_CAPBSET_DROP = 1, 24


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return make_reference(tmp_path_factory.mktemp("reference"), SEED)


def send(service, number):
    """Post a batch, once."""
    batch = batch_of(SEED, BULK, number)
    headers, body = request_of(batch)
    return service.request("POST", f"/v1/models/{BULK.model}/inferences", body, headers)


def rows_in(trial):
    """Rows in the store, by a service that is stopped."""
    import aftermath  # noqa: PLC0415 - numpy and all, which the tests of permissions do without

    return sum(aftermath.read(trial.place).models[BULK.model].windows.values())


class FileSize:
    """A limit on the size of files, such as a quota is."""

    def __init__(self, trial):
        self._trial = trial

    def narrow(self):
        size = self._trial.database.stat().st_size
        self._limit(max(size, Path(f"{self._trial.database}-wal").stat().st_size) + (400 << 10))

    def widen(self):
        self._limit(resource.RLIM_INFINITY)

    def exhaust(self):
        """Nothing more to do: no file can grow."""

    def _limit(self, size_bytes):
        with suppress(ProcessLookupError):  # it has ended, and its limit with it
            resource.prlimit(self._trial.services[0].pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


class Disk:
    """A disk of its own, of which little is free; the log lies there too."""

    def __init__(self, trial):
        self._trial = trial

    def narrow(self):
        used = sum(path.stat().st_size for path in self._trial.folder.iterdir())
        self._size(used + (600 << 10))

    def widen(self):
        self._size(64 << 20)

    def exhaust(self):
        """Leave not a byte, so that no line of the log can be written either."""
        with suppress(OSError), (self._trial.folder / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(512))

    def _size(self, size_bytes):
        subprocess.run(["mount", "-o", f"remount,size={size_bytes}", self._trial.folder], check=True)


@contextmanager
def folder_for(kind, tmp_path):
    """A folder; for a disk one that is mounted."""
    folder = tmp_path / "store"
    folder.mkdir()
    if kind is FileSize:
        yield folder
        return
    mounting = ["mount", "-t", "tmpfs", "-o", "size=64m", "driftline-test", folder]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True, check=False).returncode:
        lacking("the right to mount", "root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("kind", [FileSize, Disk])
def test_a_full_store_refuses_says_so_and_goes_on_when_there_is_room_again(kind, reference, tmp_path):
    with folder_for(kind, tmp_path) as folder, Trial(folder, reference, seed=SEED) as trial:
        service, space = trial.services[0].start().wait_ready(), kind(trial)
        assert send(service, 0)[0] == 200
        space.narrow()

        accepted, refused = fill(service)
        problem = wait_until(lambda: not_ready(service), 5, "not ready")
        (live, _), (scraped, metrics) = service.get("/livez"), service.get("/metrics")
        read, _ = service.get(f"/v1/models/{BULK.model}/evaluations")

        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert (live, scraped, read) == (200, 200, 200)
        assert any(why in json.loads(problem)["detail"] for why in ("is full", "reports an error")), problem
        assert b"driftline_store_errors_total" in metrics

        space.widen()
        wait_until(lambda: service.get("/readyz")[0] == 200, 15, "ready again")
        again = [send(service, number)[0] for number in range(accepted, accepted + 3)]
        counted_again = [json.loads(send(service, number)[2])["duplicate"] for number in range(accepted + 3)]

        assert again == [200] * 3
        assert all(counted_again)
        assert service.stop() == 0, service.tail()
        assert rows_in(trial) == (accepted + 3) * BULK.rows
        assert "Traceback" not in service.log.read_text()


def fill(service):
    """Send batches until one is refused; number of those before it, and the refusal."""
    for number in range(1, 2_000):
        answer = Answer(*send(service, number))
        if answer.status != 200:
            return number, answer
    raise AssertionError("it was never full")


def not_ready(service):
    """What it says of why it is not ready; a yes may be a second old."""
    status, body = service.get("/readyz")
    return None if status == 200 else body


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


@pytest.mark.parametrize("kind", [FileSize, Disk])
def test_a_full_store_that_is_killed_or_stopped_has_lost_nothing(kind, reference, tmp_path):
    with folder_for(kind, tmp_path) as folder, Trial(folder, reference, seed=SEED) as trial:
        service, space = trial.services[0].start().wait_ready(), kind(trial)
        assert send(service, 0)[0] == 200
        space.narrow()
        accepted, _ = fill(service)
        space.exhaust()

        assert service.stop() == 0, service.tail()
        space.widen()
        assert rows_in(trial) == accepted * BULK.rows
        service.start().wait_ready()
        space.narrow()
        more, _ = fill(service)
        space.exhaust()
        service.kill()
        space.widen()

        assert more > accepted
        assert rows_in(trial) == more * BULK.rows


def test_a_log_that_cannot_be_written_stops_no_work(reference, tmp_path):
    with Trial(tmp_path / "store", reference, seed=SEED) as trial:
        (service,) = trial.services
        service.log = Path("/dev/full")

        assert send(service.start().wait_ready(), 0)[0] == 200
        assert service.stop() == 0
        assert rows_in(trial) == BULK.rows


# --- read-only --------------------------------------------------------------------------------------------------------


OBEDIENT = (
    "import ctypes, os, sys; "
    f"ctypes.CDLL(None).prctl({_PR_CAPBSET_DROP}, {_CAP_DAC_OVERRIDE}, 0, 0, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Runs a command for which permissions count even if it is root's."""


@contextmanager
def read_only(*paths):
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
            for log in path.parent.glob(f"{path.name}-*"):  # SQLite makes its log with the mode of the database
                log.chmod(mode)


def obedient(trial):
    """The service of a trial, under permissions."""
    (service,) = trial.services
    service.before = [sys.executable, "-c", OBEDIENT]
    return service


def test_a_store_opened_read_only_answers_what_it_can_and_is_not_ready(reference, tmp_path):
    with Trial(tmp_path / "store", reference, seed=SEED) as trial:
        service = obedient(trial).start().wait_ready()
        assert send(service, 0)[0] == 200
        assert service.stop() == 0

        with read_only(trial.database):
            service.start()
            status, problem = wait_until(lambda: answered(service), 20, "an answer")
            refused = Answer(*send(service, 1))
            answers = {path: service.get(path)[0] for path in ("/livez", "/metrics", "/v1/models")}
            code = service.stop()

        assert (status, refused.status, refused.headers["Retry-After"]) == (503, 503, "1")
        assert "the database is read-only" in json.loads(problem)["detail"]
        assert set(answers.values()) == {200}, answers
        assert code == 0
        service.start().wait_ready()
        assert send(service, 1)[0] == 200
        assert service.stop() == 0
        assert rows_in(trial) == 2 * BULK.rows
        assert "Traceback" not in service.log.read_text()


def answered(service):
    assert service.process.poll() is None, service.tail()
    try:
        answer = service.get("/readyz")
    except OSError:
        return None
    return None if b"starting" in answer[1] else answer


@pytest.mark.parametrize("made", [False, True])
def test_a_store_that_cannot_be_opened_is_told_in_a_line(made, reference, tmp_path):
    with Trial(tmp_path / "store", reference, seed=SEED) as trial:
        service = obedient(trial)
        if made:
            service.start().wait_ready()
            assert service.stop() == 0
        service.log.write_text("")
        paths = [trial.folder, *([trial.database] if made else [])]

        with read_only(*paths):
            code = service.start().process.wait(30)

        assert code == 2
        assert "Error: the database" in service.tail()
        assert len(service.tail().strip().splitlines()) == 1, service.tail()


def test_a_store_that_is_no_database_is_told_in_a_line(reference, tmp_path):
    with Trial(tmp_path / "store", reference, seed=SEED) as trial:
        (service,) = trial.services
        trial.database.write_bytes(os.urandom(8192))

        assert service.start().process.wait(30) == 2
        assert service.tail().strip() == "Error: the file is not a SQLite database (SQLITE_NOTADB)"


def test_a_folder_for_the_store_that_cannot_be_made_is_told_in_a_line(reference):
    with tempfile.TemporaryDirectory() as folder, Trial(Path(folder), reference, seed=SEED) as trial:
        (service,) = trial.services
        (trial.folder / "file").write_text("")
        service.environment["DRIFTLINE_STORE_PATH"] = str(trial.folder / "file" / "driftline.db")

        assert service.start().process.wait(30) == 2
        assert len(service.tail().strip().splitlines()) == 1, service.tail()
