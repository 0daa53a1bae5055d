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
from ashapp.server.operating_system.sockets import bound, listen, tcp, url
from ashapp.server.settings.loading import load

LOCAL = {"host": "127.0.0.1", "port": "0"}


@contextmanager
def listening(address: tuple[str, int] | str) -> Iterator[socket.socket]:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind(address)
        sock.listen()
        yield sock


def resolve_to(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    def addresses(_: str, port: int, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", addresses)


def refusal(**flags: Any) -> str:
    with pytest.raises(StartupError) as caught, bound(load(flags)):
        pass
    return caught.value.message


def test_a_free_port_is_bound_and_closed_in_the_end() -> None:
    with bound(load(LOCAL)) as (sock,):
        host, port = sock.getsockname()
        assert (host, port > 0) == ("127.0.0.1", True)
        assert sock.proto == socket.IPPROTO_TCP  # asyncio sets TCP_NODELAY only then
        assert url(sock) == f"http://127.0.0.1:{port}"
        assert url(sock, tls=True) == f"https://127.0.0.1:{port}"
        for code in (errno.ECONNREFUSED, 0):
            with socket.socket() as client:
                assert client.connect_ex((host, port)) == code
            listen([sock], 5)
    assert sock.fileno() == -1


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        (["127.0.0.1", "127.0.0.2", "127.0.0.2"], ["127.0.0.1", "127.0.0.2"]),
        (["192.0.2.1", "127.0.0.1"], ["127.0.0.1"]),
    ],
    ids=["each is taken", "one that the machine lacks is skipped"],
)
def test_a_host_is_bound_at_its_addresses_at_the_same_port(
    monkeypatch: pytest.MonkeyPatch, found: list[str], taken: list[str]
) -> None:
    resolve_to(monkeypatch, *found)
    with bound(load({"host": "shop.test", "port": "0"})) as sockets:
        assert [sock.getsockname()[0] for sock in sockets] == taken
        (port,) = {sock.getsockname()[1] for sock in sockets}
        assert port > 0


def test_the_first_address_is_given_back_if_the_second_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = "127.0.0.3", "127.0.0.4"  # other tests take ports of 127.0.0.1
    with listening((second, 0)) as other, monkeypatch.context() as patch:
        port = other.getsockname()[1]
        resolve_to(patch, first, second)
        assert "is in use by another process" in refusal(host="shop.test", port=port)
    with listening((first, port)):
        pass


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_ipv6_is_bound_without_ipv4() -> None:
    with bound(load({"host": "::1", "port": "0"})) as (sock,):
        assert url(sock) == f"http://[::1]:{sock.getsockname()[1]}"
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="others do not inherit the options of a listener")
def test_clients_that_vanish_are_found_out() -> None:
    with bound(load(LOCAL)) as (sock,):
        listen([sock], 5)
        with socket.create_connection(sock.getsockname()), sock.accept()[0] as accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


