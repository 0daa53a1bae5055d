# SPDX-License-Identifier: MIT
"""A bridge that the garbage collector finds, with the error of a request and the threads that served it."""

import subprocess
import sys

# The threads of the pool end in the middle of the collection, by the finalizer of the pool. Then greenlet
# releases what it kept for them, and can't see the frames of the traceback that the collector has in hand.
PROGRAM = """
import asyncio, gc, time
from ashapp import WsgiToAsgi

def application(environ, start_response):
    raise ValueError("from the application")

async def receive():
    return {"type": "http.request"}

async def send(message):
    pass

class Slow:
    def __del__(self):
        time.sleep(0.05)
        sum(range(1000))

SCOPE = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}

gc.disable()
for _ in range(5):
    bridge = WsgiToAsgi(application)
    try:
        asyncio.run(bridge(SCOPE, receive, send))
    except ValueError as error:
        bridge.garbage = error, bridge, Slow()
    del bridge
    gc.collect()
"""


def test_a_traceback_may_outlive_the_thread_that_it_comes_from() -> None:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=False
    )
    assert (process.returncode, process.stderr) == (0, "")
