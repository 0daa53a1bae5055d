# SPDX-License-Identifier: MIT
"""The Flask application that every server of the benchmark serves, and its ASGI adapters.

The adapters are made by factories: ours replaces methods on the Flask object, which must not reach
the servers that it is compared with.
"""

import hashlib
import importlib
import logging
import time
from collections.abc import Iterator
from typing import Any

import flask
from asgiref.wsgi import WsgiToAsgi as AsgirefWsgiToAsgi

from ashapp import FlaskToAsgi

__all__ = ["CHUNK", "CHUNKS", "SLEEP", "THREADS", "a2wsgi", "app", "asgiref", "ashapp"]

# Threads for sync views, in every server that has a pool of them.
THREADS = 16

SLEEP = 0.05  # seconds
CHUNK = b"x" * 1024
CHUNKS = 1000
_MEMORY_CHUNK = b"x" * 65536

# Where more requests than threads are under way, waitress would log a line for each of them.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)

app = flask.Flask(__name__)


@app.get("/hello")
def hello() -> dict[str, str]:
    return {"message": "hello"}


@app.get("/async")
async def hello_async() -> dict[str, str]:
    return {"message": "hello"}


@app.get("/stream")
def stream() -> flask.Response:
    return flask.Response((CHUNK for _ in range(CHUNKS)), mimetype="application/octet-stream")


@app.post("/echo")
def echo() -> dict[str, Any]:
    return {"received": flask.request.get_json()}


@app.get("/sleep")
def sleep() -> dict[str, str]:
    time.sleep(SLEEP)
    return {"message": "hello"}


@app.post("/upload")
def upload() -> dict[str, str | int]:
    """Read the body more slowly than a client on the same machine sends it."""
    size, digest = 0, hashlib.sha256()
    while chunk := flask.request.stream.read(len(_MEMORY_CHUNK)):
        size += len(chunk)
        digest.update(chunk)
        time.sleep(0.001)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/endless")
def endless() -> flask.Response:
    def chunks() -> Iterator[bytes]:
        while True:
            yield _MEMORY_CHUNK

    return flask.Response(chunks(), mimetype="application/octet-stream")


def ashapp() -> FlaskToAsgi:
    return FlaskToAsgi(app, threads=THREADS)


def asgiref() -> AsgirefWsgiToAsgi:
    return AsgirefWsgiToAsgi(app)  # type: ignore[no-untyped-call]


def a2wsgi() -> Any:
    # By name: the package is installed for the benchmark alone, not where types are checked.
    return importlib.import_module("a2wsgi").WSGIMiddleware(app, workers=THREADS)
