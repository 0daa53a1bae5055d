# SPDX-License-Identifier: MIT
import socket
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from ashapp.server.serving.connections import Connections


@pytest.mark.parametrize(
    ("data", "held", "is_closed"), [(b"", False, True), (b"GET", False, False), (b"", True, False)]
)
def test_a_connection_on_which_something_has_arrived_is_not_idle(
    data: bytes, *, held: bool, is_closed: bool
) -> None:
    """It waits to be read, or to be parsed."""
    ours, theirs = socket.socketpair()
    transport = SimpleNamespace(get_write_buffer_size=lambda: 0, get_extra_info={"socket": ours}.get)
    protocol = Mock(
        spec=("shutdown",), cycle=None, scope=None, flow=SimpleNamespace(held=held), transport=transport
    )
    theirs.send(data)
    with ours, theirs:
        Connections({protocol}).close_idle(0)
    assert protocol.shutdown.called == is_closed
