# SPDX-License-Identifier: MIT
"""WebSockets that send back what comes: handlers of ashapp of either kind, and one of Flask-Sock."""

from typing import Any

from flask import Flask
from flask_sock import Sock

from tests.bridge.websocket.native.echoes import add_echoes

app = Flask(__name__)
add_echoes(app)
_sock = Sock(app)


@_sock.route("/library")
def library(ws: Any) -> None:
    """Send back what comes."""
    while True:
        ws.send(ws.receive())
