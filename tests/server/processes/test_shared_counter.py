# SPDX-License-Identifier: MIT
import multiprocessing
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from ashapp.server.health.stalls import Beats
from ashapp.server.processes.shared_counter import SharedCounter


def files() -> Counter[str]:
    """Return what the open descriptors of this process lead to."""
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one by which the folder is read
            found[str(path.readlink())] += 1
    return found


def count(beats: Beats) -> None:
    for _ in range(3):
        beats.value += 1


@pytest.mark.parametrize("is_forbidden", [False, True])
def test_what_a_spawned_process_counts_is_seen(is_forbidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    if is_forbidden:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    beats = SharedCounter()
    assert beats.value == 0
    process = multiprocessing.get_context("spawn").Process(target=count, args=(beats,))
    process.start()
    process.join(30)
    assert process.exitcode == 0
    assert beats.value == 3


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_it_is_in_no_file_system_and_leaves_no_descriptor() -> None:
    before = files()
    beats = SharedCounter()
    assert {name.partition(":")[0] for name in files() - before} == {"/memfd"}
    del beats
    assert files() == before
