# SPDX-License-Identifier: MIT
import random
from typing import Any

import pytest

from ashapp.server.processes.worker_limits import Recycling
from ashapp.server.settings.loading import load


def recycling(**flags: Any) -> Recycling:
    return Recycling(load(flags))


def test_without_limits_a_worker_serves_for_ever() -> None:
    assert recycling().reason(10**9) == ""


def test_a_worker_is_worn_after_its_requests() -> None:
    limited = recycling(limit_max_requests=100)
    assert limited.reason(99) == ""
    assert limited.reason(107) == "it has answered 107 requests, of at most 100"


def test_the_limits_of_workers_differ_by_the_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "randint", lambda least, most: most - least)
    limited = recycling(limit_max_requests=100, limit_max_requests_jitter=20)
    assert limited.reason(119) == ""
    assert limited.reason(120)


def test_a_worker_is_worn_when_it_holds_too_much_memory() -> None:
    assert recycling(limit_max_memory=1).reason(0).startswith("it holds ")
    assert recycling(limit_max_memory=2**20).reason(0) == ""
