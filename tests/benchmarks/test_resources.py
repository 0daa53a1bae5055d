# SPDX-License-Identifier: MIT
import dataclasses
from http.client import HTTPConnection

import pytest

from tests.benchmarks import resources
from tests.benchmarks.resources import Resources, measure, recommend, resident, service, variables
from tests.benchmarks.servers.processes import ServerError

MEASURED = Resources(0.5, 0.4, 0.001, 57, 0.0002, 0.9, 70)


def test_the_settings_are_read_as_the_manifests_give_them() -> None:
    text = "# a comment\nASHAPP_THREADS=40\n\nASHAPP_ROOT_PATH=/a=b\n"
    assert variables(text) == {"threads": "40", "root_path": "/a=b"}


def test_the_service_has_the_workers_and_threads_of_the_manifests() -> None:
    server, workers, threads = service()
    line = server.command_line()
    assert f"--workers {workers} --threads {threads} --limit-buffered 4MiB " in line
    assert (workers, threads) == (1, 40)


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


def test_an_answer_that_is_no_success_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_loads", lambda *_: [(1, missing)])
    with pytest.raises(ServerError, match="answers with 404"):
        measure(seconds=0.1)


def missing(connection: HTTPConnection) -> int:
    connection.request("GET", "/missing")
    return resources._answered(connection)


def test_the_kernel_tells_how_much_memory_is_resident() -> None:
    status = "Name:\tpython\nVmPeak:\t  300000 kB\nVmHWM:\t   51200 kB\nVmRSS:\t   40960 kB\n"
    assert (resident(status, "VmHWM"), resident(status, "VmRSS")) == (51200, 40960)
    with pytest.raises(ValueError, match="no VmHWM"):
        resident("Name:\tpython\n", "VmHWM")
