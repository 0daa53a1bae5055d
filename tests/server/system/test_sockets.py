# SPDX-License-Identifier: MIT
import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ashapp.server.errors import StartupError
from ashapp.server.settings.loading import load
from ashapp.server.system.sockets import SocketFile, bound, listen, tcp, url


@contextmanager
def listening(address: tuple[str, int] | str) -> Iterator[socket.socket]:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind(address)
        sock.listen()
        yield sock


def refusal(**flags: Any) -> str:
    with pytest.raises(StartupError) as caught, bound(load(flags)):
        pass
    return caught.value.message


def test_a_free_port_is_bound_and_closed_in_the_end() -> None:
    with bound(load({"host": "127.0.0.1", "port": "0"})) as (sock,):
        host, port = sock.getsockname()
        assert (host, port > 0) == ("127.0.0.1", True)
        assert sock.proto == socket.IPPROTO_TCP  # asyncio sets TCP_NODELAY only then
        assert url(sock) == f"http://127.0.0.1:{port}"
        assert url(sock, tls=True) == f"https://127.0.0.1:{port}"
        with socket.socket() as client:
            assert client.connect_ex((host, port)) == errno.ECONNREFUSED
        listen([sock], 5)
        with socket.socket() as client:
            assert client.connect_ex((host, port)) == 0
    assert sock.fileno() == -1


def test_each_address_of_a_host_is_bound_at_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    def addresses(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        found = (("127.0.0.1", port), ("127.0.0.2", port), ("127.0.0.2", port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    with bound(load({"host": "shop.test", "port": "0"})) as sockets:
        ports = {sock.getsockname()[1] for sock in sockets}
        assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1", "127.0.0.2"]
        assert len(ports) == 1
        assert ports != {0}


def test_an_address_that_the_machine_lacks_is_skipped_if_another_will_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def addresses(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        found = (("192.0.2.1", port), ("127.0.0.1", port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)
    with bound(load({"host": "shop.test", "port": "0"})) as (sock,):
        assert sock.getsockname()[0] == "127.0.0.1"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_ipv6_is_bound_without_ipv4() -> None:
    with bound(load({"host": "::1", "port": "0"})) as (sock,):
        assert url(sock) == f"http://[::1]:{sock.getsockname()[1]}"
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="others do not inherit the options of a listener")
def test_clients_that_vanish_are_found_out() -> None:
    with bound(load({"host": "127.0.0.1", "port": "0"})) as (sock,):
        listen([sock], 5)
        with socket.create_connection(sock.getsockname()), sock.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def test_a_port_in_use_is_told_of() -> None:
    with listening(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = f"port {port} on 127.0.0.1 is in use by another process; choose another with --port"
        assert refusal(host="127.0.0.1", port=port) == message


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (
            errno.EACCES,
            "port 80 on 127.0.0.1 is not allowed for this user; choose one above 1023 with --port",
        ),
        (errno.EPERM, "port 80 on 127.0.0.1 is not allowed for this user; choose one above 1023 with --port"),
        (errno.ENOBUFS, "can't listen on port 80 of 127.0.0.1: No buffer space available"),
    ],
)
def test_why_a_port_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch, number: int, message: str) -> None:
    class Refusing(socket.socket):
        def bind(self, address: Any) -> None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", Refusing)
    assert refusal(host="127.0.0.1", port="80") == message


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("192.0.2.1", "host '192.0.2.1' is not an address of this machine; choose another with --host"),
        ("nowhere.invalid", "host 'nowhere.invalid' can't be resolved: "),
        (f"{'x' * 64}.test", f"host '{'x' * 64}.test' can't be resolved: "),
    ],
)
def test_a_host_that_is_not_of_this_machine_is_told_of(host: str, message: str) -> None:
    assert refusal(host=host, port="0").startswith(message)


def test_the_option_that_chooses_another_is_told() -> None:
    with listening(("127.0.0.1", 0)) as other, pytest.raises(StartupError) as caught:
        tcp("127.0.0.1", other.getsockname()[1], "--management-")
    assert caught.value.message.endswith("choose another with --management-port")
    with pytest.raises(StartupError) as caught:
        tcp("192.0.2.1", 0, "--management-")
    assert caught.value.message.endswith("choose another with --management-host")


