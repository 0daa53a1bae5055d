# SPDX-License-Identifier: MIT
import pytest
from flask import Flask

from ashapp.testing import Client, WebSocketDenied

BAD = "/ws/ticks?count=0"


def test_messages_come_back(app: Flask) -> None:
    with Client(app) as client, client.websocket("/ws/echo") as socket:
        for message in ("grüß", b"\xff\x00"):
            socket.send(message)
            assert socket.receive() == message


def test_ticks_are_as_many_as_asked_for(app: Flask) -> None:
    with Client(app) as client, client.websocket("/ws/ticks?count=2&interval=0.01") as socket:
        assert [socket.receive_json()["number"] for _ in range(2)] == [1, 2]


def test_a_bad_value_denies_the_handshake(app: Flask) -> None:
    with Client(app) as client, pytest.raises(WebSocketDenied) as denial, client.websocket(BAD):
        pass
    assert denial.value.response.status_code == 400
    assert "from 1 to 1000" in denial.value.response.json()["detail"]
