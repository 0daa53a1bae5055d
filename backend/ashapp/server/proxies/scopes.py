# SPDX-License-Identifier: MIT
"""Change scopes so that the application sees each request as the first trusted proxy got it.

This takes the place of uvicorn's ``ProxyHeadersMiddleware``, which knows two of these headers.
"""

import logging
from collections.abc import Collection
from urllib.parse import unquote

from ashapp.bridge.messages.types import Scope
from ashapp.server.proxies.forwarded import FORWARDED_HEADERS, Forwarded, resolve
from ashapp.server.proxies.trusted import UNIX, TrustedProxies, normal_address

__all__ = ["Proxies", "below"]

_log = logging.getLogger("ashapp.server")

_KNOWN = frozenset(name.encode() for name in FORWARDED_HEADERS)
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


class Proxies:
    """Changes scopes by their forwarded headers.

    From a peer that *trusted* trusts, the headers named in *believed* change ``client``, ``scheme``,
    ``server``, ``root_path`` and the header ``Host``. All forwarded headers stay, for an application that
    reads them itself. From any other peer they are removed, so that they can't deceive a middleware of the
    application. The first removal is logged.
    """

    def __init__(self, trusted: TrustedProxies, believed: Collection[str]) -> None:
        self._trusted = trusted
        self._believed = frozenset(name.encode() for name in believed)
        self._has_told = False

    def consider(self, scope: Scope) -> None:
        """Change *scope*, if it has a forwarded header."""
        if _KNOWN.isdisjoint(dict(scope["headers"])):
            return
        peer = _peer(scope)
        if peer is None or not self._trusted.trusts(peer):
            scope["headers"] = [field for field in scope["headers"] if field[0] not in _KNOWN]
            self._tell(peer)
            return
        fields: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            if name in self._believed:
                fields.setdefault(name, []).append(value)
        _apply(resolve(fields, self._trusted.trusts), scope)

    def _tell(self, peer: str | None) -> None:
        if not self._has_told:
            self._has_told = True
            _log.warning(
                "Forwarded headers from %s are removed, as are those from all others that are not trusted: "
                "if it is a proxy of yours, name it in forwarded_allow_ips",
                peer or "a peer without an address",
            )


def below(root: str | None, path: str) -> str:
    """Return the part of *path* below the *root* path, or all of it where it is not below."""
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _peer(scope: Scope) -> str | None:
    client = scope.get("client")
    if client:
        return normal_address(client[0]) or ""
    server = scope.get("server")
    # A Unix socket has a path and no port; a TCP client that has gone already has no address either.
    return UNIX if server and server[1] is None else None


def _apply(forwarded: Forwarded, scope: Scope) -> None:
    if forwarded.client is not None:
        scope["client"] = forwarded.client
    if forwarded.scheme is not None:
        is_websocket = scope["type"] == "websocket"
        scope["scheme"] = forwarded.scheme.replace("http", "ws") if is_websocket else forwarded.scheme
    if forwarded.host is not None or forwarded.port is not None:
        _apply_host(forwarded, scope)
    if forwarded.prefix is not None:
        _apply_prefix(forwarded.prefix, scope)


def _apply_host(forwarded: Forwarded, scope: Scope) -> None:
    given = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
    host = forwarded.host or given
    if forwarded.port is not None:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        is_default = forwarded.port == _DEFAULT_PORTS.get(scope["scheme"])
        host = name if is_default or not name else f"{name}:{forwarded.port}"
        scope["server"] = ((scope.get("server") or ("localhost",))[0], forwarded.port)
    if host:
        others = [field for field in scope["headers"] if field[0] != b"host"]
        scope["headers"] = [(b"host", host.encode("latin-1")), *others]


def _apply_prefix(prefix: str, scope: Scope) -> None:
    root = scope.get("root_path", "")
    decoded = unquote(prefix)
    scope["root_path"] = decoded
    scope["path"] = decoded + below(root, scope["path"])
    raw_path = scope.get("raw_path")
    if raw_path is not None:
        scope["raw_path"] = f"{prefix}{below(root, raw_path.decode('latin-1'))}".encode("latin-1")
