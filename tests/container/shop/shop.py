# SPDX-License-Identifier: MIT
"""The application of a user of the image: it shows where it runs, streams, and can be made to fail."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

from flask import Flask, request

app = Flask(__name__)

_hoard: list[bytearray] = []


@app.get("/")
def index() -> dict[str, object]:
    """Return what the tests want to know of the process."""
    migrated = Path("/tmp/migrated")
    return {
        "file": __file__,
        "pid": os.getpid(),
        "user": os.getuid(),
        "cachelib": getattr(find_spec("cachelib"), "origin", None),
        "migrated": migrated.read_text().strip() if migrated.exists() else None,
    }


@app.get("/ticks")
async def ticks() -> AsyncIterator[str]:
    """Stream the time, every tenth of a second."""
    for _ in range(20):
        yield f"{time.monotonic()}\n"
        await asyncio.sleep(0.1)


@app.post("/files")
def files() -> dict[str, int]:
    """Return the size of an uploaded file, which was spooled."""
    return {"size": len(request.files["file"].read())}


@app.post("/crash")
def crash() -> str:
    """End the process at once."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return "never"


@app.post("/hoard")
def hoard() -> str:
    """Use more memory than there is."""
    while True:
        _hoard.append(bytearray(os.urandom(1024**2)))
