# SPDX-License-Identifier: MIT
"""Settings of a service behind proxies."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

from ashapp.server.middleware.allowed_hosts import host_pattern
from ashapp.server.middleware.proxies import FORWARDED_HEADERS
from ashapp.server.middleware.trusted_proxies import TrustedProxies

__all__ = ["Proxying"]


def _items(value: Any) -> Any:
    return [item for item in value.replace(",", " ").split() if item] if isinstance(value, str) else value


def _trusted(value: str) -> str:
    TrustedProxies(value)
    return value


def _known(names: list[str]) -> list[str]:
    lowered = [name.lower() for name in names]
    for name in lowered:
        if name not in FORWARDED_HEADERS:
            raise ValueError(f"{name!r} is not one of {', '.join(FORWARDED_HEADERS)}")
    return lowered


def _patterns(hosts: list[str]) -> list[str]:
    return [host_pattern(host) for host in hosts]


class Proxying(BaseModel):
    """Which proxies are trusted with what, and which hosts are answered for."""

    proxy_headers: bool = Field(
        default=True,
        description="Look at forwarded headers. Off leaves them to the application, whoever has sent them.",
    )
    forwarded_allow_ips: Annotated[str, AfterValidator(_trusted)] = Field(
        default="127.0.0.1,::1,unix",
        min_length=1,
        description="Proxies whose forwarded headers are trusted: addresses, networks, 'unix' for a UNIX "
        "domain socket, or * for all. The headers of others are removed.",
    )
    forwarded_headers: Annotated[list[str], NoDecode, BeforeValidator(_items), AfterValidator(_known)] = (
        Field(
            default=["x-forwarded-for", "x-forwarded-proto"],
            description="Headers that every trusted proxy sets, or removes where a client has set them: "
            f"{', '.join(FORWARDED_HEADERS)}. [default: x-forwarded-for,x-forwarded-proto]",
        )
    )
    allowed_hosts: Annotated[list[str], NoDecode, BeforeValidator(_items), AfterValidator(_patterns)] = Field(
        default=["*"],
        description="Hosts that are answered for, others get 400: example.com, .example.com with all below "
        "it, or *. Probes are answered for all. [default: *]",
    )
