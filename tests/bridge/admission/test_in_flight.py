# SPDX-License-Identifier: MIT
"""Rule 22: requests in flight and queued are bounded; one more is told so at once."""

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest
from flask import Flask

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import PATIENCE, eventually


class Shop:
    """A Flask application with a sync and an async view that wait until they are told to go on."""

    def __init__(self) -> None:
        self.flask = Flask(__name__)
        self.gate = threading.Event()
        self.go_on = asyncio.Event()
        self.entered = 0
        self.flask.add_url_rule("/sync", view_func=self.sync_view)
        self.flask.add_url_rule("/async", view_func=self.async_view)

    def sync_view(self) -> str:
        self.entered += 1
        assert self.gate.wait(PATIENCE)
        return "sync"

    async def async_view(self) -> str:
        self.entered += 1
        await asyncio.wait_for(self.go_on.wait(), PATIENCE)
        return "async"


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.gate.set()


def begin(bridge: WsgiToAsgi, target: bytes, client: Client) -> "asyncio.Task[None]":
    return asyncio.create_task(bridge(http_scope("GET", target), client.receive, client.send))


def is_refused(client: Client, reason: str) -> bool:
    problem = json.loads(client.body)
    return (
        client.status == problem["status"] == 503
        and client.headers["retry-after"] == "1"
        and client.headers["content-type"] == "application/problem+json"
        and problem["detail"].startswith(f"The service is busy: {reason}")
    )


async def test_it_is_saturated_while_all_threads_are_stuck(shop: Shop) -> None:
    bridge = FlaskToAsgi(shop.flask, threads=2)
    requests = [begin(bridge, b"/sync", Client())]
    await eventually(lambda: shop.entered == 1)
    bridge.admission.timeout_thread = 0
    assert bridge.admission.saturation() is None
    requests.append(begin(bridge, b"/sync", Client()))
    await eventually(lambda: shop.entered == 2)
    expected = "saturated: all threads have been busy with the same requests for 0 s"
    await eventually(lambda: bridge.admission.saturation() == expected)
    bridge.admission.timeout_thread = 3600
    assert bridge.admission.saturation() is None
    shop.gate.set()
    await asyncio.gather(*requests)


async def test_one_request_too_many_in_flight_is_refused_while_the_others_are_served(shop: Shop) -> None:
    bridge = FlaskToAsgi(shop.flask, threads=1, limit_in_flight=2)
    clients = [Client(), Client()]
    tasks = [begin(bridge, b"/async", client) for client in clients]
    assert bridge.admission.saturation() is None
    await eventually(lambda: shop.entered == 2)
    assert bridge.admission.saturation() == "saturated: 2 requests in flight"
    assert is_refused(await fetch(bridge, target=b"/async"), "2 requests are being served")
    assert is_refused(await fetch(bridge, target=b"/nowhere"), "2 requests are being served")
    assert bridge.admission.in_flight == 2
    shop.go_on.set()
    await asyncio.gather(*tasks)
    assert [client.body for client in clients] == [b"async", b"async"]
    assert bridge.admission.in_flight == 0
    assert (await fetch(bridge, target=b"/async")).status == 200


async def test_one_request_too_many_in_the_queue_is_refused_and_async_views_are_not(shop: Shop) -> None:
    bridge = FlaskToAsgi(shop.flask, threads=1, limit_queue=2)
    clients = [Client(), Client(), Client()]
    tasks = [begin(bridge, b"/sync", clients[0])]
    await eventually(lambda: shop.entered == 1)
    tasks += [begin(bridge, b"/sync", client) for client in clients[1:]]
    await eventually(lambda: bridge.threads.queued == 2)
    assert bridge.admission.saturation() == "saturated: 2 requests wait for a thread"
    assert is_refused(await fetch(bridge, target=b"/sync"), "2 requests wait for a thread")
    assert is_refused(await fetch(bridge, "POST", b"/sync", b"a", b"body"), "2 requests wait for a thread")
    shop.go_on.set()
    assert (await fetch(bridge, target=b"/async")).body == b"async"
    shop.gate.set()
    await asyncio.gather(*tasks)
    assert [client.body for client in clients] == [b"sync"] * 3
    assert bridge.admission.saturation() is None
    assert (await fetch(bridge, target=b"/sync")).status == 200
