# SPDX-License-Identifier: MIT
import json
from typing import Any

import pytest
from flask import Flask
from werkzeug import exceptions

from ashapp.bridge.messages.attributes import attribute_of
from ashapp.bridge.messages.errors import ClientDisconnected, RequestRejected, send_problem
from tests.support.asgi import Client


@pytest.mark.parametrize("kind", [OSError, exceptions.ClientDisconnected, exceptions.BadRequest])
def test_client_disconnected_is_what_asgi_and_werkzeug_expect(kind: type[Exception]) -> None:
    with pytest.raises(kind, match="gone"):
        raise ClientDisconnected("gone")


def test_client_disconnected_is_a_bad_request_to_flask(caplog: pytest.LogCaptureFixture) -> None:
    app = Flask(__name__)

    @app.get("/")
    def view() -> str:
        raise ClientDisconnected("gone")

    assert app.test_client().get("/").status_code == 400
    assert not caplog.records


def test_request_rejected_says_what_to_answer() -> None:
    rejection = RequestRejected(431, "too long")
    assert (rejection.status, rejection.detail, str(rejection)) == (431, "too long", "too long")
    assert rejection.headers == ()
    assert RequestRejected(503, "busy", [(b"retry-after", b"1")]).headers == ((b"retry-after", b"1"),)


@pytest.mark.parametrize(
    ("status", "title", "detail"),
    [(400, "Bad Request", 'Host is given twice: "\u00e9"'), (503, "Service Unavailable", "")],
)
async def test_a_problem_is_complete(status: int, title: str, detail: str) -> None:
    client = Client()
    await send_problem(client.send, status, detail)
    assert client.complete
    assert client.status == status
    assert client.headers == {
        "content-type": "application/problem+json",
        "content-length": str(len(client.body)),
    }
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    assert json.loads(client.body) == problem


class Moody:
    there = 1

    def __getattr__(self, name: str) -> Any:
        raise {"absent": AttributeError, "key": KeyError, "proxy": RuntimeError}[name](name)


@pytest.mark.parametrize("name", ["absent", "key", "proxy"])
def test_an_attribute_that_is_not_to_be_had_is_the_default(name: str) -> None:
    assert attribute_of(Moody(), name) is None
    assert attribute_of(Moody(), name, 2) == 2
    assert attribute_of(Moody(), "there", 2) == 1
