# SPDX-License-Identifier: MIT
"""Rooms by Flask-SocketIO, whose clients meet in Redis, whichever worker has them."""

import os

import flask
from flask_socketio import SocketIO, emit, join_room, rooms

from ashapp import adopt_socketio

app = flask.Flask(__name__)
socketio = SocketIO(
    app,
    async_mode="threading",
    # A client that polls would have to come to the same worker each time. A WebSocket stays where it is.
    transports=["websocket"],
    message_queue=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"),
)
# Idle clients hold no threads.
adopt_socketio(socketio)


@socketio.on("enter")
def enter(room):
    join_room(room)
    return {"process": os.getpid()}


@socketio.on("say")
def say(room, text):
    if room in rooms():
        emit("said", {"room": room, "text": text}, to=room)


@app.post("/announce")
def announce():
    # A view reaches all clients too, those of the other workers among them.
    socketio.emit("announced", flask.request.get_json())
    return "", 204
