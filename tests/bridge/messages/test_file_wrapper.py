# SPDX-License-Identifier: MIT
import io
import os
from pathlib import Path
from typing import Any

import pytest

from ashapp.bridge.messages.file_wrapper import BLOCK_SIZE, file_wrapper

SIZE = 3 * BLOCK_SIZE + 1


@pytest.mark.parametrize(
    ("asked", "blocks"),
    [
        (8192, [BLOCK_SIZE] * 3 + [1]),
        (2 * BLOCK_SIZE, [2 * BLOCK_SIZE, BLOCK_SIZE + 1]),
    ],
)
def test_a_regular_file_is_read_in_large_blocks(tmp_path: Path, asked: int, blocks: list[int]) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZE))
    with path.open("rb") as file:
        assert [len(block) for block in file_wrapper(file, asked)] == blocks


def test_a_pipe_is_read_as_asked() -> None:
    out, into = os.pipe()
    with open(out, "rb") as reader, open(into, "wb") as writer:  # noqa: PTH123 - these are descriptors
        writer.write(bytes(2500))
        writer.close()
        assert [len(block) for block in file_wrapper(reader, 1000)] == [1000, 1000, 500]


class Bare:
    """A file by PEP 3333: it has a ``read`` and nothing else."""

    def __init__(self) -> None:
        self.read = io.BytesIO(bytes(20_000)).read


class Remote(Bare):
    """One that says only when it is asked that it has no descriptor, or whose descriptor is none."""

    def __init__(self, descriptor: object) -> None:
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> object:
        if isinstance(self._descriptor, type):
            raise self._descriptor
        return self._descriptor


@pytest.mark.parametrize(
    "file",
    [io.BytesIO(bytes(20_000)), Bare(), Remote(NotImplementedError), Remote(None), Remote(-1)],
    ids=["no descriptor", "read only", "raises", "none", "closed"],
)
def test_other_files_are_read_as_asked(file: Any) -> None:
    assert [len(block) for block in file_wrapper(file)] == [8192, 8192, 3616]


def test_the_file_is_closed_with_its_wrapper() -> None:
    file = io.BytesIO()
    file_wrapper(file).close()
    assert file.closed
    assert not hasattr(file_wrapper(Bare()), "close")
