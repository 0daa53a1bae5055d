# SPDX-License-Identifier: MIT
"""The path of a request: SCRIPT_NAME, PATH_INFO, and as the client has quoted it. No I/O."""

from urllib.parse import quote_from_bytes, unquote_to_bytes

from ashapp.bridge.messages.types import Scope

__all__ = ["split_path"]

# Characters that a path need not escape (RFC 3986, 3.3), so that REQUEST_URI escapes no others.
_SAFE = "/:@!$&'()*+,;=~"


def split_path(scope: Scope) -> tuple[str, str, str]:
    """Return SCRIPT_NAME, PATH_INFO and the still quoted path of *scope*.

    ``root_path`` is removed from the path only if it ends at a ``/``: ``/api`` is no prefix of ``/apiv2``. It
    may also be missing in ``path``, as before ASGI 2.4.
    """
    path: str = scope["path"]
    raw: bytes | None = scope.get("raw_path")
    quoted = "" if raw is None else raw.decode("latin-1")
    if quoted != path or "%" in quoted:
        path, quoted = _quote(path, raw)
    root_path = scope.get("root_path", "")
    if not root_path:
        return "", path or "/", quoted or "/"
    root_path = _encode(root_path).decode("latin-1")
    root = root_path.rstrip("/")
    if root != root_path:
        # Some servers put root_path before the client's path as it is, so that the slash is there twice.
        path, quoted = (
            root + text[len(root_path) :] if text.startswith(f"{root_path}/") else text
            for text in (path, quoted)
        )
    if not root:
        return "", path or "/", quoted or "/"
    if path.startswith(root) and path[len(root) : len(root) + 1] in {"", "/"}:
        path = path[len(root) :]
    return root, path, quoted


def _quote(path: str, raw: bytes | None) -> tuple[str, str]:
    """Return *path* as latin-1 text over its bytes, and as the client quoted it.

    *raw* has the client's bytes. It is optional, and a middleware that rewrites the path
    may forget it, so it counts only where the two agree.
    """
    if raw is not None:
        unquoted = unquote_to_bytes(raw)
        if unquoted.decode("utf-8", "replace") == path:
            return unquoted.decode("latin-1"), raw.decode("latin-1")
    encoded = _encode(path)
    return encoded.decode("latin-1"), quote_from_bytes(encoded, safe=_SAFE)


def _encode(text: str) -> bytes:
    # Servers that decode with "surrogateescape" keep the client's bytes; any other surrogate still passes.
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
