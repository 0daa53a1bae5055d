# SPDX-License-Identifier: MIT
"""The header of the PROXY protocol, with which a proxy begins a connection: versions 1 and 2. No I/O.

The specification is ``doc/proxy-protocol.txt`` of HAProxy; the numbers below are those of its sections. A
proxy that passes on bytes can't add a header to a request. So it sends the two addresses of its client's
connection first, even before TLS.
"""

import re
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

from ashapp.server.protocols.limits import Refusal
from ashapp.server.proxies.trusted import normal_address

__all__ = ["LONGEST", "ProxyHeader", "parse_proxy_header"]

#: The longest header that is accepted, in bytes. The format allows 65,551; no proxy sends that much.
LONGEST = 4096

# Version 1 (2.1): bytes of a header at most, and how it looks.
_LONGEST_LINE = 107
_PREFIX = b"PROXY "
_PORTS = r" (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
_LINE = re.compile(
    r"PROXY (?:UNKNOWN(?: [^\r\n]*)?"
    rf"|TCP4 ([0-9.]+) ([0-9.]+){_PORTS}"
    rf"|TCP6 ([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*) ([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*){_PORTS})"
)
_MAX_PORT = 65535

# Version 2 (2.2): how it begins, and what comes next: version and command, family, length of the rest.
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = struct.Struct("!12sBBH")
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
# Bytes of the two addresses, with their ports, of each family.
_SIZES = {_UNSPECIFIED: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}

# A field behind the addresses begins with type and length (2.2). TLS: a bit of the first byte of SSL (2.2.6).
_TLV = struct.Struct("!BH")
_SSL, _BY_SSL, _SSL_SIZE = 0x20, 0x01, 5


class ProxyHeader(NamedTuple):
    """The contents of a header of *length* bytes.

    *client* and *server* are the ends of the client's connection to the proxy, each an address and a port.
    They are None where the connection is the proxy's own, such as a health check, or not one by IP. *is_tls*
    tells that the client speaks TLS with the proxy.
    """

    length: int
    client: tuple[str, int] | None = None
    server: tuple[str, int] | None = None
    is_tls: bool = False


def parse_proxy_header(received: bytes) -> ProxyHeader | None:
    """Return the header at the beginning of *received*; None if it is not complete yet.

    Raises:
        Refusal: 400, it is malformed, too long, or no such header.
    """
    if _SIGNATURE.startswith(received[: len(_SIGNATURE)]):
        return _parse_block(received) if len(received) >= _FIXED.size else None
    if not _PREFIX.startswith(received[: len(_PREFIX)]):
        raise Refusal(
            400,
            "It does not begin with a header of the PROXY protocol: let the proxy send one, "
            "or switch proxy_protocol off.",
        )
    end = received.find(b"\r\n", 0, _LONGEST_LINE)
    if end >= 0:
        return _parse_line(received[:end].decode("latin-1"))
    if len(received) >= _LONGEST_LINE:
        raise Refusal(400, f"The header of the PROXY protocol is longer than {_LONGEST_LINE} bytes.")
    return None


def _parse_line(line: str) -> ProxyHeader:
    length = len(line) + len("\r\n")
    match = _LINE.fullmatch(line)
    if match is None:
        raise _malformed()
    told = [group for group in match.groups() if group is not None]
    if not told:
        return ProxyHeader(length)
    client, server, client_port, server_port = told
    return ProxyHeader(length, _end(client, client_port), _end(server, server_port))


def _end(text: str, port: str | int) -> tuple[str, int]:
    address = normal_address(text)
    if address is None or int(port) > _MAX_PORT:
        raise _malformed()
    return address, int(port)


def _malformed() -> Refusal:
    return Refusal(400, "The header of the PROXY protocol is malformed.")


def _parse_block(received: bytes) -> ProxyHeader | None:
    _, command, family, size = _FIXED.unpack_from(received)
    length = _FIXED.size + size
    if command not in {_LOCAL, _PROXY}:
        raise Refusal(400, f"The header of the PROXY protocol has version or command {command:#04x}.")
    if length > LONGEST:
        raise Refusal(400, f"The header of the PROXY protocol is longer than {LONGEST} bytes.")
    if command == _PROXY and family not in _SIZES:
        raise Refusal(400, f"The header of the PROXY protocol has family {family:#04x}.")
    if command == _PROXY and size < _SIZES[family]:
        raise Refusal(400, f"The header of the PROXY protocol is too short for family {family:#04x}.")
    if len(received) < length:
        return None
    if command == _LOCAL or family == _UNSPECIFIED:
        return ProxyHeader(length)
    block = received[_FIXED.size : length]
    is_tls = _tells_tls(block[_SIZES[family] :])
    if family == _UNIX:
        return ProxyHeader(length, is_tls=is_tls)
    size = 4 if family == _TCP4 else 16
    ends = struct.unpack_from(f"!{size}s{size}sHH", block)
    client, server = (_end(str(ip_address(ends[each])), ends[2 + each]) for each in range(2))
    return ProxyHeader(length, client, server, is_tls)


def _tells_tls(rest: bytes) -> bool:
    of_ssl = dict(_tlvs(rest)).get(_SSL, bytes(_SSL_SIZE))
    return bool(of_ssl[0] & _BY_SSL)


def _tlvs(rest: bytes) -> Iterator[tuple[int, bytes]]:
    while rest:
        kind, size = _TLV.unpack_from(rest) if len(rest) >= _TLV.size else (0, LONGEST)
        value, rest = rest[_TLV.size : _TLV.size + size], rest[_TLV.size + size :]
        if len(value) < size or (kind == _SSL and size < _SSL_SIZE):
            raise Refusal(400, "The header of the PROXY protocol has a TLV that is cut off.")
        yield kind, value
