# SPDX-License-Identifier: MIT
"""Addresses that a service listens on, as ``--bind`` writes them.

``ashapp check`` reads them too, so only the standard library is imported here.
"""

import re
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Address",
    "InheritedAddress",
    "TcpAddress",
    "UnixAddress",
    "address_texts",
    "parse_address",
    "parse_addresses",
]

# Any user may connect, as a proxy under another one does. uvicorn has the same.
_UNIX_MODE = 0o666

_ALLOWED = (
    "HOST:PORT, :PORT for all interfaces, [IPV6]:PORT, unix:PATH, unix:PATH?mode=660&owner=USER:GROUP "
    "or fd:NUMBER"
)
_TCP = re.compile(r"(?:\[(?P<ipv6>[^\[\]/\s]*:[^\[\]/\s]*)\]|(?P<name>[^\[\]/:\s]*)):(?P<port>[0-9]{1,5})")
_FD = re.compile(r"fd:([0-9]{1,9})")
_MODE = re.compile(r"0?[0-7]{3}")
_OWNER = re.compile(r"([^:\s]*)(?::([^:\s]+))?")


class TcpAddress(NamedTuple):
    """A port of a host; all interfaces, with IPv4 and IPv6, where *host* is empty. Port 0 is a free one."""

    host: str
    port: int


class UnixAddress(NamedTuple):
    """A UNIX domain socket. *user* and *group* are names or numbers, or empty: those of the process."""

    path: str
    mode: int = _UNIX_MODE
    user: str = ""
    group: str = ""


class InheritedAddress(NamedTuple):
    """An open socket with this descriptor."""

    fd: int


Address = TcpAddress | UnixAddress | InheritedAddress


def address_texts(value: Any) -> Any:
    """Return the texts in *value*: it is a list, or one text with commas between them."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def parse_addresses(texts: Sequence[str]) -> list[Address]:
    """Return the addresses in *texts*: the service can listen on all of them at once.

    Raises:
        ValueError: there is none, one is wrong, or two are the same port or the same socket.
    """
    if not texts:
        raise ValueError(f"must name an address: {_ALLOWED}")
    addresses = [(text, parse_address(text)) for text in texts]
    for (one, first), (other, second) in combinations(addresses, 2):
        if _collide(first, second):
            raise ValueError(f"{one!r} and {other!r} are the same address: leave one out")
    return [address for _, address in addresses]


def parse_address(text: str) -> Address:
    """Return the address that *text* stands for.

    Raises:
        ValueError: it stands for none.
    """
    if text.startswith("unix:") and text.partition("?")[0] != "unix:":
        return _parse_unix(text)
    if match := _FD.fullmatch(text):
        return InheritedAddress(int(match[1]))
    match = _TCP.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f"{text!r} is not an address to listen on, which is {_ALLOWED}")
    return TcpAddress(match["ipv6"] or match["name"], int(match["port"]))


def _parse_unix(text: str) -> UnixAddress:
    path, mark, query = text.removeprefix("unix:").partition("?")
    address = UnixAddress(path)
    for option in query.split("&") if mark else []:
        name, _, value = option.partition("=")
        owner = _OWNER.fullmatch(value)
        if name == "mode" and _MODE.fullmatch(value):
            address = address._replace(mode=int(value, 8))
        elif name == "owner" and value and owner:
            address = address._replace(user=owner[1], group=owner[2] or "")
        else:
            raise ValueError(
                f"{option!r} in {text!r} is neither mode=, an octal number from 000 to 777 such as 660, "
                "nor owner=USER, USER:GROUP or :GROUP"
            )
    return address


def _collide(first: Address, second: Address) -> bool:
    """Say whether both can't be bound. The kernel finds that out only when both listen."""
    match first, second:
        case TcpAddress(), TcpAddress():
            same_host = first.host == second.host or _has_all(first, second) or _has_all(second, first)
            return first.port == second.port != 0 and same_host
        case UnixAddress(), UnixAddress():
            return Path(first.path).resolve() == Path(second.path).resolve()
    return first == second


def _has_all(address: TcpAddress, other: TcpAddress) -> bool:
    """Say whether *address* is all interfaces of the protocol of *other*. A name may have IPv4 and IPv6."""
    match address.host:
        case "":
            return True
        case "0.0.0.0":  # noqa: S104 - nothing is bound by this
            return ":" not in other.host
        case "::":
            return other.host != "0.0.0.0" and not other.host.replace(".", "").isdecimal()  # noqa: S104
    return False
