# SPDX-License-Identifier: MIT
import errno
import os
import tempfile
from pathlib import Path

import pytest

from ashapp.observe.metrics.errors import RecentError
from ashapp.observe.metrics.workers import MULTIPROCESS_VARIABLE
from ashapp.server.errors import StartupError
from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.worker_status import shared_folder as folder_module
from ashapp.server.worker_status.shared_folder import SharedFolder, make_shared_folder
from ashapp.server.worker_status.workers import WorkerStatus


@pytest.fixture(autouse=True)
def _temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.fixture(autouse=True)
def _no_folder_for_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MULTIPROCESS_VARIABLE, raising=False)


def test_workers_inherit_the_folder_for_as_long_as_it_exists() -> None:
    assert SharedFolder.inherited() is None
    with make_shared_folder() as shared:
        inherited = SharedFolder.inherited()
        assert inherited is not None
        assert inherited.path == shared.path
        assert os.environ[MULTIPROCESS_VARIABLE] == str(shared.path)
        assert shared.path.stat().st_mode & 0o777 == 0o700
    assert not shared.path.exists()
    assert MULTIPROCESS_VARIABLE not in os.environ
    assert SharedFolder.inherited() is None


@pytest.mark.parametrize("variable", [MULTIPROCESS_VARIABLE, MULTIPROCESS_VARIABLE.lower()])
def test_metrics_are_counted_where_the_operator_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    folder = tmp_path / "not" / "yet"
    monkeypatch.setenv(variable, str(folder))
    with make_shared_folder() as shared:
        assert os.environ[MULTIPROCESS_VARIABLE] == str(folder)
        assert shared.path != folder
        (folder / "counter_11.db").touch()
        shared.write(WorkerStatus(11, 1.0, None))
        shared.forget(11)
        assert shared.statuses() == []
    assert [path.name for path in folder.iterdir()] == ["counter_11.db"]
    assert os.environ[variable] == str(folder)


def test_a_service_within_a_service_has_a_folder_of_its_own() -> None:
    with make_shared_folder() as outer, make_shared_folder() as inner:
        assert os.environ[MULTIPROCESS_VARIABLE] == str(inner.path) != str(outer.path)


def test_a_folder_of_the_operator_that_cannot_be_used_refuses_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(MULTIPROCESS_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(StartupError, match=r"PROMETHEUS_MULTIPROC_DIR = '.*' can't be used \(File exists\)"):
        make_shared_folder().__enter__()


def test_the_last_status_of_each_worker_is_read_until_it_ends_which_is_counted() -> None:
    checks = [Outcome("database", None, 0.002, 1.5), Outcome("cache", "OSError: gone", 2.0, 2.5)]
    first = WorkerStatus(11, 3.25, "saturated", {"active_requests": 4}, checks, {"slow": "it blocks"})
    shown = [("/", "loop", 3, 0.5)], [RecentError("/", 500, 1.5, times=2)]
    second = WorkerStatus(2, 1.0, "starting", requests=shown[0], errors=shown[1])
    with make_shared_folder() as shared:
        assert shared.statuses() == []
        for status in (WorkerStatus(11, 0.5, "ä" * 5000), first, second):
            shared.write(status)
        assert sorted(shared.statuses(), key=lambda status: status.pid) == [second, first]
        shared.forget(11)
        shared.forget(12)
        assert (shared.statuses(), shared.ended) == ([second], 2)


def test_a_worker_knows_when_the_service_began() -> None:
    with make_shared_folder() as shared:
        os.utime(shared.path / "lock", (0, 1000.0))
        folder = SharedFolder.inherited()
        assert folder is not None
        assert folder.began == 1000.0


def test_a_status_is_written_and_withdrawn_without_room_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def write_in_place(fd: int, data: bytes) -> int:
        position, size = os.lseek(fd, 0, os.SEEK_CUR), os.fstat(fd).st_size
        if position == size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, bytes(data)[: size - position])

    with make_shared_folder() as shared, monkeypatch.context() as patch:
        patch.setattr(os, "write", write_in_place)
        for beat in range(20):
            shared.write(WorkerStatus(11, beat, None))
            assert [status.beat for status in shared.statuses()] == [beat]
            shared.withdraw(11)
            assert shared.statuses() == []
        shared.write(WorkerStatus(11, 1.0, None))
        with pytest.raises(OSError, match="No space left"):
            shared.write(WorkerStatus(11, 2.0, "long " * 2000))
        assert [status.beat for status in shared.statuses()] == [1.0]


def test_a_status_that_is_half_written_is_left_out_and_a_file_that_was_removed_is_made_again() -> None:
    with make_shared_folder() as shared:
        shared.write(WorkerStatus(11, 1.0, None))
        (path,) = shared.path.glob("*.json")
        found = bytearray(path.read_bytes())
        found[9] ^= 1
        path.write_bytes(found)
        assert shared.statuses() == []
        path.unlink()
        shared.write(WorkerStatus(11, 2.0, None))
        assert [status.beat for status in shared.statuses()] == [2.0]


