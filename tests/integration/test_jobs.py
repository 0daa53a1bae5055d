# SPDX-License-Identifier: MIT
"""The jobs of docs/jobs.md with two workers: one has them, and when it is killed the other."""

import os
import re
import signal
from pathlib import Path

from tests.support.page import Page
from tests.support.process import ServerProcess, serving
from tests.support.waiting import until

PAGE = Page(Path(__file__).parents[2] / "docs" / "jobs.md")

# Tells with each line of the log which process has written it.
TELL = """
import logging
import os

logging.setLogRecordFactory(lambda *args, **more: _note(logging.LogRecord(*args, **more)))


def _note(record):
    record.msg = f"{record.msg} by {os.getpid()}" if record.name == "shop" else record.msg
    return record
"""


def workers(server: ServerProcess, job: str) -> list[int]:
    """Return the process of each time that *job* was done."""
    return [int(pid) for pid in re.findall(rf"{job} by (\d+)", server.stderr)]


def test_one_worker_has_the_jobs_and_the_other_takes_over(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(PAGE.python() + TELL + '\napp.secret_key = "9f2c6d0b1e7a4538"\n')
    with serving(["shop:app", "--workers", "2"], cwd=tmp_path) as server:
        until(lambda: server.stderr.count("Application startup complete") == 2, 60)
        until(lambda: len(workers(server, "tidied up")) > 1, 60)
        until(lambda: workers(server, "looked at the prices"), 60)
        (first,) = set(workers(server, "tidied up"))
        os.kill(first, signal.SIGKILL)
        until(lambda: workers(server, "tidied up")[-1] != first, 60)
        assert server.stop() == 0
        times = workers(server, "tidied up")
        assert len(set(times)) == 2
        assert sorted(times, key=lambda pid: pid != first) == times, "never both"
        assert "Traceback" not in server.stderr
