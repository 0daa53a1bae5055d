# SPDX-License-Identifier: MIT
"""Enters a room, says something, and tells what is said there: ``python client.py ROOM TEXT``."""

import os
import sys

import socketio

room, text = sys.argv[1:]
client = socketio.Client()
client.on("said", lambda said: print(f"{said['room']}: {said['text']}", flush=True))
client.on("announced", lambda text: print(f"To all: {text}", flush=True))
client.connect(os.environ.get("URL", "http://127.0.0.1:5000"), transports=["websocket"])
print(f"Process {client.call('enter', room)['process']} serves you.", flush=True)
client.emit("say", (room, text))
client.wait()
