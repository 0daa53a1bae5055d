# SPDX-License-Identifier: MIT
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.cli import check
from ashapp.server.cli.check import DEFAULTS
from ashapp.server.settings.model import ServerSettings
from tests.server.serving import accepting
from tests.support import process
from tests.support.network.tls import make_certificate, needs_openssl
from tests.support.process import free_port
from tests.support.server import serving


class Service:
    """Answers with ``status``, and keeps what it is asked."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[str, str, str, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append((scope["scheme"], scope["method"], scope["path"], scope["query_string"]))
        body = b'{"status": "unavailable",\n "reason": "draining"}'
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def port(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The port at which it is served, and which ASHAPP_PORT names."""
    with serving(service, lifespan="off") as address:
        monkeypatch.setenv("ASHAPP_PORT", str(address[1]))
        yield str(address[1])


def test_the_settings_have_the_defaults_of_the_service() -> None:
    assert {name: ServerSettings.fields[name].default for name in DEFAULTS} == DEFAULTS


@pytest.mark.parametrize(
    ("args", "path", "query"),
    [
        (["ready"], "/readyz", b""),
        (["live"], "/livez", b""),
        (["http", "http://127.0.0.1:{port}"], "/", b""),
        (["http", "http://127.0.0.1:{port}/"], "/", b""),
        (["http", "http://127.0.0.1:{port}/a/b?c=d&e"], "/a/b", b"c=d&e"),
        (["http", "http://127.0.0.1:{port}/%C3%BC/é b?ö=%C3%B6"], "/ü/é b", b"%C3%B6=%C3%B6"),
    ],
)
def test_a_good_answer_is_one_line_and_exit_code_0(
    service: Service, port: str, capsys: pytest.CaptureFixture[str], args: list[str], path: str, query: bytes
) -> None:
    assert check.main([arg.format(port=port) for arg in args]) == 0
    assert service.asked == [("http", "GET", path, query)]
    out, err = capsys.readouterr()
    assert out.startswith(f"ok: 200 from http://127.0.0.1:{port}")
    assert (out.count("\n"), err) == (1, "")


@pytest.mark.parametrize(("status", "code"), [(204, 0), (302, 0), (399, 0), (400, 1), (404, 1), (503, 1)])
def test_an_answer_is_good_from_200_to_399(
    service: Service, port: str, capsys: pytest.CaptureFixture[str], status: int, code: int
) -> None:
    service.status = status
    assert check.main(["ready"]) == code
    text = '{"status": "unavailable", "reason": "draining"}'
    failure = f"failed: {status} from http://127.0.0.1:{port}/readyz: {text}\n"
    assert capsys.readouterr().err == (failure if code else "")


def test_a_port_that_a_flag_of_the_service_names_can_be_given(
    service: Service, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASHAPP_PORT", "1")
    monkeypatch.setenv("ASHAPP_UDS", "nosuch")
    assert check.main(["live", "--port", port]) == 0
    assert len(service.asked) == 1


def test_nobody_listens(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["http", f"http://127.0.0.1:{free_port()}/"]) == 1
    assert capsys.readouterr().err.startswith("failed: ConnectionRefusedError: ")


def test_a_service_that_does_not_answer_is_waited_for_no_longer_than_the_time_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert check.main(["http", url, "--timeout", "100ms"]) == 1
        assert 0.1 <= time.monotonic() - began < 10
    assert capsys.readouterr().err == f"failed: TimeoutError: timed out ({url})\n"


def test_what_is_no_http_is_no_good_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"SSH-2.0\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}/"
        assert check.main(["http", url]) == 1
        thread.join(20)
    assert capsys.readouterr().err == f"failed: BadStatusLine: SSH-2.0 ({url})\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "the following arguments are required: {ready,live,http} (ashapp check --help tells how",
        ),
        (["nosuch"], "argument {ready,live,http}: invalid choice: 'nosuch'"),
        (["http"], "the following arguments are required: url"),
        (
            ["ready", "--timeout", "soon"],
            "argument --timeout: 'soon' must be in seconds, or with a unit",
        ),
        (["ready", "-p", "0"], "argument -p/--port: '0' is not a whole number from 1 to 65535"),
        *(
            (["http", url], f"argument url: {url!r} is not a URL that begins with http:// or https://")
            for url in ("ftp://example.test/", "example.test", "http://", "http:///readyz")
        ),
    ],
)
def test_wrong_use_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        check.main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"failed: {message}")


