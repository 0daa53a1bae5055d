# SPDX-License-Identifier: MIT
"""Workers go on, and are started, where the folder in which they count is full."""

import signal
import sys
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.process import MANAGED, SERVE, ServerProcess, serving
from tests.support.waiting import until

APP = """
    from flask import Flask

    app = Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763b1d9"
    for number in range(50):
        app.add_url_rule(f"/{number}", f"view{number}", lambda: "answer")
    """
# No file gets longer than that, as if others had taken the rest of the folder; the log is one too.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
FLAGS = ["--workers", "2", "--drain-delay", "0", "--no-access-log"]
# Seconds that two workers have to start, one after the other.
_START = 60.0


def ask_all(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.base_url, trust_env=False, timeout=20) as client:
        for number in range(50):
            assert client.get(f"/{number}").status_code == 200


@pytest.mark.timeout(180)
@pytest.mark.parametrize("room", [12288, 16384])
def test_a_full_folder_costs_metrics_but_no_worker_and_no_probe(tmp_path: Path, room: int) -> None:
    (tmp_path / "shop.py").write_text(dedent(APP))
    shared = tmp_path / "shared"
    shared.mkdir()
    command = [sys.executable, "-c", LIMITED, str(room), *SERVE]
    env = {**MANAGED, "TMPDIR": str(shared), "PYTHONDONTWRITEBYTECODE": "1", "ASHAPP_CONTROL_SOCKET": "off"}
    with serving(["shop", *FLAGS], cwd=tmp_path, env=env, command=command, timeout=60) as server:
        url = server.management_url
        with httpx.Client(base_url=url, trust_env=False, timeout=20) as management:

            def value(name: str) -> float:
                text = management.get("/metrics").text
                families = text_string_to_metric_families(text)
                return sum(
                    sample.value for family in families for sample in family.samples if sample.name == name
                )

            until(lambda: value("ashapp_ready_workers") == 2, _START)
            ask_all(server)
            until(lambda: value("ashapp_unwritten_metrics"))
            for path in ("/livez", "/readyz"):
                assert management.get(path).status_code == 200
            server.process.send_signal(signal.SIGHUP)
            until(
                lambda: value("ashapp_ended_workers_total") == 2 and value("ashapp_ready_workers") == 2,
                _START,
            )
            ask_all(server)
            for path in ("/livez", "/readyz"):
                assert management.get(path).status_code == 200
        assert server.stop() == 0
        assert "exit code 0" in server.stderr
        assert "was ended by" not in server.stderr
    assert list(shared.iterdir()) == []