def test_a_status_that_vanishes_while_it_is_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with make_shared_folder() as shared:
        monkeypatch.setattr(Path, "glob", lambda path, pattern: iter([path / "11.json"]))
        assert shared.statuses() == []


def test_a_worker_that_outlives_its_supervisor_writes_to_nobody() -> None:
    with make_shared_folder() as shared:
        pass
    shared.write(WorkerStatus(11, 1.0, None))
    assert not shared.path.exists()


def test_the_folder_is_in_memory_where_there_is_such_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(folder_module, "_MEMORY", memory)
    with make_shared_folder() as shared:
        assert shared.path.parent == tmp_path
    monkeypatch.delenv("TMPDIR")
    with make_shared_folder() as shared:
        assert shared.path.parent == memory


@pytest.mark.parametrize("is_full", [True, False])
def test_a_full_place_is_taken_only_where_there_is_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_full: bool
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr(folder_module, "_MEMORY", memory)
    monkeypatch.delenv("TMPDIR")

    def make_spares(folder: Path, _: int) -> None:
        if is_full or folder.is_relative_to(memory):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_module, "make_spares", make_spares)
    with make_shared_folder() as shared:
        assert shared.path.parent == Path(tempfile.gettempdir())
        assert list(memory.iterdir()) == []
        shared.write(WorkerStatus(11, 1.0, None))
        assert len(shared.statuses()) == 1
    assert not shared.path.exists()


def test_without_a_place_for_it_the_start_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "_MEMORY", Path("/no/such/folder"))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with (
        pytest.raises(StartupError, match=r"none can be made \(Permission denied\): let TMPDIR name"),
        make_shared_folder(),
    ):
        raise AssertionError("not reached")
    assert SharedFolder.inherited() is None


def folder_of_before(parent: Path, *, is_old: bool = True) -> Path:
    """Make what a supervisor that was killed would leave behind."""
    folder = parent / "ashapp-before"
    folder.mkdir()
    for name in ("lock", "histogram_7.db"):
        (folder / name).touch()
    if is_old:
        os.utime(folder, (0, 0))
    return folder


def test_what_a_killed_supervisor_has_left_is_removed(tmp_path: Path) -> None:
    abandoned = folder_of_before(tmp_path)
    with make_shared_folder() as shared:
        assert not abandoned.exists()
        assert shared.path.exists()


def test_what_is_in_use_is_left_alone(tmp_path: Path) -> None:
    with make_shared_folder() as first:
        os.utime(first.path, (0, 0))
        with make_shared_folder() as second:
            assert first.path.exists()
        assert not second.path.exists()
    assert list(tmp_path.iterdir()) == []


def test_what_is_new_or_of_others_is_left_alone(tmp_path: Path) -> None:
    new = folder_of_before(tmp_path, is_old=False)
    foreign = tmp_path / "ashapp-notes"
    foreign.mkdir()
    os.utime(foreign, (0, 0))
    (tmp_path / "ashapp-file").touch()
    with make_shared_folder():
        assert new.exists()
        assert foreign.exists()


@pytest.mark.parametrize(
    "what", ["FIFO", "link to a file", "link to a FIFO", "link to a folder", "of another"]
)
def test_what_others_have_put_there_neither_hangs_nor_is_followed(
    what: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path_factory.mktemp("others")
    (precious / "lock").touch()
    os.mkfifo(precious / "fifo")
    folder = tmp_path / "ashapp-evil"
    if what == "link to a folder":
        folder.symlink_to(precious)
        os.utime(precious, (0, 0))
    else:
        folder.mkdir()
        if what == "FIFO":
            os.mkfifo(folder / "lock")
        elif what == "of another":
            os.mkfifo(folder / "lock")
            monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
        else:
            (folder / "lock").symlink_to(precious / ("fifo" if "FIFO" in what else "lock"))
        os.utime(folder, (0, 0))
    with make_shared_folder() as shared:
        assert shared.path.is_dir()
    assert {path.name for path in precious.iterdir()} == {"lock", "fifo"}
    if what != "FIFO":  # which is in a folder of this user's, and locked by nobody
        assert folder.exists()


def test_counts_that_cannot_be_read_are_lost_but_not_the_supervisor(caplog: pytest.LogCaptureFixture) -> None:
    with make_shared_folder() as shared:
        broken = shared.path / "counter_11.db"
        broken.write_bytes(b"\xff\xff\xff\x7f" + bytes(100))
        shared.forget(11)
        assert shared.ended == 1
        assert not broken.exists()
        assert list(shared.collect()) == []
    assert "What worker 11 has counted is lost" in caplog.messages
