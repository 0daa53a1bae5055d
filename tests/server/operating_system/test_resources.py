# SPDX-License-Identifier: MIT
import resource
import subprocess
import sys

import pytest

from ashapp.server.operating_system import resources
from ashapp.server.operating_system.resources import allow_open_files, give_back_freed, resident_mib

UNLIMITED = resource.RLIM_INFINITY

# Blocks of 8 MiB, freed in an order by which glibc would keep half of them, on a thread of their own.
PROGRAM = """
import sys, threading
from pathlib import Path
from ashapp.server.operating_system.resources import give_back_freed

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

def work():
    bytes(8 << 20).strip(b"x")
    blocks = [b"x" * (8 << 20) for _ in range(8)]
    del blocks[:7]

done = give_back_freed()
before = resident()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(done, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's mallopt")
def test_what_is_freed_is_given_back() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    done, kept = run.stdout.split()
    assert done == "True"
    assert int(kept) < 8


def test_the_operators_own_choice_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    assert not give_back_freed()


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in resources._MALLOC_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not give_back_freed()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 1 << 20), (65536, 1 << 20)),
        ((1024, 4096), (4096, 4096)),
        ((1024, UNLIMITED), (65536, UNLIMITED)),
        ((4096, 4096), None),
        ((100_000, 1 << 20), None),
        ((UNLIMITED, UNLIMITED), None),
    ],
)
def test_as_many_files_as_may_be(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int] | None
) -> None:
    told: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: before)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: told.append((kind, limits)))
    assert allow_open_files() == (after or before)[0]
    assert told == ([(resource.RLIMIT_NOFILE, after)] if after else [])


def test_memory_is_counted_in_mebibytes() -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert 5 < resident_mib() <= peak + 1
