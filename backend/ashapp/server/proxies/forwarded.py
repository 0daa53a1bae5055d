# SPDX-License-Identifier: MIT
"""Reads forwarded headers: how the first proxy got a request. No I/O.

Theory of operation. Each proxy appends what it saw at the right end of ``X-Forwarded-For``, with its
companions, or of ``Forwarded`` (RFC 7239). Entries that a client has sent itself are at the left end, so only
those of trusted proxies count. The list of addresses is read from the right. The peer is trusted, so the last
address is right. If that is a trusted proxy too, the address before it is right, and so on. The client is the
first address that is not trusted, or the leftmost if all are. An entry that is no address ("unknown", an
obfuscated name, nonsense) ends the search.

Scheme, host, port and prefix are those of the same proxy: at the same place, if their list is as long as that
of the addresses, else the last ones. Values that a URL can't hold are left out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from ashapp.server.proxies.trusted import normal_address

__all__ = ["FORWARDED_HEADERS", "Forwarded", "parse_forwarded", "resolve"]

#: The forwarded headers that are known.
FORWARDED_HEADERS = (
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "forwarded",
)

# A parameter and what ends it. A node with a port has to be quoted (RFC 7239, 4); those who forget that are
# understood.
_PARAMETER = re.compile(
    r"""[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))[ \t]*)?([,;]|\Z)"""
)
_NODE = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?|([0-9.]+)(?::([0-9]{1,5}))?|([0-9A-Fa-f:.]+)")
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PREFIX = re.compile(r"/?|(?:/[A-Za-z0-9._~!$&'()*+;=:@%-]+)+/?")
_ODD_SEGMENTS = {".", ".."}
_PORT_DIGITS, _MAX_PORT = 5, 65535


class Forwarded(NamedTuple):
    """The request at the first trusted proxy. Unknown values are None.

    *client* is an address and a port, 0 if the port is not known. *host* may have a port. *prefix* is the
    beginning of the path that proxies have removed: empty, or with a slash at its start only.
    """

    client: tuple[str, int] | None = None
    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    prefix: str | None = None


def resolve(fields: Mapping[bytes, Sequence[bytes]], trusts: Callable[[str], bool]) -> Forwarded:
    """Read *fields*, the values of each header by its lower-case name.

    *trusts* says whether the proxy with an address is trusted. ``Forwarded`` wins over its three
    ``X-Forwarded`` counterparts, unless it is malformed.
    """
    elements = _elements(fields.get(b"forwarded", ()))
    if elements:
        hops = [element.get("for", "") for element in elements]
    else:
        hops = _split(fields.get(b"x-forwarded-for", ()))
    index, client = _walk(hops, trusts)

    def beside(name: bytes) -> str | None:
        values = _split(fields.get(name, ()))
        if not values:
            return None
        return values[index] if index is not None and len(values) == len(hops) else values[-1]

    if elements:
        added = elements[-1 if index is None else index :]
        scheme, host = _first(added, "proto"), _first(added, "host")
    else:
        scheme, host = beside(b"x-forwarded-proto"), beside(b"x-forwarded-host")
    port, prefix = beside(b"x-forwarded-port"), beside(b"x-forwarded-prefix")
    return Forwarded(client, _scheme(scheme), _host(host), _port(port), _prefix(prefix))


def parse_forwarded(text: str) -> list[dict[str, str]]:
    """Return the elements of a ``Forwarded`` header, parameter names in lower case (RFC 7239, 4).

    Raises:
        ValueError: it is malformed, or a parameter is repeated within an element.
    """
    elements: list[dict[str, str]] = [{}]
    position = 0
    while True:
        match = _PARAMETER.match(text, position)
        if match is None:
            raise ValueError(f"Forwarded is malformed at position {position}: {text!r}")
        name, quoted, plain, end = match.groups()
        if name is not None:
            if name.lower() in elements[-1]:
                raise ValueError(f"Forwarded has {name} twice in one element: {text!r}")
            elements[-1][name.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if not end:
            return [element for element in elements if element]
        if end == ",":
            elements.append({})
        position = match.end()


def _elements(values: Sequence[bytes]) -> list[dict[str, str]]:
    try:
        return parse_forwarded(b",".join(values).decode("latin-1"))
    except ValueError:
        return []


def _walk(hops: Sequence[str], trusts: Callable[[str], bool]) -> tuple[int | None, tuple[str, int] | None]:
    """Return the place of the client in *hops*, and the client."""
    place, client = None, None
    for index in reversed(range(len(hops))):
        node = _node(hops[index])
        if node is None:
            break
        place, client = index, node
        if not trusts(node[0]):
            break
    return place, client


def _split(values: Sequence[bytes]) -> list[str]:
    return [item.strip() for item in b",".join(values).decode("latin-1").split(",")] if values else []


def _first(elements: Sequence[Mapping[str, str]], name: str) -> str | None:
    return next((element[name] for element in elements if name in element), None)


def _node(text: str) -> tuple[str, int] | None:
    match = _NODE.fullmatch(text)
    if match is None:
        return None
    address = normal_address(match[1] or match[3] or match[5])
    return None if address is None else (address, _port(match[2] or match[4]) or 0)


def _scheme(text: str | None) -> str | None:
    scheme = (text or "").lower()
    return scheme if scheme in {"http", "https"} else {"ws": "http", "wss": "https"}.get(scheme)


def _host(text: str | None) -> str | None:
    return text if text and _HOST.fullmatch(text) else None


def _port(text: str | None) -> int | None:
    number = int(text) if text and text.isascii() and text.isdecimal() and len(text) <= _PORT_DIGITS else 0
    return number if 0 < number <= _MAX_PORT else None


def _prefix(text: str | None) -> str | None:
    if text is None or not _PREFIX.fullmatch(text):
        return None
    # Escaped or not, these segments would change the URL: "//host" would even lead to another host.
    segments = unquote(text).split("/")
    if len(segments) != text.count("/") + 1 or not _ODD_SEGMENTS.isdisjoint(segments):
        return None
    return text.rstrip("/") if all(map(_is_plain, segments)) else None


def _is_plain(segment: str) -> bool:
    return segment.isprintable() and "\\" not in segment
