# SPDX-License-Identifier: MIT
import pytest

from ashapp import FlaskToAsgi
from ashapp.api import create_app
from ashapp.api.routes.call import parse_backends
from ashapp.api.trace import trace_of_request
from ashapp.testing import AsyncClient
from tests.support.server import serving

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-ID": "one"}


async def test_all_backends_are_asked_in_one_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    backend = create_app()
    seen = []

    @backend.before_request
    def note() -> None:
        seen.append(trace_of_request())

    with serving(FlaskToAsgi(backend)) as address:
        url = "http://{}:{}".format(*address)
        backends = (
            f"good={url}/bytes/9, teapot={url}/status/418,moved={url}/redirect/1,large={url}/bytes/2000000"
        )
        app = create_app({"ASHAPP_API_BACKENDS": f"{backends},gone=http://127.0.0.1:1/"})
        async with AsyncClient(app, timeout=60) as client:
            answer = (await client.get("/call", headers=HEADERS)).json()
    assert answer["trace_id"] == TRACE
    assert {(trace.trace_id, trace.request_id) for trace in seen} == {(TRACE, "one")}
    calls = {called["backend"]: called for called in answer["calls"]}
    statuses = {name: called["status"] for name, called in calls.items()}
    assert statuses == {"good": 200, "teapot": 418, "moved": 302, "large": 200, "gone": None}
    assert (calls["good"]["size"], calls["good"]["error"]) == (9, None)
    assert "1048576 bytes" in calls["large"]["error"]
    assert calls["gone"]["error"]


async def test_nobody_is_asked_unless_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASHAPP_API_BACKENDS", raising=False)
    async with AsyncClient(create_app()) as client:
        answer = (await client.get("/call?backend=http://127.0.0.1:1")).json()
    assert (len(answer["trace_id"]), answer["calls"]) == (32, [])


@pytest.mark.parametrize(
    "text", ["shop", "=http://a", "a=file:///etc/passwd", "a=http://", "a=b", "a b=http://a"]
)
def test_a_wrong_backend_stops_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="expected NAME=URL"):
        create_app({"ASHAPP_API_BACKENDS": text})


def test_a_missing_httpx_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ashapp.api.routes.call.find_spec", lambda _name: None)
    assert parse_backends(" , ") == {}
    with pytest.raises(ValueError, match=r"pip install 'ashapp-backend\[call\]'"):
        parse_backends("stock=http://stock:5000/version")
