# SPDX-License-Identifier: MIT
"""Tests that run through our adapter and through the one of asgiref that it replaces."""

from collections.abc import Callable
from typing import Any

import asgiref.wsgi
import pytest

from ashapp.bridge import WsgiToAsgi
from tests.support.client import TruncatedResponse
from tests.support.server import ServerDidNotStart

__all__ = ["Adapter", "stock_fails", "stock_passes"]

#: From a WSGI application to an ASGI application.
Adapter = Callable[[Any], Any]

# What a client can see go wrong. An error in the test itself does not count for a failure of stock asgiref.
_SEEN_BY_CLIENTS = (AssertionError, ConnectionError, ServerDidNotStart, TimeoutError, TruncatedResponse)


def stock_fails(reason: str, ours: Adapter = WsgiToAsgi) -> pytest.MarkDecorator:
    """Run the test with *ours* as ``adapter``, and with stock asgiref, which must fail for *reason*."""
    mark = pytest.mark.xfail(strict=True, raises=_SEEN_BY_CLIENTS, reason=f"stock asgiref: {reason}")
    return pytest.mark.parametrize(
        "adapter",
        [pytest.param(ours, id="ours"), pytest.param(asgiref.wsgi.WsgiToAsgi, id="stock", marks=mark)],
    )


def stock_passes(ours: Adapter = WsgiToAsgi) -> pytest.MarkDecorator:
    """Run the test with *ours* as ``adapter``, and with stock asgiref, which passes as well."""
    return pytest.mark.parametrize(
        "adapter",
        [pytest.param(ours, id="ours"), pytest.param(asgiref.wsgi.WsgiToAsgi, id="stock")],
    )
