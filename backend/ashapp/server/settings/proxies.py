# SPDX-License-Identifier: MIT
"""Settings of a service behind proxies."""

import re

from ashapp.server.proxies.forwarded import FORWARDED_HEADERS
from ashapp.server.proxies.trusted import TrustedProxies
from ashapp.server.validation.kinds import FLAG, text, texts
from ashapp.server.validation.record import Record, field

__all__ = ["BehindProxy"]

_HOST_PATTERN = re.compile(r"\*|\[[0-9a-f:.]+\]|\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


def _items(text: str) -> list[str]:
    return text.replace(",", " ").split()


def _trusted(value: str) -> str:
    if not value:
        raise ValueError("must name an address, or * for all")
    TrustedProxies(value)
    return value


def _forwarded_headers(names: list[str]) -> list[str]:
    for name in names:
        if name.lower() not in FORWARDED_HEADERS:
            raise ValueError(f"{name.lower()!r} is not one of {', '.join(FORWARDED_HEADERS)}")
    return [name.lower() for name in names]


def _host_patterns(given: list[str]) -> list[str]:
    patterns = [each.strip().lower() for each in given]
    for each, pattern in zip(given, patterns, strict=True):
        if not _HOST_PATTERN.fullmatch(pattern):
            raise ValueError(
                f"{each!r} is not a host, without scheme and port, "
                "such as 'example.com', '.example.com' or '*'"
            )
    return patterns


def _root_path(value: str) -> str:
    if value.strip("/") and not value.startswith("/"):
        raise ValueError("must begin with a slash")
    return value.rstrip("/")


class BehindProxy(Record, title="Behind a proxy"):
    """Which proxies are trusted with what, and which hosts are answered for."""

    root_path: str = field(text(_root_path), "")
    """URL path that a proxy strips before it passes requests on."""
    proxy_headers: bool = field(FLAG, default=True)
    """Look at forwarded headers. Off leaves them to the application, whoever has sent them."""
    proxy_protocol: bool = field(FLAG, default=False)
    """Let each connection begin with a header of the PROXY protocol, version 1 or 2; close those without, and
    those whose header names a client and that are not of forwarded_allow_ips. Not at the management port."""
    forwarded_allow_ips: str = field(text(_trusted), "127.0.0.1,::1,unix")
    """Proxies whose forwarded headers, and headers of the PROXY protocol, are trusted: addresses, networks,
    'unix' for a UNIX domain socket, or * for all. The forwarded headers of others are removed."""
    forwarded_headers: list[str] = field(
        texts(_items, _forwarded_headers), ["x-forwarded-for", "x-forwarded-proto"]
    )
    """Headers that every trusted proxy sets, or removes where a client has set them: x-forwarded-for,
    x-forwarded-proto, x-forwarded-host, x-forwarded-port, x-forwarded-prefix, forwarded.
    [default: x-forwarded-for,x-forwarded-proto]"""
    allowed_hosts: list[str] = field(texts(_items, _host_patterns), ["*"])
    """Hosts that are answered for, others get 400: example.com, .example.com with all below it, or *.
    Probes are answered for all. [default: *]"""
