# SPDX-License-Identifier: MIT
"""Who reads the log may stop: as a log collector that hangs, or a terminal that is held."""

import json
import os
import re
import subprocess
import threading
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.client import Connection
from tests.support.process import SERVE
from tests.support.waiting import PATIENCE, is_listening, until

APP = """
    from flask import Flask

    app = Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763b1d9"

    @app.get("/sync")
    def sync():
        app.logger.warning("sync %s", "-" * 300)
        return "answer"

    @app.get("/async")
    async def asynchronous():
        return "answer"
    """
ENV = {"ASHAPP_MANAGEMENT_PORT": "off", "ASHAPP_DRAIN_DELAY": "0", "ASHAPP_STALL_TIMEOUT": "3"}


@pytest.mark.timeout(120)
def test_a_reader_of_the_log_that_stops_stops_no_request(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(dedent(APP))
    reader, writer = os.pipe()
    command = [*SERVE, "shop", "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **ENV}, stderr=writer)
    os.close(writer)
    try:
        log = b""
        while (match := re.search(rb"http://([\d.]+):(\d+)", log)) is None:
            log += os.read(reader, 65536)
        address = match[1].decode(), int(match[2])
        until(lambda: is_listening(address))
        with Connection(address, timeout=PATIENCE) as client:
            for number in range(400):
                assert client.request("GET", "/sync" if number % 2 else "/async").status == 200
        process.terminate()
        # What is left is written at the end, as there is somebody again who reads.
        thread = threading.Thread(target=process.wait, args=(PATIENCE,))
        thread.start()
        while data := os.read(reader, 65536):
            log += data
        thread.join()
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(reader)
    events = [json.loads(line)["event"] for line in log.decode().splitlines()]
    assert events.count("request") == 400
    assert len([event for event in events if event.startswith("sync")]) == 200
    assert "Shutting down" in events
