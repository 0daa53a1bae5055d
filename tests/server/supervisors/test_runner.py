# SPDX-License-Identifier: MIT
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ashapp.server.errors import StartupError
from ashapp.server.protocols import ConnectionLimits
from ashapp.server.serving.draining_server import DrainingServer
from ashapp.server.settings.loading import load
from ashapp.server.supervisors import runner

LOCAL = {"host": "127.0.0.1", "port": "0"}


@pytest.fixture(autouse=True)
def _logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the logging of the test run as it is."""
    monkeypatch.setattr("logging.config.dictConfig", lambda _config: None)


def serve_with(monkeypatch: pytest.MonkeyPatch, run: Callable[[uvicorn.Server, Any], None]) -> None:
    monkeypatch.setattr(DrainingServer, "run", run)


def refusal(**flags: Any) -> str:
    with pytest.raises(StartupError) as caught:
        runner.run(load({**LOCAL, **flags}))
    return caught.value.message


@pytest.mark.parametrize(
    ("http", "limits"),
    [("auto", ConnectionLimits(head=1000, target=500)), ("zttp", None)],
)
def test_connections_have_limits_or_a_warning_tells_that_they_have_not(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    http: str,
    limits: ConnectionLimits | None,
) -> None:
    seen: list[Any] = []
    serve_with(monkeypatch, lambda server, sockets: seen.append(server.config.http_protocol_class))
    monkeypatch.setattr(
        uvicorn.Config, "load", lambda config: setattr(config, "http_protocol_class", config.http)
    )
    runner.run(load({**LOCAL, "http": http, "limit_head": "1000", "limit_target": "500"}))
    assert seen[0] == "zttp" if limits is None else seen[0].keywords == {"limits": limits}
    told = "http = zttp has no limits of ours for heads, nor of the time for what is sent"
    assert (told in caplog.messages) is (limits is None)


def test_a_missing_module_is_told_before_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refusal(port=port, app="nosuch.app:app").startswith("there is no module 'nosuch'")
        assert refusal(port=port, mount="/a=nosuch.py").startswith("there is no file 'nosuch.py'")


def test_a_management_port_in_use_refuses_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refusal(management_host="127.0.0.1", management_port=port) == (
            f"port {port} on 127.0.0.1 is in use by another process; choose another with --management-port"
        )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"loop": "nowhere:loop"}, "what loop, http or ws names can't be imported: Could not import module"),
        ({"http": "nowhere:Protocol"}, "what loop, http or ws names can't be imported: Could not import "),
        ({"app": "nowhere"}, "there is no module 'nowhere'"),
    ],
)
def test_what_cannot_be_imported_is_told_of(flags: dict[str, str], message: str) -> None:
    assert refusal(**flags).startswith(message)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("ssl_certfile", "ssl_certfile, ssl_keyfile or ssl_ca_certs can't be used: "),
        ("log_config", "uvicorn"),
    ],
)
def test_a_file_that_is_no_such_file_is_told_of(tmp_path: Path, name: str, start: str) -> None:
    path = tmp_path / "file"
    path.write_text("nothing of the kind\n")
    assert refusal(**{name: str(path)}).startswith(start)


def test_what_uvicorn_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_badly(config: uvicorn.Config) -> None:
        raise ValueError("HTTP/2 requires another protocol")

    monkeypatch.setattr(uvicorn.Config, "load", load_badly)
    assert refusal() == "uvicorn refuses its settings: HTTP/2 requires another protocol"
