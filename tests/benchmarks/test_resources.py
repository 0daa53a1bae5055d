# SPDX-License-Identifier: MIT
import dataclasses

import pytest

from tests.benchmarks import resources
from tests.benchmarks.resources import Resources, measure, recommend

MEASURED = Resources(0.5, 0.4, 0.001, 57, 0.0002, 0.9, 70)


@pytest.mark.parametrize(
    ("workers", "used", "asked", "limit"),
    [(1, 0.9, "500m", "2"), (3, 0.9, "1500m", "4"), (1, 2.4, "500m", "3")],
)
def test_memory_is_twice_the_peak_and_cpu_half_a_core_for_each_worker_with_a_limit_above_what_was_used(
    workers: int, used: float, asked: str, limit: str
) -> None:
    assert recommend(dataclasses.replace(MEASURED, loaded_cpu=used), workers) == {
        "requests.cpu": asked,
        "requests.memory": "160Mi",
        "limits.cpu": limit,
        "limits.memory": "160Mi",
    }


def test_a_run_measures_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_WAITING", 20)
    monkeypatch.setattr(resources, "_CHUNKS", 8)
    measured, recommended = measure(seconds=0.3)
    assert measured.start_cpu > 0
    assert 10 < measured.idle_memory <= measured.loaded_memory
    assert measured.idle_cpu < measured.loaded_cpu
    assert 0 < measured.request_cpu < 1
    assert recommended == recommend(measured, 1)
