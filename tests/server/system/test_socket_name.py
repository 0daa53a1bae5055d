# SPDX-License-Identifier: MIT
import os
import socket
from pathlib import Path

import pytest

from ashapp.server.system.socket_name import SocketName


def name_of(path: Path) -> SocketName:
    name = SocketName.of(path)
    assert name is not None
    return name


def test_a_name_is_removed_once(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    path.chmod(0o600)
    name = name_of(path)
    path.chmod(0o666)
    name.remove()
    assert not path.exists()
    name.remove()
    assert SocketName.of(path) is None


def test_the_name_of_another_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.touch()
    name = name_of(path)
    (tmp_path / "other").touch()
    (tmp_path / "other").rename(path)
    name.remove()
    assert path.exists()


def test_a_file_that_got_the_number_of_the_one_before_is_another(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.touch()
    name = name_of(path)
    os.utime(path, ns=(name.made_at + 1, name.made_at + 1))
    name.remove()
    assert path.exists()


def test_a_relative_name_is_that_of_the_folder_in_which_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("socket").touch()
    name = name_of(Path("socket"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    name.remove()
    assert not (tmp_path / "socket").exists()
