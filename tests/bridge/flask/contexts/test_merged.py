# SPDX-License-Identifier: MIT
"""Where contexts are merged, and passed to the methods of the dispatch, as from Flask 3.2 on."""

import subprocess
import sys

import pytest

from tests.support.flask import IS_MERGED

LEGACY = """
import asyncio, warnings
import flask
from ashapp import FlaskToAsgi
from tests.support.asgi import fetch

warnings.simplefilter("ignore", DeprecationWarning)

class Legacy(flask.Flask):
    def full_dispatch_request(self):
        return super().full_dispatch_request()

    def handle_exception(self, error):
        return super().handle_exception(error)

app = flask.Flask("app")

@app.get("/")
async def view():
    return app.test_client().get("/inner").text

@app.get("/inner")
async def inner():
    return "inner"

print(asyncio.run(fetch(FlaskToAsgi(app))).body)
"""


@pytest.mark.skipif(not IS_MERGED, reason="Flask wraps methods of its own since 3.2")
def test_a_subclass_of_old_in_the_process_changes_nothing_for_other_applications() -> None:
    """In a process of its own: Flask wraps its methods for good."""
    command = [sys.executable, "-c", LEGACY]
    assert subprocess.run(command, capture_output=True, timeout=60, check=True).stdout == b"b'inner'\n"
