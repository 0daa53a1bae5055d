# SPDX-License-Identifier: MIT
"""How much memory above idle our server needs for a large upload and for an endless download.

Linux's VmHWM, the most that was ever resident, is reset before each (proc(5), ``clear_refs``).
"""

import http.client
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks.processes import RunningServer, ServerError

__all__ = ["UPLOAD", "peaks", "resident"]

UPLOAD = 60 << 20  # bytes
_CHUNK = b"x" * 65536
_READS = 200
_PAUSE = 0.01  # seconds between reads


def peaks(server: RunningServer) -> dict[str, float]:
    """Return the MiB above idle, by what the server was asked for.

    Raises `ServerError` where it does not answer as it should.
    """
    idle = _resident(server, "VmRSS")
    peak = {
        f"upload of {UPLOAD >> 20} MiB": _peak(server, _upload),
        "endless download, slow reader": _peak(server, _download),
    }
    return {name: (kibibytes - idle) / 1024 for name, kibibytes in peak.items()}


def _peak(server: RunningServer, ask: Callable[[http.client.HTTPConnection], None]) -> int:
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        ask(connection)
    finally:
        connection.close()
    return _resident(server, "VmHWM")


def _resident(server: RunningServer, name: str) -> int:
    return resident(Path(f"/proc/{server.pid}/status").read_text(), name)


def resident(status: str, name: str) -> int:
    """Return the value of *name* in ``/proc/<pid>/status``, in KiB."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise ValueError(f"no {name} in {status!r}")
    return int(found[1])


def _upload(connection: http.client.HTTPConnection) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(UPLOAD // len(_CHUNK)):
            yield _CHUNK

    connection.request("POST", "/upload", chunks(), {"Content-Length": str(UPLOAD)})
    response = connection.getresponse()
    body = response.read()
    if response.status != 200 or f'"size":{UPLOAD}'.encode() not in body:
        raise ServerError(f"{UPLOAD} bytes to /upload: {response.status}, {body!r}")


def _download(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/endless")
    response = connection.getresponse()
    for _ in range(_READS):
        if len(response.read(len(_CHUNK))) < len(_CHUNK):
            raise ServerError(f"/endless came to an end, status {response.status}")
        time.sleep(_PAUSE)
