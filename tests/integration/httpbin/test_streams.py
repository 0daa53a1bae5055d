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
