# SPDX-License-Identifier: MIT
import errno
import os
from pathlib import Path

import pytest

from ashapp.server.management.status_file import StatusFile, make_spares, read_text, set_aside


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "7.json"


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file become longer."""
    write = os.write

    def write_in_place(fd: int, data: bytes) -> int:
        position, size = os.lseek(fd, 0, os.SEEK_CUR), os.fstat(fd).st_size
        if position == size:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, bytes(data)[: size - position])

    monkeypatch.setattr(os, "write", write_in_place)


def test_the_last_text_is_read_however_long_those_before_it_were(path: Path) -> None:
    file = StatusFile(path)
    for text in ("short", "long " * 2000, "ä short one"):
        file.write(text)
        assert read_text(path) == text.rstrip()
    file.close()


def test_no_room_is_needed_for_another_text(path: Path, request: pytest.FixtureRequest) -> None:
    file = StatusFile(path)
    file.write("first")
    request.getfixturevalue("full_disk")
    file.write("second")
    assert read_text(path) == "second"
    with pytest.raises(OSError, match="No space left"):
        file.write("long " * 2000)
    assert read_text(path) == "second"
    file.close()


def test_no_room_is_needed_where_there_is_a_spare_file(path: Path, request: pytest.FixtureRequest) -> None:
    make_spares(path.parent, 1)
    request.getfixturevalue("full_disk")
    for text in ("one", "another"):
        file = StatusFile(path)
        file.write(text)
        assert read_text(path) == text
        file.close()
        set_aside(path)
        assert not path.exists()
    set_aside(path)
    file, other = StatusFile(path), StatusFile(path.with_name("8.json"))
    file.write("takes the spare")
    with pytest.raises(OSError, match="No space left"):
        other.write("finds none")
    assert read_text(path.with_name("8.json")) is None
    file.close()
    other.close()


def test_a_text_that_is_half_written_is_none(path: Path) -> None:
    file = StatusFile(path)
    file.write("text")
    file.close()
    found = bytearray(path.read_bytes())
    found[9] ^= 1
    path.write_bytes(found)
    assert read_text(path) is None
    path.write_bytes(b"")
    assert read_text(path) is None


def test_a_file_that_was_removed_is_made_again(path: Path) -> None:
    file = StatusFile(path)
    file.write("first")
    path.unlink()
    file.write("second")
    assert read_text(path) == "second"
    file.close()
