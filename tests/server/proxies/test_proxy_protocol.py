# SPDX-License-Identifier: MIT
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ashapp.server.protocols.limits import Refusal
from ashapp.server.proxies.proxy_protocol import ProxyHeader, parse_proxy_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
IPV4 = bytes([198, 51, 100, 7, 192, 0, 2, 1]) + struct.pack("!HH", 40000, 443)
IPV6 = IPv6Address("2001:db8::7").packed + IPv6Address("2001:db8::1").packed + struct.pack("!HH", 40000, 443)
UNIX = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")
CLIENT, SERVER = ("198.51.100.7", 40000), ("192.0.2.1", 443)
CLIENT6, SERVER6 = ("2001:db8::7", 40000), ("2001:db8::1", 443)


def binary(family: int, block: bytes, command: int = 0x21) -> bytes:
    """Return a header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


BY_TLS = tlv(0x20, b"\x01" + bytes(4) + tlv(0x21, b"TLSv1.3"))
NOT_BY_TLS = tlv(0x20, bytes(5))

# A name, the header, and what it tells.
_GOOD: list[tuple[str, bytes, Any]] = [
    ("TCP4", b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 443\r\n", (CLIENT, SERVER)),
    ("TCP6", b"PROXY TCP6 2001:DB8::7 2001:db8:0::1 40000 443\r\n", (CLIENT6, SERVER6)),
    (
        "mapped",
        b"PROXY TCP6 ::ffff:198.51.100.7 ::ffff:192.0.2.1 0 65535\r\n",
        ((CLIENT[0], 0), (SERVER[0], 65535)),
    ),
    ("UNKNOWN", b"PROXY UNKNOWN\r\n", ()),
    ("UNKNOWN with more", b"PROXY UNKNOWN ffff::1 anything 1 2\r\n", ()),
    ("longest", b"PROXY UNKNOWN " + b"f" * 91 + b"\r\n", ()),
    ("IPv4", binary(0x11, IPV4), (CLIENT, SERVER)),
    ("IPv6", binary(0x21, IPV6), (CLIENT6, SERVER6)),
    ("Unix", binary(0x31, UNIX), ()),
    ("unspecified", binary(0x00, b"anything"), ()),
    ("LOCAL", binary(0x00, b"", command=0x20), ()),
    ("LOCAL with more", binary(0x99, b"anything", command=0x20), ()),
    ("TLVs", binary(0x11, IPV4 + tlv(0x04, b"padding") + tlv(0xEA, b"vpce")), (CLIENT, SERVER)),
    ("by TLS", binary(0x21, IPV6 + tlv(0x01, b"h2") + BY_TLS), (CLIENT6, SERVER6, True)),
    ("not by TLS", binary(0x11, IPV4 + NOT_BY_TLS), (CLIENT, SERVER)),
    ("longest TLVs", binary(0x11, IPV4 + tlv(0x04, bytes(4065))), (CLIENT, SERVER)),
]
GOOD = {name: (header, ProxyHeader(len(header), *told)) for name, header, told in _GOOD}

BAD = {
    "none": (REQUEST, "does not begin with"),
    "none, of one byte": (b"G", "does not begin with"),
    "TLS": (b"\x16\x03\x01", "does not begin with"),
    "an empty line": (b"\r\nGET", "does not begin with"),
    "lower case": (b"proxy tcp4", "does not begin with"),
    "no CR": (b"PROXY UNKNOWN\n" + bytes(100), "longer than 107"),
    "too long": (b"PROXY UNKNOWN " + b"f" * 92 + b"\r\n", "longer than 107"),
    "another protocol": (b"PROXY UDP4 198.51.100.7 192.0.2.1 1 2\r\n", "is malformed"),
    "UNKNOWNS": (b"PROXY UNKNOWNS\r\n", "is malformed"),
    "two spaces": (b"PROXY TCP4  198.51.100.7 192.0.2.1 1 2\r\n", "is malformed"),
    "a space more": (b"PROXY TCP4 198.51.100.7 192.0.2.1 1 2 \r\n", "is malformed"),
    "a port less": (b"PROXY TCP4 198.51.100.7 192.0.2.1 1\r\n", "is malformed"),
    "a high port": (b"PROXY TCP4 198.51.100.7 192.0.2.1 1 65536\r\n", "is malformed"),
    "a port with a zero": (b"PROXY TCP4 198.51.100.7 192.0.2.1 01 2\r\n", "is malformed"),
    "no address": (b"PROXY TCP4 198.51.100.256 192.0.2.1 1 2\r\n", "is malformed"),
    "IPv6 for IPv4": (b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n", "is malformed"),
    "IPv4 for IPv6": (b"PROXY TCP6 198.51.100.7 192.0.2.1 1 2\r\n", "is malformed"),
    "a zone": (b"PROXY TCP6 fe80::1%eth0 2001:db8::1 1 2\r\n", "is malformed"),
    "version 1 in binary": (binary(0x11, IPV4, command=0x11), "version or command 0x11"),
    "another command": (binary(0x11, IPV4, command=0x22), "version or command 0x22"),
    "UDP": (binary(0x12, IPV4), "family 0x12"),
    "another family": (binary(0x41, IPV4), "family 0x41"),
    "too short for IPv4": (binary(0x11, IPV4[:-1]), "too short"),
    "too short for IPv6": (binary(0x21, IPV4), "too short"),
    "too short for Unix": (binary(0x31, UNIX[:-1]), "too short"),
    "too long in binary": (binary(0x11, IPV4 + tlv(0x04, bytes(4066))), "longer than 4096"),
    "half a TLV": (binary(0x11, IPV4 + b"\x04\x00"), "TLV"),
    "a TLV beyond the end": (binary(0x11, IPV4 + b"\x04\x00\x02\x00"), "TLV"),
    "a short TLV of TLS": (binary(0x11, IPV4 + tlv(0x20, b"\x01")), "TLV"),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_is_understood_whatever_follows_it(name: str) -> None:
    header, told = GOOD[name]
    for rest in (b"", REQUEST, b"\r\n"):
        assert parse_proxy_header(header + rest) == told


@pytest.mark.parametrize("name", GOOD)
def test_a_part_of_a_header_is_waited_for(name: str) -> None:
    header, _ = GOOD[name]
    assert [n for n in range(len(header)) if parse_proxy_header(header[:n]) is not None] == []


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused(name: str) -> None:
    received, why = BAD[name]
    with pytest.raises(Refusal, match=why) as refused:
        parse_proxy_header(received)
    assert refused.value.status == 400


ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)
PORTS = st.integers(0, 65535)


@given(ADDRESSES.flatmap(lambda one: st.tuples(st.just(one), st.ip_addresses(v=one.version))), PORTS, PORTS)
def test_both_versions_tell_the_same(
    addresses: tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address], source: int, target: int
) -> None:
    one, other = addresses
    text = f"PROXY TCP{one.version} {one.exploded} {other.compressed} {source} {target}\r\n".encode()
    block = one.packed + other.packed + struct.pack("!HH", source, target)
    of_text = parse_proxy_header(text)
    of_bytes = parse_proxy_header(binary(0x11 if one.version == 4 else 0x21, block))
    assert of_text is not None
    assert of_bytes is not None
    assert (of_text.client, of_text.server) == (of_bytes.client, of_bytes.server)
    assert of_text.client is not None
    assert of_text.client[1] == source
    assert ip_address(of_text.client[0]) == getattr(one, "ipv4_mapped", None) or one


@given(st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=300))
@example(b"PROXY TCP6 ", b"::" * 20 + b"\r\n")
def test_more_bytes_never_take_back_what_was_said(begin: bytes, more: bytes) -> None:
    def outcome(received: bytes) -> object:
        try:
            return parse_proxy_header(received)
        except Refusal as refusal:
            return refusal.detail

    outcomes = [outcome((begin + more)[:n]) for n in range(len(begin + more) + 1)]
    said = [each for each in outcomes if each is not None]
    assert len(set(said)) <= 1
    assert outcomes == [None] * (len(outcomes) - len(said)) + said
