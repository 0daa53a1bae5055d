# SPDX-License-Identifier: MIT
import resource

import pytest

from ashapp.server.system.open_files import allow_open_files

UNLIMITED = resource.RLIM_INFINITY


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
