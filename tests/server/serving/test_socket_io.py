# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from flask import Flask
from flask_socketio import SocketIO

from ashapp.bridge import FlaskToAsgi, adopt_socketio
from ashapp.server.serving.socket_io import socket_io_warnings
from ashapp.server.settings.loading import load

ALONE = {"transports": ["websocket"]}
POLL = "shop:app lets Socket.IO clients poll, "


def warnings(options: dict[str, Any], flags: dict[str, str]) -> list[str]:
    app = Flask("shop")
    SocketIO(app, **{"async_mode": "threading", **options})
    settings = load({"app": "shop:app", **flags})
    found = list(socket_io_warnings(app, settings))
    assert list(socket_io_warnings(FlaskToAsgi(app), settings)) == found
    return found


@pytest.mark.parametrize(
    ("options", "flags", "told"),
    [
        (ALONE, {}, []),
        ({}, {"threads": "100"}, []),
        ({}, {}, [f"{POLL}each of which holds one of 40 threads nearly all the time"]),
        ({}, {"threads": "100", "request_timeout": "26"}, []),
        (
            {},
            {"threads": "100", "request_timeout": "25"},
            [f"{POLL}which wait for 25 s: request_timeout = 25 ends that with 504"],
        ),
        (ALONE, {"workers": "2"}, ["shop:app emits to the Socket.IO clients of one worker alone"]),
        ({**ALONE, "message_queue": "redis://127.0.0.1:1"}, {"workers": "2"}, []),
        (
            {"message_queue": "redis://127.0.0.1:1"},
            {"workers": "2", "threads": "100"},
            [f"{POLL}whose requests reach any of 2 workers, but only one knows their session"],
        ),
    ],
)
def test_what_will_not_work_is_told(options: dict[str, Any], flags: dict[str, str], told: list[str]) -> None:
    found = warnings(options, flags)
    assert len(found) == len(told)
    assert all(line.startswith(begin) for line, begin in zip(found, told, strict=True))


def test_a_mode_for_other_servers_is_told() -> None:
    app = Flask("shop")
    extension = SocketIO(app, async_mode="threading", **ALONE)
    extension.server.eio.async_mode = "eventlet"  # which is not installed
    (line,) = socket_io_warnings(app, load({"app": "shop:app"}))
    assert line.startswith("shop:app has SocketIO(async_mode='eventlet'): only \"threading\" works here")


def test_polls_of_one_that_is_adopted_hold_no_thread() -> None:
    app = Flask("shop")
    adopt_socketio(SocketIO(app, async_mode="threading"))
    assert list(socket_io_warnings(app, load({"app": "shop:app"}))) == []


@pytest.mark.parametrize("found", [Flask("shop"), lambda environ, start_response: []])
def test_others_are_told_nothing(found: object) -> None:
    assert list(socket_io_warnings(found, load({"app": "shop:app", "workers": "2"}))) == []