def test_the_first_address_is_given_back_if_the_second_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = "127.0.0.3", "127.0.0.4"  # other tests take ports of 127.0.0.1
    with listening((second, 0)) as other:
        port = other.getsockname()[1]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in (first, second)]
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
            assert "is in use by another process" in refusal(host="shop.test", port=port)
    with listening((first, port)):
        pass


def test_a_port_that_another_process_took_since_is_told_of() -> None:
    with bound(load({"host": "127.0.0.1", "port": "0"})) as (sock,), socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(sock.getsockname())
        other.listen()
        with pytest.raises(StartupError, match=r"^can't listen on http://127.0.0.1:\d+: Address already in"):
            listen([sock], 5)


def test_a_unix_socket_is_open_to_all_and_removed_in_the_end(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    with bound(load({"uds": str(path)})) as (sock,):
        assert url(sock) == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert not path.exists()


def test_a_unix_socket_that_another_service_has_made_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with bound(load({"uds": str(path)})):
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
    assert path.exists()


def test_a_unix_socket_is_removed_when_the_start_fails(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    with pytest.raises(StartupError), bound(load({"uds": str(path)})):
        raise StartupError("no application")
    assert not path.exists()


def test_the_unix_socket_of_a_service_that_is_gone_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    with listening(str(path)):
        pass
    assert path.exists()
    with bound(load({"uds": str(path)})) as (sock,):
        assert sock.getsockname() == str(path)


def test_the_unix_socket_of_another_process_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    with listening(str(path)):
        message = f"uds = '{path}' can't be made: another process is listening there"
        assert refusal(uds=str(path)) == message
        assert path.exists()


def test_a_process_that_listens_at_the_unix_socket_and_accepts_nothing_hangs_no_start(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    with contextlib.ExitStack() as stack:
        stack.enter_context(listening(str(path)))
        while True:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(0)
            if client.connect_ex(str(path)):
                break
        assert refusal(uds=str(path)).endswith("another process is listening there")


def test_a_link_at_the_path_of_the_unix_socket_is_not_followed(tmp_path: Path) -> None:
    path, target = tmp_path / "shop.sock", tmp_path / "other.sock"
    with listening(str(target)):
        pass
    path.symlink_to(target)
    assert refusal(uds=str(path)) == f"uds = '{path}' can't be made: there is a file of this name"
    assert target.exists()


def test_a_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    path.write_text("mine")
    assert refusal(uds=str(path)) == f"uds = '{path}' can't be made: there is a file of this name"
    assert path.read_text() == "mine"


@pytest.mark.parametrize(("name", "reason"), [("no/dir", "No such file or directory"), ("x" * 200, "")])
def test_a_unix_socket_that_cannot_be_made_is_told_of(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    assert refusal(uds=str(path)).startswith(f"uds = '{path}' can't be made: {reason}")


def test_an_inherited_socket_is_used_and_left_open() -> None:
    with listening(("127.0.0.1", 0)) as theirs:
        with bound(load({"fd": str(theirs.fileno())})) as (sock,):
            assert (sock.family, sock.getsockname()) == (socket.AF_INET, theirs.getsockname())
        assert theirs.fileno() > 0
        with socket.socket() as client:
            assert client.connect_ex(theirs.getsockname()) == 0


def test_a_descriptor_that_is_no_stream_socket_is_told_of(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        assert refusal(fd=str(file.fileno())).startswith(f"fd = {file.fileno()} is not an open socket: ")
        assert refusal(fd=str(datagrams.fileno())) == f"fd = {datagrams.fileno()} is not a stream socket"


def file_of(path: Path) -> SocketFile:
    name = SocketFile.of(path)
    assert name is not None
    return name


def test_a_name_is_removed_once(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    path.chmod(0o600)
    name = file_of(path)
    path.chmod(0o666)
    name.remove()
    assert not path.exists()
    name.remove()
    assert SocketFile.of(path) is None


def test_the_file_of_another_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.touch()
    name = file_of(path)
    (tmp_path / "other").touch()
    (tmp_path / "other").rename(path)
    name.remove()
    assert path.exists()


def test_a_file_that_got_the_number_of_the_one_before_is_another(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.touch()
    name = file_of(path)
    os.utime(path, ns=(name.modified + 1, name.modified + 1))
    name.remove()
    assert path.exists()


def test_a_relative_name_is_that_of_the_folder_in_which_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("socket").touch()
    name = file_of(Path("socket"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    name.remove()
    assert not (tmp_path / "socket").exists()
