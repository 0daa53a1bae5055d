# SPDX-License-Identifier: MIT
"""``start_response`` and the framing of a response, by PEP 3333 and RFC 9110. No I/O."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from ashapp.bridge.messages.headers import encode_response_headers
from ashapp.bridge.messages.types import ExcInfo, Message

__all__ = ["Response", "status_code"]

# With these fields an application lets the proxy in front send a file, or another response, in place of its
# own: nginx; Apache, lighttpd and Caddy; lighttpd before 1.5; Perlbal.
_HAND_OVER = frozenset({b"x-accel-redirect", b"x-sendfile", b"x-lighttpd-send-file", b"x-reproxy-url"})

_LENGTH = b"content-length"
_STATUS = re.compile(r"([1-5][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")

# Heads of few and short fields come again and again. Longer ones, cookies among them, are not kept in memory.
_SHORT = 40
_MOST_PARTS = 12
_MOST_KNOWN = 1024
_known: dict[tuple[Any, ...], "_Head"] = {}


class _Head(NamedTuple):
    """A status, the fields as they are sent, whether no body may follow, and the length of the body."""

    code: int
    fields: tuple[tuple[bytes, bytes], ...]
    bodiless: bool
    length: int | None


@lru_cache(maxsize=256)
def status_code(status: str) -> int:
    """Return the code of a WSGI *status* such as ``"200 OK"``; the reason phrase may be absent.

    Raises:
        ValueError: it is no three-digit code from 200 to 599. An interim answer (1xx) is not
            an application's to give, and servers can't express what RFC 9110, 15 leaves undefined.
    """
    match = _STATUS.fullmatch(status)
    if not match or status[0] == "1":
        raise ValueError(f'status {status!r}: expected a final code and a reason, as in "200 OK"')
    return int(match[1])


class Response:
    """The head of a response, as the application has given it, and how much of the body went out.

    ``start`` is the body of ``start_response``. The rest is for the sender: ``head`` seals the
    headers, ``clip`` counts the body against Content-Length.
    """

    __slots__ = ("_headers", "_is_head", "bodiless", "complete", "remaining", "sealed", "status")

    def __init__(self, method: str) -> None:
        self._is_head = method == "HEAD"
        #: The code of the status; 0 as long as ``start_response`` has not been called.
        self.status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        #: Bytes of the body still due by Content-Length; None where that is not given.
        self.remaining: int | None = None
        #: Whether no body may follow: HEAD, 204 and 304 (RFC 9110, 6.4.1).
        self.bodiless = False
        #: Whether the head was sent, and whether the whole body was.
        self.sealed = self.complete = False

    @property
    def is_handed_over(self) -> bool:
        """Whether a proxy is asked to send something in place of the body (``X-Sendfile`` and the like)."""
        return any(name in _HAND_OVER for name, _ in self._headers)

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None) -> None:
        """Take the status and the headers (PEP 3333, "The start_response() Callable").

        Raises:
            BaseException: the one in *exc_info*, where the headers have already gone out.
            AssertionError: called again without *exc_info*.
            TypeError, ValueError: the status or a header is malformed.
        """
        if exc_info is not None and exc_info[1] is not None:
            if self.sealed:
                raise exc_info[1].with_traceback(exc_info[2])
        elif self.status:
            raise AssertionError("start_response was called again without exc_info (PEP 3333)")
        self.status, fields, self.bodiless, self.remaining = _head(status, headers, is_head=self._is_head)
        self._headers = [*fields]

    def head(self) -> Message:
        """Seal the headers and return them as the ``http.response.start`` message.

        Raises:
            AssertionError: ``start_response`` has not been called.
        """
        if not self.status:
            raise AssertionError("the application sent a body before it called start_response (PEP 3333)")
        self.sealed = True
        return {"type": "http.response.start", "status": self.status, "headers": self._headers}

    def clip(self, chunk: bytes) -> bytes:
        """Return the part of *chunk* that may still be sent, and count it."""
        if self.bodiless:
            return b""
        if self.remaining is not None:
            if len(chunk) > self.remaining:
                chunk = chunk[: self.remaining]
            self.remaining -= len(chunk)
        return chunk


def _head(status: str, headers: Iterable[tuple[str, str]], *, is_head: bool) -> _Head:
    key: tuple[Any, ...] = (is_head, status, *headers)
    try:
        known = _known.get(key)
    except TypeError:  # lists, in place of tuples of text
        return _make_head(*key)
    if known is None:
        known = _make_head(*key)
        if len(key) <= _MOST_PARTS and all(len(value) <= _SHORT for _, value in key[2:]):
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[key] = known
    return known


def _make_head(is_head: bool, status: str, *headers: tuple[str, str]) -> _Head:  # noqa: FBT001 - the parts of a key
    code = status_code(status)
    encoded = encode_response_headers(headers)
    if not (is_head or code in {204, 304}):
        return _Head(code, (*encoded,), bodiless=False, length=_content_length(encoded))
    if not is_head or code == 204:
        # 204 must not have one (RFC 9110, 8.6); for 304 servers would wait for the body it promises.
        encoded = [field for field in encoded if field[0] != _LENGTH]
    return _Head(code, (*encoded,), bodiless=True, length=None)


def _content_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    by_name = dict(headers)
    length = by_name.get(_LENGTH)
    if length is None:
        return None
    is_repeated = len(by_name) < len(headers)
    if is_repeated and any(value != length for name, value in headers if name == _LENGTH):
        raise ValueError(
            f"response header Content-Length: {length!r} and another: expected one number of bytes"
        )
    if not length.isdigit():
        raise ValueError(f"response header Content-Length: {length!r}: expected one number of bytes")
    return int(length)
