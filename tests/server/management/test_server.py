# SPDX-License-Identifier: MIT
import errno
import http.client
import os
import socket
import struct
import threading
import time
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIServer

import httpx
import pytest

from ashapp.server.management import server
from ashapp.server.settings.loading import load
from ashapp.server.settings.model import Settings
from ashapp.server.worker_status.shared_folder import SharedFolder
from ashapp.server.worker_status.workers import LocalWorker, Workers

URL = r"http://127\.0\.0\.1:\d+"


def settings(**flags: Any) -> Settings:
    return load({"management_host": "127.0.0.1", "management_port": "0", **flags})


Managed = tuple[Workers | None, list[str]]


def address(managed: Managed) -> tuple[str, int]:
    (url,) = managed[1]
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def get(managed: Managed, path: str) -> httpx.Response:
    host, port = address(managed)
    return httpx.get(f"http://{host}:{port}{path}", trust_env=False, timeout=20)


def test_it_is_served_until_the_end() -> None:
    with server.serving(settings()) as managed:
        where = address(managed)
        assert get(managed, "/livez").json() == {"status": "ok", "stalled_workers": []}
        assert "ashapp_build_info" in get(managed, "/metrics").text
        assert get(managed, "/readyz").status_code == 503
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where)
    assert not [thread for thread in threading.enumerate() if thread.name == "ashapp-management"]


def test_faults_can_be_asked_for_only_where_that_is_switched_on() -> None:
    with server.serving(settings()) as managed:
        assert get(managed, "/faults").status_code == 404
    with server.serving(settings(faults=True)) as managed:
        assert get(managed, "/faults").json() == {"faults": []}


def test_it_can_be_switched_off() -> None:
    with server.serving(settings(management_port="off", workers="2")) as managed:
        assert managed == (None, [])
        assert SharedFolder.inherited() is None


@pytest.mark.parametrize(
    ("flags", "shared"),
    [({}, False), ({"workers": "2"}, True), ({"supervisor": True}, True), ({"reload": True}, True)],
)
def test_processes_of_a_supervisor_share_a_folder(flags: dict[str, Any], *, shared: bool) -> None:
    with server.serving(settings(**flags)) as (workers, _):
        assert isinstance(workers, SharedFolder if shared else LocalWorker)
        assert (SharedFolder.inherited() is not None) is shared
        assert ("PROMETHEUS_MULTIPROC_DIR" in os.environ) is shared


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_each_address_of_a_host_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)), (socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0))]
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        serving = server.serving(settings())
        _, urls = serving.__enter__()
    try:
        assert [httpx.get(f"{url}/livez", trust_env=False).status_code for url in urls] == [200, 200]
    finally:
        serving.__exit__(None, None, None)


def test_a_client_that_is_silent_or_vanishes_disturbs_nobody(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server._Handler, "timeout", 0.05)
    with server.serving(settings()) as managed:
        with socket.create_connection(address(managed), 20) as silent:
            assert silent.recv(1) == b""
        vanishing = socket.create_connection(address(managed))
        vanishing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        vanishing.sendall(b"GET /metrics HTTP/1.0\r\n")
        vanishing.close()
        assert get(managed, "/").status_code == 200
    assert capfd.readouterr().err == ""


def test_many_may_ask_at_once() -> None:
    with server.serving(settings()) as managed:
        connections = [http.client.HTTPConnection(*address(managed), timeout=20) for _ in range(10)]
        for connection in connections:
            connection.connect()
        for connection in reversed(connections):
            connection.request("GET", "/livez")
            assert connection.getresponse().status == 200
            connection.close()


def test_a_want_of_descriptors_makes_nothing_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[float] = []
    accept = WSGIServer.get_request

    def refuse(server: WSGIServer) -> Any:
        attempts.append(time.monotonic())
        if len(attempts) <= 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(server)

    monkeypatch.setattr(WSGIServer, "get_request", refuse)
    with server.serving(settings()) as managed:
        assert get(managed, "/livez").status_code == 200
    pauses = [after - before for before, after in pairwise(attempts[:4])]
    assert min(pauses) > 0.1
