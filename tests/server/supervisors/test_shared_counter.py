# SPDX-License-Identifier: MIT
import gc
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from ashapp.server.supervisors.shared_counter import SharedCounter


def files() -> Counter[str]:
    """Return what the open descriptors of this process lead to."""
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one by which the folder is read
            found[str(path.readlink())] += 1
    return found


@pytest.mark.parametrize("is_forbidden", [False, True])
def test_what_another_counts_is_seen(is_forbidden: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    if is_forbidden:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    beats = SharedCounter()
    other = SharedCounter(os.dup(beats.fd))
    assert beats.value == other.value == 0
    other.value += 3
    assert beats.value == 3


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_it_is_in_no_file_system_and_leaves_no_descriptor() -> None:
    gc.collect()  # those of other tests
    before = files()
    beats = SharedCounter()
    assert {name.partition(":")[0] for name in files() - before} == {"/memfd"}
    del beats
    assert files() == before
