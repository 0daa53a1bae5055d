# SPDX-License-Identifier: MIT
"""Bodies that are made piece by piece."""

import json
import time

import httpx

from tests.support.client import Address, Connection


def test_every_piece_is_a_chunk(address: Address) -> None:
    with Connection(address) as connection:
        connection.send_request("GET", "/stream/20")
        connection.receive_head()
        chunks = list(connection.receive_chunks())
        assert [json.loads(chunk)["id"] for chunk in chunks] == list(range(20))
        assert connection.request("GET", "/get").status == 200


def test_pieces_arrive_while_the_rest_is_made(client: httpx.Client) -> None:
    # httpbin sleeps for a second after each of the four bytes: the last comes after three seconds.
    began = time.monotonic()
    with client.stream("GET", "/drip?numbytes=4&duration=4&code=201") as response:
        assert (response.status_code, response.headers["content-length"]) == (201, "4")
        pieces = response.iter_raw()
        first = next(pieces)
        first_at = time.monotonic() - began
        rest = b"".join(pieces)
        last_at = time.monotonic() - began
    assert (first + rest, first_at < 3, last_at >= 3) == (b"****", True, True)


def test_a_delay_before_the_first_piece(client: httpx.Client) -> None:
    began = time.monotonic()
    assert client.get("/drip?numbytes=2&duration=0&delay=0.3").content == b"**"
    assert time.monotonic() - began >= 0.3


def test_a_stream_that_the_client_leaves_frees_its_thread(address: Address) -> None:
    # As many streams as there are threads, each of ten seconds and more: had they kept their threads,
    # nobody else would be answered before that.
    for _ in range(64):
        with Connection(address) as connection:
            connection.send_request("GET", "/drip?numbytes=100&duration=20")
            connection.receive_head()
            connection.receive_bytes(1)
            connection.vanish()
    with Connection(address, timeout=8) as connection:
        assert connection.request("GET", "/get").status == 200
