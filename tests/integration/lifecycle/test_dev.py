# SPDX-License-Identifier: MIT
"""``ashapp dev`` while its developer works: with streams open, after mistakes, and at Ctrl+C."""

import os
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent

from tests.support.client import Connection
from tests.support.process import ServerProcess, serving
from tests.support.waiting import until

DEV = (sys.executable, "-m", "ashapp", "dev")

SHOP = """\
    import time
    from flask import Flask, render_template

    app = Flask(__name__)

    @app.get("/")
    def index():
        return render_template("index.txt", name="one")

    @app.get("/events")
    def events():
        def stream():
            while True:
                yield "data: x\\n\\n"
                time.sleep(30)
        return stream(), {"Content-Type": "text/event-stream"}
"""


def page(server: ServerProcess) -> str:
    try:
        with urllib.request.urlopen(server.base_url, timeout=20) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def test_each_change_is_served_soon(tmp_path: Path) -> None:
    source = dedent(SHOP)
    app = tmp_path / "app.py"

    def write(text: str) -> None:
        app.write_text(text)
        os.utime(app, (1e9, 1e9))  # as if all changes came in one second, by which Python knows compiled code

    write(source)
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "index.txt").write_text("shop {{ name }}")
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}
    with serving(cwd=tmp_path, command=DEV, env=compiled) as server, ExitStack() as streams:
        server.wait_for_log(r"Debugger PIN: \d{3}-\d{3}-\d{3}")
        assert page(server) == "shop one"
        (templates / "index.txt").write_text("store {{ name }}")
        assert page(server) == "store one"
        for text, expected in (
            (source.replace('"one"', '"two"'), "store two"),
            (source.replace('"one"', '"thr'), "SyntaxError: unterminated string literal"),
            (source.replace('"one"', '"four"'), "store four"),
        ):
            for _ in range(3):
                if not expected.startswith("Syntax"):
                    streams.enter_context(open_stream(server))
            write(text)
            until(lambda expected=expected: expected in page(server))  # type: ignore[misc]
        took = [float(seconds) for seconds in re.findall(r"Reloaded in (\d+\.\d) s", server.stderr)]
        assert len(took) >= 3
        assert min(took) < 2
        assert re.search(r"^\d\d:\d\d:\d\d  200 +\d+ ms  thread  GET    /$", server.stderr, re.MULTILINE)
        assert "importing 'app.py' failed: SyntaxError" in server.stderr
        streams.enter_context(open_stream(server))
        began = time.monotonic()
        assert server.stop(signal.SIGINT) == 0
        assert time.monotonic() - began < 5
        assert "Traceback" not in server.stderr.partition("store four")[2]


def open_stream(server: ServerProcess) -> Connection:
    connection = Connection(server.address, timeout=30)
    connection.send_request("GET", "/events")
    connection.receive_head()
    return connection