@pytest.mark.parametrize(
    ("variables", "file"),
    [
        ({"ASHAPP_PORT": "{port}", "PORT": "1"}, "port = 2"),
        ({"ASHAPP_PORT_FILE": "port", "PORT": "1"}, "port = 2"),
        ({"PORT": "{port}"}, "port = 2"),
        ({"ASHAPP_PORT": "tcp://10.0.0.7:5000", "PORT": "{port}"}, ""),
        ({"ASHAPP_PORT": ""}, "port = {port}"),
        ({"ASHAPP_ENV_FILE": "variables"}, "port = 2"),
        ({"FLASK_SKIP_DOTENV": ""}, "port = 2"),
        ({"ASHAPP_PORT": "{port}", "ASHAPP_HOST": "localhost"}, ""),
        ({"ASHAPP_PORT": "{port}", "ASHAPP_LIVEZ_PATH": "/alive"}, ""),
    ],
)
def test_port_and_path_are_read_from_where_the_service_reads_them(
    service: Service,
    port: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    variables: dict[str, str],
    file: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("port").write_text(f"{port}\n")
    Path("variables").write_text(f"ASHAPP_PORT={port}\n")
    Path(".env").write_text(f"ASHAPP_PORT={port}\n")
    Path("settings.toml").write_text(file.format(port=port))
    monkeypatch.delenv("ASHAPP_PORT")
    monkeypatch.setenv("ASHAPP_CONFIG", "settings.toml")
    monkeypatch.setenv("FLASK_SKIP_DOTENV", "1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(port=port))
    assert check.main(["live"]) == 0
    assert [path for _, _, path, _ in service.asked] == [variables.get("ASHAPP_LIVEZ_PATH", "/livez")]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"ASHAPP_READYZ_PATH": "off"},
            "the service does not answer this probe, as readyz_path or probes is off: switch it on",
        ),
        (
            {"ASHAPP_PROBES": "false"},
            "the service does not answer this probe, as readyz_path or probes is off: switch it on",
        ),
        (
            {"ASHAPP_FD": "3"},
            "fd = 3: an inherited socket does not tell where it listens; name the port by --port",
        ),
        ({"ASHAPP_PORT": "http"}, "Port could not be cast to integer value as 'http'"),
        (
            {"ASHAPP_CONFIG": "nosuch.toml"},
            "config = 'nosuch.toml' (ASHAPP_CONFIG): the file can't be read (No such file or directory)",
        ),
    ],
)
def test_what_cannot_be_asked_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert check.main(["ready"]) == 1
    assert capsys.readouterr().err.startswith(f"failed: {message}")


@pytest.mark.parametrize("host", ["::", "::1"])
def test_an_ipv6_address_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_: Any) -> None:
        connected.append(address)
        raise ConnectionRefusedError("nobody")

    monkeypatch.setattr(socket, "create_connection", connect)
    monkeypatch.setenv("ASHAPP_HOST", host)
    assert check.main(["live"]) == 1
    assert connected == [("::1", 5000)]
    assert capsys.readouterr().err == "failed: ConnectionRefusedError: nobody (http://[::1]:5000/livez)\n"


@pytest.mark.parametrize("flags", [(), ("--proxy-protocol", "--forwarded-allow-ips", "10.0.0.1")])
def test_a_unix_socket_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
) -> None:
    path = tmp_path / "socket"
    monkeypatch.setenv("ASHAPP_UDS", str(path))
    monkeypatch.setenv("ASHAPP_PROXY_PROTOCOL", "yes" if flags else "no")
    with process.serving(["--uds", str(path), *flags], cwd=tmp_path):
        assert check.main(["ready"]) == 0
    assert capsys.readouterr().out == f"ok: 200 from unix:{path}/readyz\n"
    assert check.main(["ready"]) == 1


def test_the_first_of_several_addresses_is_asked(
    service: Service, port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASHAPP_BIND", f":{port}, unix:nosuch")
    monkeypatch.setenv("ASHAPP_UDS", "nosuch")
    assert check.main(["live"]) == 0
    assert len(service.asked) == 1
    for bind, told in {
        "unix:/nosuch": "unix:/nosuch/livez",
        "fd:3": "fd = 3: an inherited socket does not tell where it listens",
        "80": "'80' is not an address to listen on",
    }.items():
        monkeypatch.setenv("ASHAPP_BIND", bind)
        assert check.main(["live"]) == 1
        assert told in capsys.readouterr().err
    assert check.main(["live", "--port", port]) == 0


@needs_openssl
def test_tls_is_spoken_without_a_look_at_the_name_in_the_certificate(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files: dict[str, Any] = make_certificate(tmp_path)
    with serving(service, lifespan="off", **files) as (_, port):
        monkeypatch.setenv("ASHAPP_PORT", str(port))
        monkeypatch.setenv("ASHAPP_SSL_CERTFILE", files["ssl_certfile"])
        assert check.main(["live"]) == 0
        assert check.main(["http", f"https://127.0.0.1:{port}/"]) == 1
    with accepting.serving(service, proxy_protocol=True, **files) as (_, port):
        monkeypatch.setenv("ASHAPP_PORT", str(port))
        assert check.main(["live"]) == 1
        monkeypatch.setenv("ASHAPP_PROXY_PROTOCOL", "true")
        assert check.main(["live"]) == 0
    assert service.asked == [("https", "GET", "/livez", b"")] * 2
    assert "certificate verify failed" in capsys.readouterr().err


def test_below_a_root_path_the_probe_is_found(tmp_path: Path) -> None:
    with process.serving(["--root-path", "/api"], cwd=tmp_path) as server:
        environment = {"ASHAPP_ROOT_PATH": "/api", "ASHAPP_PORT": str(server.address[1])}
        ended = process.run(["ready"], command=[sys.executable, "-m", "ashapp", "check"], env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_little_is_imported() -> None:
    program = """
import sys
sys.argv = ["ashapp", "check", "http", "http://[::]:0"]
from ashapp.__main__ import main
try:
    main()
except SystemExit as error:
    assert error.code == 1
print(*sys.modules)
"""
    ended = process.run(["-c", program], command=[sys.executable])
    assert ended.returncode == 0, ended.stderr
    assert not {"asyncio", "click", "flask", "pydantic", "uvicorn"}.intersection(ended.stdout.split())
