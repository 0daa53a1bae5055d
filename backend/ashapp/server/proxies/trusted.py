# SPDX-License-Identifier: MIT
"""The proxies whose forwarded headers are believed: addresses and networks. No I/O."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["UNIX", "TrustedProxies", "normal_address"]

#: Stands for whatever connects by a Unix domain socket, which has no address.
UNIX = "unix"


class TrustedProxies:
    """The proxies that *text* lists, with commas: addresses, networks, ``unix``, or ``*`` for all.

    Raises:
        ValueError: an entry is none of these.
    """

    def __init__(self, text: str) -> None:
        entries = [entry.strip() for entry in text.split(",") if entry.strip()]
        self._all = "*" in entries
        self._unix = UNIX in entries
        self._networks: list[IPv4Network | IPv6Network] = [
            _network(entry) for entry in entries if entry not in {"*", UNIX}
        ]
        # Few proxies ask, again and again.
        self.trusts = lru_cache(maxsize=1024)(self._look_up)

    def _look_up(self, address: str) -> bool:
        """Return whether the peer or hop with this *address* is trusted; ``UNIX`` is one."""
        if self._all or address == UNIX:
            return self._all or self._unix
        parsed = _parse(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def normal_address(text: str) -> str | None:
    """Return the IP address *text* in its usual form, None if it is none.

    An IPv4 address within IPv6 (``::ffff:192.0.2.1``), as a socket for both has it, becomes IPv4.
    """
    parsed = _parse(text)
    return None if parsed is None else str(parsed)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is not an address, a network such as 10.0.0.0/8, 'unix' or '*' ({error})"
        ) from error
