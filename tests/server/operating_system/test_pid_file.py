# SPDX-License-Identifier: MIT
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.operating_system.pid_file import pid_file


def ended() -> int:
    """Return the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("before", [None, "", "nonsense", "0", "9" * 30, "own", "ended"])
def test_the_file_has_the_id_until_the_end(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "pid"
    if before is not None:
        path.write_text({"ended": str(ended()), "own": str(os.getpid())}.get(before, before))
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"
        assert [each.name for each in tmp_path.iterdir()] == ["pid"]
    assert not path.exists()


def test_a_service_that_runs_is_not_started_again(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("1\n")
    with pytest.raises(StartupError) as caught, pid_file(path):
        pass
    assert caught.value.message == (
        f"pidfile = '{path}' has the id of process 1, which runs: end that, or remove the file"
    )
    assert path.read_text() == "1\n"


def test_a_file_that_another_service_has_taken_over_stays(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    with pid_file(path):
        path.write_text("1\n")
    assert path.exists()


def test_a_file_that_can_not_be_written_refuses_the_start(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "pid"
    with pytest.raises(StartupError, match="can't be written: No such file or directory"), pid_file(path):
        pass


def test_nothing_is_written_unless_it_is_asked_for() -> None:
    with pid_file(None):
        pass


def test_a_link_in_its_place_is_not_followed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_text("dear all")
    (tmp_path / f"pid.{os.getpid()}").symlink_to(letter)
    with pid_file(tmp_path / "pid"):
        assert letter.read_text() == "dear all"
    (tmp_path / "pid").mkdir()  # a file can't replace it
    with pytest.raises(StartupError, match="can't be written"), pid_file(tmp_path / "pid"):
        pass
    assert sorted(each.name for each in tmp_path.iterdir()) == ["letter", "pid"]
