# SPDX-License-Identifier: MIT
"""An application for bodies of any size, to be served by a process whose memory is watched."""

import time
from collections.abc import AsyncIterator, Iterator

from flask import Flask, request

from ashapp.bridge import FlaskToAsgi

__all__ = ["BLOCK", "app"]

BLOCK = bytes(65536)

flask_app = Flask(__name__)
app = FlaskToAsgi(flask_app)


def count_slowly() -> str:
    size = pieces = 0
    while piece := request.stream.read(len(BLOCK)):
        size += len(piece)
        pieces += 1
        if pieces % 16 == 0:
            time.sleep(0.004)
    return str(size)


@flask_app.post("/sync")
def count() -> str:
    return count_slowly()


@flask_app.post("/async")
async def async_count() -> str:
    return count_slowly()


@flask_app.get("/sync")
def produce() -> Iterator[bytes]:
    while True:
        yield BLOCK


@flask_app.get("/async")
async def async_produce() -> AsyncIterator[bytes]:
    while True:
        yield BLOCK
