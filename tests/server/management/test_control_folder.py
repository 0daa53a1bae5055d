# SPDX-License-Identifier: MIT
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ashapp.server.management.control_folder import control_folder, live_sockets, make_control_folder


@pytest.fixture
def listening(runtime: Path) -> Iterator[Path]:
    path = make_control_folder() / "1.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        yield path


def test_the_folder_is_the_users_alone(runtime: Path) -> None:
    assert make_control_folder() == make_control_folder() == runtime / "ashapp"
    assert stat.S_IMODE((runtime / "ashapp").stat().st_mode) == 0o700


def test_without_a_runtime_folder_it_is_among_the_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/none/such")
    assert control_folder().name == f"ashapp-{os.geteuid()}"


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_a_folder_that_others_may_have_made_is_not_used(runtime: Path, kind: str) -> None:
    path = runtime / "ashapp"
    if kind == "open":
        path.mkdir()
        path.chmod(0o755)
    elif kind == "link":
        (runtime / "other").mkdir(mode=0o700)
        path.symlink_to(runtime / "other")
    else:
        path.touch()
    with pytest.raises(OSError, match="ashapp"):
        make_control_folder()
    if kind != "file":
        left = (path / "1.sock").resolve()
        left.touch()
        with pytest.raises(OSError, match="ashapp"):
            list(live_sockets())
        assert left.exists()


def test_the_runtime_folder_of_another_user_is_not_used(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root has it from sudo."""
    monkeypatch.setattr(os, "geteuid", lambda: runtime.stat().st_uid + 1)
    assert control_folder().name == f"ashapp-{os.geteuid()}"


def test_sockets_that_services_have_left_behind_are_removed(listening: Path) -> None:
    left = listening.with_name("2.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(left))
    assert list(live_sockets()) == [listening]
    assert not left.exists()


def test_without_a_folder_there_are_none() -> None:
    assert list(live_sockets()) == []
