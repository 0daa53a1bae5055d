# SPDX-License-Identifier: MIT
"""A Flask application of an ordinary kind, served in every way there is, Flask's own one among them."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import SERVE, ServerProcess, serving

FLASK = [sys.executable, "-m", "flask"]

COMMANDS = {
    "ashapp serve": ([str(Path(sys.executable).with_name("ashapp")), "serve"], ["guestbook:app"]),
    "a file": (SERVE, ["./guestbook.py"]),
    "a factory": (SERVE, ['guestbook:create_app("other.sqlite")']),
    "two workers": (SERVE, ["guestbook", "--workers", "2"]),
    "flask serve": ([*FLASK, "--app", "guestbook"], ["serve"]),
    # What the others are held to.
    "flask run": ([*FLASK, "--app", "guestbook"], ["run"]),
}


@pytest.fixture(scope="package", params=COMMANDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("drop-in") / "guestbook"
    shutil.copytree(Path(__file__).with_name("guestbook"), folder)
    command, args = COMMANDS[request.param]
    with serving(args, command=command, cwd=folder) as server:
        yield server
        if request.param != "flask run":
            assert server.stop() == 0
            assert "Exception in ASGI application" not in server.stderr
