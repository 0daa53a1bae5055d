# SPDX-License-Identifier: MIT
"""A service that listens on several addresses, of each kind."""

import re
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path

from tests.support.process import serving
from tests.support.waiting import PATIENCE, until


def ask(url: str, path: str = "/") -> tuple[int, bytes]:
    """Return status and body of a request on a connection of its own."""
    kind, _, rest = url.partition(":")
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as client:
        client.settimeout(PATIENCE)
        client.connect(rest if kind == "unix" else ("127.0.0.1", int(rest.rpartition(":")[2])))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        with HTTPResponse(client) as response:
            response.begin()
            return response.status, response.read()


def ask_until_it_is_gone(url: str) -> list[int]:
    statuses = []
    while True:
        try:
            statuses.append(ask(url)[0])
        except (ConnectionRefusedError, FileNotFoundError):  # any other error is a loss
            return statuses


def test_several_addresses_are_served_and_drained_without_loss(folder: Path) -> None:
    path = folder / "clock.sock"
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        bind = [f"fd:{theirs.fileno()}", "127.0.0.1:0", "127.0.0.1:0", f"unix:{path}?mode=600"]
        args = ["clock:app", "--workers", "2", "--timeout-graceful-shutdown", "30"]
        args += [part for each in bind for part in ("--bind", each)]
        with serving(args, cwd=folder, pass_fds=[theirs.fileno()]) as server, ThreadPoolExecutor(7) as pool:
            urls = re.findall(r"(?:http://127\.0\.0\.1:\d+|unix:[\w./-]+)", server.stderr)[:4]
            assert len(set(urls)) == 4
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            slow = [pool.submit(ask, url, "/wait/2.0") for url in urls]
            ours = [url for url in urls if f":{theirs.getsockname()[1]}" not in url]
            asking = [pool.submit(ask_until_it_is_gone, url) for url in ours]
            until(lambda: all(ask(url)[0] == 200 for url in urls))
            assert server.stop() == 0
            assert [future.result() for future in slow] == [(200, b"waited")] * 4
            for future in asking:
                assert set(future.result()) == {200}
        assert not path.exists()
        with socket.create_connection(theirs.getsockname()):
            theirs.accept()[0].close()
