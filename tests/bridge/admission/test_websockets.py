# SPDX-License-Identifier: MIT
import pytest

from ashapp.bridge.admission.departures import Departures
from ashapp.bridge.admission.websockets import Websockets
from ashapp.bridge.messages.errors import RequestRejected


def test_those_past_the_limit_are_refused() -> None:
    websockets = Websockets(1, 2, Departures())
    websockets.open = 2
    websockets.check()
    websockets.open = 3
    with pytest.raises(RequestRejected, match="2 WebSockets are open") as raised:
        websockets.check()
    assert raised.value.status == 503
    websockets.leave()
    websockets.check()


def test_those_that_find_no_thread_are_refused() -> None:
    websockets = Websockets(1, None, Departures())
    websockets.open = 2
    websockets.check()
    websockets.take_thread()
    with pytest.raises(RequestRejected, match="1 WebSockets hold a thread") as raised:
        websockets.take_thread()
    assert raised.value.status == 503
    websockets.leave_thread()
    websockets.take_thread()
    assert (websockets.open, websockets.on_threads) == (1, 1)


@pytest.mark.parametrize(
    ("threads", "limit", "said"), [(0, None, "websocket_threads is 0"), (1, 0, "limit_websockets is 0")]
)
def test_bounds_are_positive(threads: int, limit: int | None, said: str) -> None:
    with pytest.raises(ValueError, match=f"{said}: expected 1 or more"):
        Websockets(threads, limit, Departures())
