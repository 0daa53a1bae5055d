# SPDX-License-Identifier: MIT
"""What a service exports, and what is rendered to watch it."""

import httpx
import pytest
from websockets.sync.client import connect

from tests.manifests.objects import Objects
from tests.manifests.observability.exported import scrape
from tests.manifests.render import MANIFESTS, kustomize
from tests.support.process import serving

APP = """
import time

import flask
from ashapp import readiness_check, websocket

app = flask.Flask(__name__)


@readiness_check("database")
def database():
    return True


@app.get("/")
def index():
    return "index"


@app.get("/blocking")
async def blocking():
    time.sleep(1)
    return "late"


@websocket(app, "/echo")
async def echo(ws):
    async for message in ws:
        await ws.send(message)
"""


@pytest.fixture(scope="session")
def observability() -> Objects:
    return Objects.read(kustomize(MANIFESTS / "observability"))


@pytest.fixture(scope="session", params=[1, 2], ids=["alone", "supervised"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The names of the series that a service exports, each with its labels."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    options = ["--workers", str(request.param), "--management-port", "0", "--faults", "--loop-guard", "0.1"]
    with serving(["app:app", *options, "--limit-blocking", "0.1"], cwd=folder) as server:
        with httpx.Client(base_url=server.base_url, timeout=30) as client:
            assert client.get("/").text == "index"
            assert client.get("/blocking").text == "late"
            assert client.get("/", headers={"X-Long": "x" * 100_000}).status_code == 431
        with connect(server.base_url.replace("http", "ws") + "/echo", proxy=None) as socket:
            socket.send("hello")
            assert socket.recv() == "hello"
        httpx.post(f"{server.management_url}/faults", json={"kind": "unready"}).raise_for_status()
        scrape(server, until="ashapp_active_faults")
        scrape(server, until="ashapp_faults_total")
        scrape(server, until="ashapp_websocket_closes_total")
        scrape(server, until="ashapp_requests_refused_total")
        return scrape(server, until="ashapp_event_loop_blocks_total")
