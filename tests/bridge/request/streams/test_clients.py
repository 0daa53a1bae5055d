# SPDX-License-Identifier: MIT
"""Rules 6, 8 and 17: streams over sockets, held back by their clients, and stopped when these have gone."""

import itertools
import threading
import time

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.bridge.request.streams.conftest import Stream
from tests.support.client import Connection
from tests.support.journal import Journal
from tests.support.server import Serve, on_every_server
from tests.support.waiting import until

BLOCK = bytes(65536)
ENDINGS = {"GeneratorExit", "CancelledError"}


def play_slowly(stream: Stream, chunk: bytes) -> Stream:
    """Let *stream* make the same chunk again and again, for as long as a test may take."""
    stream.script = itertools.repeat(chunk, 20_000)
    stream.pause = 0.001
    return stream


@on_every_server
def test_a_chunk_arrives_when_it_is_yielded(
    app: flask.Flask, journal: Journal, stream: Stream, form: str, serve: Serve
) -> None:
    """The producer waits until the client has the chunk. A sync one is made on the request's thread."""
    app.before_request(lambda: journal.note("before"))
    go = [threading.Event() for _ in range(5)]
    stream.script = [step for number, event in enumerate(go) for step in (b"%d" % number, event)]
    with Connection(serve(FlaskToAsgi(app))) as connection:
        connection.send_request("GET", "/")
        head = connection.receive_head()
        assert (head.status, head.one("content-length")) == (200, None)
        for number, chunk in enumerate(connection.receive_chunks()):
            assert (chunk, stream.produced) == (b"%d" % number, number + 1)
            go[number].set()
    assert journal.names == ["before", "closed"]
    assert journal["closed"].on_loop == (not form.startswith("sync"))
    assert len(journal.threads) == 1


@on_every_server
def test_a_slow_reader_holds_the_producer_and_stops_it_when_it_goes(
    app: flask.Flask, journal: Journal, stream: Stream, serve: Serve
) -> None:
    """What is ahead is bounded by the buffers."""
    stream.script = itertools.repeat(BLOCK)
    connection = Connection(serve(FlaskToAsgi(app)), receive_buffer=65536)
    connection.send_request("GET", "/")
    until(lambda: stream.produced)
    ahead = 0
    while ahead != stream.produced:
        ahead = stream.produced
        time.sleep(0.1)
    assert 0 < ahead * len(BLOCK) < 16 << 20
    connection.receive_head()
    connection.receive_bytes(4 << 20)
    until(lambda: stream.produced > ahead)
    connection.vanish()
    until(lambda: "closed" in journal)
    assert journal.names[0] in ENDINGS


@pytest.mark.parametrize("size", [1000, 500_000, 20_000_000])
def test_a_producer_is_stopped_though_a_body_is_unread(
    app: flask.Flask, journal: Journal, stream: Stream, serve: Serve, size: int
) -> None:
    """The disconnect is behind the body."""
    play_slowly(stream, bytes(1000))
    connection = Connection(serve(FlaskToAsgi(app)))
    connection.send_request("POST", "/", [("Content-Length", str(size))])
    connection.send_until_held(size)
    connection.receive_head()
    connection.vanish()
    until(lambda: "closed" in journal)
    assert journal.names[0] in ENDINGS


def test_the_next_request_of_a_connection_follows_a_stream(
    app: flask.Flask, stream: Stream, serve: Serve
) -> None:
    """The end of a stream is the end of its watching."""
    stream.script = [b"one", b"two"]
    with Connection(serve(FlaskToAsgi(app))) as connection:
        for _ in range(10):
            assert connection.request("GET", "/").body == b"onetwo"
            assert connection.request("POST", "/", body=b"unread").body == b"onetwo"
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
        assert [connection.receive().body for _ in range(10)] == [b"onetwo"] * 10
