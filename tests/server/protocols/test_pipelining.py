# SPDX-License-Identifier: MIT
"""Requests that a client sends before it has the response to the one that is being served."""

from tests.server.protocols.conftest import Application, ServeLimited
from tests.support.client import Connection
from tests.support.waiting import until

GET = b"GET /%s HTTP/1.1\r\nHost: shop\r\n\r\n"


def test_the_request_that_is_served_learns_that_the_client_has_gone(
    serve: ServeLimited, app: Application
) -> None:
    with Connection(serve()) as connection:
        connection.send(GET % b"silent" + GET % b"unread")
        until(lambda: app.headers)
    until(lambda: app.ends == ["disconnected"])


def test_so_does_one_that_has_waited_for_its_turn(serve: ServeLimited, app: Application) -> None:
    with Connection(serve()) as connection:
        connection.send(GET % b"unread" + GET % b"silent" + GET % b"unread")
        until(lambda: len(app.headers) == 2)
    until(lambda: app.ends == ["disconnected"])