@pytest.mark.parametrize("flags", [("--host", "--port"), ("--bind", "--bind")])
def test_an_address_that_can_not_be_had_is_told_of(flags: tuple[str, str]) -> None:
    with listening(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = {
            ("127.0.0.1", port): f"port {port} on 127.0.0.1 is in use by another process; "
            f"choose another with {flags[1]}",
            ("192.0.2.1", 0): "host '192.0.2.1' is not an address of this machine; "
            f"choose another with {flags[0]}",
            ("nowhere.invalid", 0): "host 'nowhere.invalid' can't be resolved: ",
            (f"{'x' * 64}.test", 0): f"host '{'x' * 64}.test' can't be resolved: ",
        }
        for (host, number), message in told.items():
            with pytest.raises(StartupError) as caught:
                tcp(host, number, flags)
            assert caught.value.message.startswith(message)


NOT_ALLOWED = "port 80 on 127.0.0.1 is not allowed for this user; choose one above 1023 with --port"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, NOT_ALLOWED),
        (errno.EPERM, NOT_ALLOWED),
        (errno.ENOBUFS, "can't listen on port 80 of 127.0.0.1: No buffer space available"),
    ],
)
def test_why_a_port_can_not_be_had_is_told(
    monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    class Refusing(socket.socket):
        def bind(self, address: Any) -> None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", Refusing)
    assert refusal(host="127.0.0.1", port="80").startswith(message)


def test_a_port_that_another_process_took_since_is_told_of() -> None:
    with bound(load(LOCAL)) as (sock,), socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(sock.getsockname())
        other.listen()
        with pytest.raises(StartupError, match=r"^can't listen on http://127.0.0.1:\d+: Address already in"):
            listen([sock], 5)


def test_a_unix_socket_is_open_to_all_and_removed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "shop.sock"
    with listening(str(path)):
        pass
    assert path.exists(), "a service that is gone has left it"
    with contextlib.suppress(StartupError), bound(load({"uds": "shop.sock"})) as (sock,):
        assert url(sock) == "unix:shop.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        monkeypatch.chdir("/")  # a relative path is that of the folder in which the file was made
        raise StartupError("no application")
    assert not path.exists()


def test_a_unix_socket_that_another_service_has_made_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with bound(load({"uds": str(path)})):
        made = path.stat()
        path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
        # Another may get the inode of the one before, and then it is younger.
        os.utime(path, ns=(made.st_mtime_ns + 1, made.st_mtime_ns + 1))
    assert path.exists()


@pytest.mark.parametrize("accepts", [True, False])
def test_the_unix_socket_of_another_process_is_left_alone(tmp_path: Path, *, accepts: bool) -> None:
    path = tmp_path / "shop.sock"
    with contextlib.ExitStack() as stack:
        stack.enter_context(listening(str(path)))
        while not accepts:
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(0)
            if client.connect_ex(str(path)):
                break
        assert (
            refusal(uds=str(path)) == f"the socket '{path}' can't be made: another process is listening there"
        )
        assert path.exists()


def test_what_is_no_socket_at_its_path_is_left_alone(tmp_path: Path) -> None:
    link, target, file = (tmp_path / name for name in ("link", "target", "file"))
    with listening(str(target)):
        pass
    link.symlink_to(target)
    file.write_text("mine")
    for path in (link, file):
        assert (
            refusal(uds=str(path))
            == f"the socket '{path}' can't be made: there is a file of this name, which is no socket"
        )
    assert target.exists()
    assert file.read_text() == "mine"


@pytest.mark.parametrize(("name", "reason"), [("no/dir", "No such file or directory"), ("x" * 200, "")])
def test_a_unix_socket_that_can_not_be_made_is_told_of(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    assert refusal(uds=str(path)).startswith(f"the socket '{path}' can't be made: {reason}")


def test_an_inherited_socket_is_used_and_left_open() -> None:
    with listening(("127.0.0.1", 0)) as theirs:
        with bound(load({"fd": str(theirs.fileno())})) as (sock,):
            assert (sock.family, sock.getsockname()) == (socket.AF_INET, theirs.getsockname())
        with socket.socket() as client:
            assert client.connect_ex(theirs.getsockname()) == 0


def test_a_descriptor_that_is_no_stream_socket_is_told_of(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        assert refusal(fd=str(file.fileno())).startswith(f"fd = {file.fileno()} is not an open socket: ")
        assert refusal(fd=str(datagrams.fileno())) == f"fd = {datagrams.fileno()} is not a stream socket"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_all_interfaces_are_those_of_ipv4_and_of_ipv6() -> None:
    with bound(load({"bind": [":0"]})) as sockets:
        assert {sock.getsockname()[0] for sock in sockets} == {"0.0.0.0", "::"}
        assert len({sock.getsockname()[1] for sock in sockets}) == 1


def test_several_addresses_are_bound_those_that_are_inherited_first(tmp_path: Path) -> None:
    path = tmp_path / "shop.sock"
    owner = f"{os.getuid()}:{os.getgid()}"
    with listening(("127.0.0.1", 0)) as theirs:
        unix = f"unix:{path}?mode=600&owner={owner}"
        with bound(load({"bind": [unix, f"fd:{theirs.fileno()}", "127.0.0.1:0"]})) as sockets:
            assert sockets[0].getsockname() == theirs.getsockname()
            assert [url(sock).partition(":")[0] for sock in sockets] == ["http", "unix", "http"]
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert (path.stat().st_uid, path.stat().st_gid) == (os.getuid(), os.getgid())
        assert theirs.fileno() != -1
    assert not path.exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("unix:{}/b?owner=nobody-of-this-name", "the socket '{}/b' can't be made: no such user: 'nobody-of-"),
        ("192.0.2.1:0", "host '192.0.2.1' is not an address of this machine; choose another with --bind"),
    ],
)
def test_nothing_is_left_of_the_others_if_an_address_can_not_be_had(
    tmp_path: Path, wrong: str, message: str
) -> None:
    told = refusal(bind=[f"unix:{tmp_path}/a", wrong.format(tmp_path)])
    assert told.startswith(message.format(tmp_path))
    assert list(tmp_path.iterdir()) == []
