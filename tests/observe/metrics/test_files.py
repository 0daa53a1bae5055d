# SPDX-License-Identifier: MIT
"""Files of counts, as prometheus-client reads them; a limit on the size of files stands for a full disk."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from ashapp.observe.metrics import files
from ashapp.observe.metrics.files import MetricFile, unwritten
from ashapp.observe.metrics.workers import MULTIPROCESS_VARIABLE

BEGIN = """
    import os, resource, sys
    from pathlib import Path
    from ashapp.observe.metrics import files
    files.adopt_metric_files()
    files._RETRY = 0
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def allow(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    allow(int(sys.argv[1]))
    from prometheus_client import CollectorRegistry, Counter, Histogram
    registry = CollectorRegistry()
    jobs = Counter("jobs", "Jobs.", ["kind"], registry=registry)
    times = Histogram("time", "Time.", registry=registry, buckets=(1, 10))
    """


def work(folder: Path, code: str, limit: int = -1) -> None:
    """Run *code* in a process whose files may have *limit* bytes, after it has made metrics."""
    subprocess.run(
        [sys.executable, "-c", dedent(BEGIN) + dedent(code), str(limit)],
        env={**os.environ, MULTIPROCESS_VARIABLE: str(folder)},
        timeout=50,
        check=True,
    )


def values(folder: Path) -> dict[str, float]:
    metrics = MultiProcessCollector(None, str(folder)).collect()
    samples = [sample for metric in metrics for sample in metric.samples]
    return {sample.name + "".join(sample.labels.values()): sample.value for sample in samples}


def test_what_is_counted_is_read_by_others_however_much_it_is(tmp_path: Path) -> None:
    work(
        tmp_path,
        """
        times.observe(5)
        for number in range(1000):
            jobs.labels(f"{number} {'-' * (number % 9)} ä").inc()
            jobs.labels(f"{number} {'-' * (number % 9)} ä").inc(number)
        assert files.unwritten() == 0
        """,
    )
    found = values(tmp_path)
    for number in range(1000):
        assert found[f"jobs_total{number} {'-' * (number % 9)} ä"] == number + 1
    assert found["time_count"] == found["time_bucket10.0"] == 1


@pytest.mark.parametrize("room", [0, 1, 4096, 16384, 20000, 65536])
def test_where_there_is_no_room_all_goes_on_and_nothing_is_lost_once_there_is(
    tmp_path: Path, room: int
) -> None:
    work(
        tmp_path,
        """
        for number in range(1000):
            jobs.labels(str(number)).inc()
            times.observe(number)
        assert files.unwritten() > 0
        jobs.labels("999").inc(41)
        allow(-1)
        times.observe(0)
        jobs.labels("0").inc()
        assert files.unwritten() == 0
        """,
        room,
    )
    found = values(tmp_path)
    assert (found["jobs_total0"], found["jobs_total1"], found["jobs_total999"]) == (2, 1, 42)
    assert (found["time_count"], found["time_sum"]) == (1001, sum(range(1000)))


def test_each_byte_has_been_written_before_it_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[int, int]] = []

    def write_whole(fd: int, position: int, data: bytes) -> None:
        written.append((position, position + len(data)))
        os.pwrite(fd, data, position)

    monkeypatch.setattr(files, "write_whole", write_whole)
    file = MetricFile(str(tmp_path / "counter_1.db"))
    for number in range(2000):
        file.write_value(f"key {number}", number, 0.0)
    assert [begin for begin, _ in written] == [0, *(end for _, end in written[:-1])]
    assert written[-1][1] == (tmp_path / "counter_1.db").stat().st_size
    file.close()


def test_what_a_process_of_the_same_number_has_counted_is_gone_on_with(tmp_path: Path) -> None:
    path = str(tmp_path / "counter_1.db")
    first = MetricFile(path)
    first.write_value("a", 3.0, 4.0)
    first.close()
    second = MetricFile(path)
    assert second.read_value("a") == (3.0, 4.0)
    assert second.read_value("b") == (0.0, 0.0)
    second.write_value("a", 5.0, 6.0)
    assert second.read_value("a") == (5.0, 6.0)
    second.close()


@pytest.mark.parametrize("found", [b"\xff\xff\xff\x7f", b"\x40\0\0\0\0\0\0\0\xff\xff\xff\x7f" + bytes(90)])
def test_what_cannot_be_read_is_begun_anew(tmp_path: Path, found: bytes) -> None:
    path = tmp_path / "counter_1.db"
    path.write_bytes(found)
    file = MetricFile(str(path))
    file.write_value("a", 1.0, 0.0)
    assert file.read_value("a") == (1.0, 0.0)
    file.close()


@pytest.mark.parametrize("obstacle", ["no folder", "link"])
def test_a_folder_that_is_gone_and_a_link_are_no_failure(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "counter_1.db"
    if obstacle == "link":
        path.symlink_to(tmp_path / "target")
    else:
        path = tmp_path / "gone" / "counter_1.db"
    before = unwritten()
    file = MetricFile(str(path))
    file.write_value("a", 1.0, 2.0)
    file.write_value("a", 3.0, 4.0)
    assert file.read_value("a") == (3.0, 4.0)
    assert file.read_value("b") == (0.0, 0.0)
    assert unwritten() == before + 2
    file.close()
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("what", ["FIFO", "file of another user"])
def test_what_others_have_put_there_is_not_counted_in(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "counter_1.db"
    if what == "FIFO":
        os.mkfifo(path)
    else:
        path.write_bytes(bytes(65536))
        owner = path.stat().st_uid
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    monkeypatch.setattr(files, "_RETRY", 0)
    file = MetricFile(str(path))
    file.write_value("a", 1.0, 0.0)
    assert file.read_value("a") == (1.0, 0.0)
    assert not path.exists()
    monkeypatch.undo()
    monkeypatch.setattr(files, "_RETRY", 0)
    file.write_value("a", 2.0, 0.0)
    assert [value for _, value, _, _ in MmapedDict.read_all_values_from_file(str(path))] == [2.0]
    file.close()
