# SPDX-License-Identifier: MIT
"""Settings of a service behind proxies."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from ashapp.server.proxies.forwarded import FORWARDED_HEADERS
from ashapp.server.proxies.trusted import TrustedProxies

__all__ = ["BehindProxy"]

_HOST_PATTERN = re.compile(r"\*|\[[0-9a-f:.]+\]|\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


def _items(value: Any) -> Any:
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _trusted(value: str) -> str:
    TrustedProxies(value)
    return value


def _forwarded_header(name: str) -> str:
    if name.lower() not in FORWARDED_HEADERS:
        raise ValueError(f"{name.lower()!r} is not one of {', '.join(FORWARDED_HEADERS)}")
    return name.lower()


def _host_pattern(text: str) -> str:
    pattern = text.strip().lower()
    if not _HOST_PATTERN.fullmatch(pattern):
        raise ValueError(
            f"{text!r} is not a host, without scheme and port, such as 'example.com', '.example.com' or '*'"
        )
    return pattern


def _root_path(value: str) -> str:
    if value.strip("/") and not value.startswith("/"):
        raise ValueError("must begin with a slash")
    return value.rstrip("/")


class BehindProxy(BaseModel, title="Behind a proxy", defer_build=True):
    """Which proxies are trusted with what, and which hosts are answered for."""

    root_path: Annotated[str, AfterValidator(_root_path)] = ""
    """URL path that a proxy strips before it passes requests on."""
    proxy_headers: bool = True
    """Look at forwarded headers. Off leaves them to the application, whoever has sent them."""
    proxy_protocol: bool = False
    """Let each connection begin with a header of the PROXY protocol, version 1 or 2; close those without, and
    those whose header names a client and that are not of forwarded_allow_ips. Not at the management port."""
    forwarded_allow_ips: Annotated[str, Field(min_length=1), AfterValidator(_trusted)] = "127.0.0.1,::1,unix"
    """Proxies whose forwarded headers, and headers of the PROXY protocol, are trusted: addresses, networks,
    'unix' for a UNIX domain socket, or * for all. The forwarded headers of others are removed."""
    forwarded_headers: Annotated[
        list[Annotated[str, AfterValidator(_forwarded_header)]], BeforeValidator(_items)
    ] = ["x-forwarded-for", "x-forwarded-proto"]
    """Headers that every trusted proxy sets, or removes where a client has set them: x-forwarded-for,
    x-forwarded-proto, x-forwarded-host, x-forwarded-port, x-forwarded-prefix, forwarded.
    [default: x-forwarded-for,x-forwarded-proto]"""
    allowed_hosts: Annotated[list[Annotated[str, AfterValidator(_host_pattern)]], BeforeValidator(_items)] = [
        "*"
    ]
    """Hosts that are answered for, others get 400: example.com, .example.com with all below it, or *.
    Probes are answered for all. [default: *]"""
