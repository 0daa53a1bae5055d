# SPDX-License-Identifier: MIT
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ashapp.observe.metrics.workers import MULTIPROCESS_VARIABLE, WorkerMetrics

WORKER = """
import os, sys
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
registry = CollectorRegistry()
amount = float(sys.argv[1])
Counter("jobs", "Jobs.", ["kind"], registry=registry).labels(sys.argv[2]).inc(amount)
Histogram("time", "Time.", registry=registry, buckets=(1, 10)).observe(amount)
Summary("size", "Size.", registry=registry).observe(amount)
Gauge("live", "Live.", registry=registry, multiprocess_mode="livesum").set(amount)
Gauge("most", "Most.", registry=registry, multiprocess_mode="max").set(amount)
print(os.getpid())
"""


@pytest.fixture
def metrics(tmp_path: Path) -> WorkerMetrics:
    return WorkerMetrics(tmp_path)


def work(folder: Path, amount: float, kind: str = "a") -> int:
    """Let a process count *amount* and end; return its id."""
    process = subprocess.run(
        [sys.executable, "-c", WORKER, str(amount), kind],
        env={**os.environ, MULTIPROCESS_VARIABLE: str(folder)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return int(process.stdout)


def values(metrics: WorkerMetrics) -> dict[str, float]:
    samples = [sample for metric in metrics.collect() for sample in metric.samples]
    return {sample.name + "".join(sample.labels.values()): sample.value for sample in samples}


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_several_workers_have_counted_is_added_up(metrics: WorkerMetrics, tmp_path: Path) -> None:
    assert values(metrics) == {}
    metrics.retire(1)
    assert files(tmp_path) == set()
    work(tmp_path, 2)
    work(tmp_path, 3)
    assert values(metrics) == {
        "jobs_totala": 5,
        "time_bucket1.0": 0,
        "time_bucket10.0": 2,
        "time_bucket+Inf": 2,
        "time_count": 2,
        "time_sum": 5,
        "size_count": 2,
        "size_sum": 5,
        "live": 5,
        "most": 3,
    }


def test_counts_outlive_their_worker_and_its_files(metrics: WorkerMetrics, tmp_path: Path) -> None:
    first = work(tmp_path, 2)
    second = work(tmp_path, 3, "b")
    before = values(metrics)
    metrics.retire(first)
    after = values(metrics)
    assert before.pop("live") - after.pop("live") == 2
    assert after == before
    metrics.retire(second)
    assert values(metrics) == {name: value for name, value in before.items() if name != "live"}
    gauges = {f"gauge_max_{pid}.db" for pid in (first, second)}
    assert files(tmp_path) == gauges
    for _ in range(3):
        metrics.retire(work(tmp_path, 10))
    assert values(metrics)["jobs_totala"] == 32
    assert values(metrics)["jobs_totalb"] == 3
    assert values(metrics)["time_count"] == 5
    assert len(files(tmp_path) - gauges) == 3, "the gauges of three workers"


def test_a_folder_that_others_read_keeps_the_files_of_the_ended(tmp_path: Path) -> None:
    metrics = WorkerMetrics(tmp_path, is_shared=True)
    pids = [work(tmp_path, amount) for amount in (2, 3)]
    before = files(tmp_path)
    metrics.retire(pids[0])
    assert before - files(tmp_path) == {f"gauge_livesum_{pids[0]}.db"}
    found = values(metrics)
    assert (found["jobs_totala"], found["live"], found["most"]) == (5, 3, 3)


def test_what_was_not_written_to_its_end_and_what_is_no_file_take_nothing_else_along(
    metrics: WorkerMetrics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work(tmp_path, 2)
    os.mkfifo(tmp_path / "counter_12.db")
    (tmp_path / "counter_13.db").symlink_to(tmp_path / "counter_12.db")
    (tmp_path / "counter_14.db").mkdir()
    (tmp_path / "counter_11.db").touch()
    (tmp_path / "histogram_11.db").write_bytes(b"\xff\xff\xff\x7f" + bytes(100))
    for _ in range(2):
        assert values(metrics)["jobs_totala"] == 2
    (told,) = caplog.messages
    assert "histogram_11.db can't be read" in told


def test_no_scrape_sees_counts_twice_or_not_at_all(metrics: WorkerMetrics, tmp_path: Path) -> None:
    pids = [work(tmp_path, 1) for _ in range(4)]
    seen: set[float] = set()
    ended = threading.Event()

    def scrape() -> None:
        while not ended.is_set():
            seen.add(values(metrics)["jobs_totala"])

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        for pid in pids:
            metrics.retire(pid)
    finally:
        ended.set()
        thread.join(20)
    seen.add(values(metrics)["jobs_totala"])
    assert seen == {4}
