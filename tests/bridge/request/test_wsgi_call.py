# SPDX-License-Identifier: MIT
"""The life of a WSGI call, the same in each place: failures, and clients that go."""

import asyncio
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import pytest

from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.messages.types import Environ, Message, StartResponse
from ashapp.bridge.request.output_queue import HIGH_WATER
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.bridge.request.wsgi_applications import (
    PLAIN,
    Adapter,
    Body,
    answer,
    answer_noting,
    length,
)
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import eventually

# -- failures


@pytest.mark.parametrize(
    "error",
    [
        ValueError("oops"),
        OSError("oops"),
        ConnectionResetError("oops"),
        SystemExit("oops"),
        KeyboardInterrupt("oops"),
        GeneratorExit("oops"),
        StopIteration("oops"),
        StopAsyncIteration("oops"),
        asyncio.CancelledError("oops"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("partial", [[], [b"part", b"ial"]], ids=["before", "midway"])
async def test_what_an_application_raises_reaches_the_server(
    adapt: Adapter, error: BaseException, partial: list[bytes]
) -> None:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", PLAIN)
        for chunk in partial:
            write(chunk)
        raise error

    client = Client()
    with pytest.raises(Exception, match=r"oops|StopIteration") as caught:
        await adapt(application)(http_scope(), client.receive, client.send)
    ordinary = isinstance(error, Exception) and not isinstance(error, StopIteration)
    assert (caught.value is error) is ordinary
    assert (caught.value.__cause__ is error) is not ordinary
    assert client.body == b"".join(partial)
    assert not client.complete


@pytest.mark.parametrize(
    ("method", "headers", "chunks", "on_close", "sent", "raised"),
    [
        pytest.param("GET", PLAIN, [], None, b"", None, id="nothing"),
        pytest.param("GET", PLAIN, [b"a", b"b"], None, b"ab", None, id="success"),
        pytest.param("GET", length(2), [b"a", b"b", b"c"], None, b"ab", None, id="length reached"),
        pytest.param("GET", length(2), [b"abc"], None, b"ab", None, id="overrun"),
        pytest.param("GET", length(3), [b"ab"], None, b"ab", RuntimeError, id="underrun"),
        pytest.param("GET", length(3), [], None, b"", None, id="no body"),
        pytest.param("HEAD", PLAIN, [b"a"], None, b"", None, id="head"),
        pytest.param("GET", PLAIN, [ValueError], None, b"", ValueError, id="error before the start"),
        pytest.param("GET", PLAIN, [b"a", ValueError], None, b"a", ValueError, id="error midway"),
        pytest.param("GET", PLAIN, [b"a", SystemExit], None, b"a", RuntimeError, id="exit midway"),
        pytest.param("GET", PLAIN, [b"a", "text"], None, b"a", TypeError, id="text midway"),
        pytest.param("GET", PLAIN, [], ValueError, b"", None, id="close fails"),
        pytest.param("GET", length(1), [b"a"], SystemExit, b"a", None, id="close exits"),
        pytest.param("GET", PLAIN, [OSError], KeyError, b"", KeyError, id="both fail"),
    ],
)
async def test_close_is_called_once_in_every_outcome(
    adapt: Adapter,
    method: str,
    headers: list[tuple[str, str]],
    chunks: list[Any],
    on_close: type[BaseException] | None,
    sent: bytes,
    raised: type[Exception] | None,
) -> None:
    body = Body(*chunks, on_close=on_close)
    client = Client()
    with pytest.raises(raised) if raised else nullcontext():
        await adapt(answer_noting(body, headers))(http_scope(method), client.receive, client.send)
    assert body.closed == 1
    assert b"".join(message["body"] for message in client.sent[1:]) == sent
    assert client.complete is (raised is None)
    # On the loop the body is unknown to the bridge, so it is iterated and closed on the thread of the
    # request.
    assert {context for _, context in body.places} == {"request"}
    assert len({thread for thread, _ in body.places}) == (1 if adapt is WsgiToAsgi else 2)


@pytest.mark.parametrize("error", [ValueError, SystemExit])
async def test_a_close_that_fails_after_the_end_is_logged(
    adapt: Adapter, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    await fetch(adapt(answer([], kind=lambda chunks: Body(on_close=error))))
    (record,) = caplog.records
    assert record.getMessage() == "the response was complete, then its end failed"
    assert record.exc_info
    assert "oops" in str(record.exc_info[1])


# -- a client that goes


@pytest.mark.parametrize("error", [OSError("gone"), ClientDisconnected("gone"), ConnectionResetError("gone")])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_a_send_that_fails_stops_the_body(
    adapt: Adapter, error: OSError, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    class Gone(Client):
        async def send(self, message: Message) -> None:
            if len(self.sent) == at - 1:
                raise error
            await super().send(message)

    body = Body(*[bytes(HIGH_WATER)] * 100)
    client = Gone()
    await adapt(answer_noting(body, PLAIN))(http_scope(), client.receive, client.send)
    assert len(client.sent) == at - 1
    assert body.closed == 1
    assert len(body.places) < 10
    assert not caplog.records


async def test_a_send_that_fails_otherwise_is_the_servers_to_explain(adapt: Adapter) -> None:
    class Broken(Client):
        async def send(self, message: Message) -> None:
            raise RuntimeError("broken")

    body = Body(*[bytes(HIGH_WATER)] * 100)
    client = Broken()
    application = adapt(answer_noting(body, PLAIN))
    with pytest.raises(RuntimeError, match="broken"):
        await application(http_scope(), client.receive, client.send)
    await eventually(lambda: body.closed == 1)
