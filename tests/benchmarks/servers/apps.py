# SPDX-License-Identifier: MIT
"""The Flask application that every server of the benchmark serves, its adapters, and what is asked of it.

The adapters are made by factories: ours replaces methods on the Flask object, which must not reach others.
``BENCHMARK_RULES`` in the environment is how many rules the application has besides, of each of three kinds.
"""

import importlib
import logging
import os
import time
from dataclasses import dataclass
from typing import Any

import flask
from asgiref.wsgi import WsgiToAsgi as AsgirefWsgiToAsgi

from ashapp import FlaskToAsgi

__all__ = [
    "BIG",
    "CHUNK",
    "CHUNKS",
    "SLEEP",
    "THREADS",
    "WORKLOADS",
    "Workload",
    "a2wsgi",
    "app",
    "asgiref",
    "ashapp",
]

# Threads for sync views, in every server that has a pool of them.
THREADS = 16

SLEEP = 0.05  # seconds
CHUNK = b"x" * 1024
CHUNKS = 1000
BIG = b"x" * (1 << 20)

# Where more requests than threads are under way, waitress would log a line for each of them.
logging.getLogger("waitress.queue").setLevel(logging.ERROR)

app = flask.Flask(__name__)


@app.get("/hello")
def hello() -> dict[str, str]:
    return {"message": "hello"}


@app.get("/async")
async def hello_async() -> dict[str, str]:
    return {"message": "hello"}


@app.get("/items-<int:number>")
def item(number: int) -> dict[str, str]:
    return {"message": "hello"}


@app.get("/async-items-<int:number>")
async def async_item(number: int) -> dict[str, str]:
    return {"message": "hello"}


for rule in range(int(os.environ.get("BENCHMARK_RULES", "0"))):
    app.add_url_rule(f"/rule{rule}", f"static {rule}", hello)
    app.add_url_rule(f"/rule{rule}/<int:number>", "item", item)
    app.add_url_rule(f"/rule{rule}-<int:number>", f"item {rule}", item)


@app.get("/stream")
def stream() -> flask.Response:
    return flask.Response((CHUNK for _ in range(CHUNKS)), mimetype="application/octet-stream")


@app.get("/big")
def big() -> flask.Response:
    return flask.Response(BIG, mimetype="application/octet-stream")


@app.post("/echo")
def echo() -> dict[str, Any]:
    return {"received": flask.request.get_json()}


@app.get("/sleep")
def sleep() -> dict[str, str]:
    time.sleep(SLEEP)
    return {"message": "hello"}


def ashapp() -> FlaskToAsgi:
    return FlaskToAsgi(app, threads=THREADS)


def asgiref() -> AsgirefWsgiToAsgi:
    return AsgirefWsgiToAsgi(app)  # type: ignore[no-untyped-call]


def a2wsgi() -> Any:
    # By name: the package is installed for the benchmark alone, not where types are checked.
    return importlib.import_module("a2wsgi").WSGIMiddleware(app, workers=THREADS)


@dataclass(frozen=True)
class Workload:
    """One request, a POST if it has a ``body`` (JSON)."""

    name: str
    title: str
    path: str
    body: str | None = None


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("hello", "sync view, a small JSON answer", "/hello"),
        Workload("async", "`async def` view, a small JSON answer", "/async"),
        Workload("async-item", "`async def` view with a number in its path", "/async-items-7"),
        Workload("item", "sync view with a number in its path, a small JSON answer", "/items-7"),
        Workload("stream", f"sync generator, {CHUNKS} chunks of {len(CHUNK)} bytes", "/stream"),
        Workload("big", "sync view, 1 MiB in one piece", "/big"),
        Workload(
            "post",
            "sync view, a small JSON body in and out",
            "/echo",
            body='{"items":[1,2,3],"name":"hello","nested":{"on":true}}',
        ),
        Workload("sleep", f"sync view that sleeps {SLEEP} s", "/sleep"),
    )
}
