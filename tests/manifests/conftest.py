# SPDX-License-Identifier: MIT
"""Each test of a rendered overlay runs for every overlay."""

import os
import re
from pathlib import Path

import httpx
import pytest

from ashapp.server.settings import Settings
from ashapp.server.settings.loading import load
from tests.manifests.exported import scrape
from tests.manifests.objects import Objects
from tests.manifests.render import MANIFESTS, OVERLAYS, kustomize
from tests.support.process import serving

APP = """
import time

import flask
from ashapp import readiness_check

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
"""


@pytest.fixture(scope="session", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> Path:
    """The directory of an overlay."""
    return MANIFESTS / "overlays" / str(request.param)


@pytest.fixture(scope="session")
def rendered(overlay: Path) -> str:
    return kustomize(overlay)


@pytest.fixture(scope="session")
def objects(rendered: str) -> Objects:
    return Objects.read(rendered)


@pytest.fixture
def settings(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings as the service in the container reads them."""
    for name in os.environ:
        if re.match(r"ASHAPP_|PORT$|WEB_CONCURRENCY$|FORWARDED_ALLOW_IPS$|FLASK_APP$", name):
            monkeypatch.delenv(name)
    for name, value in objects.environment.items():
        monkeypatch.setenv(name, value)
    return load({})


@pytest.fixture(scope="session", params=[1, 2], ids=["alone", "supervised"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The names of the series that a service exports, each with its labels."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    options = ["--workers", str(request.param), "--management-port", "0", "--loop-guard", "0.1"]
    with serving(["app:app", *options, "--limit-blocking", "0.1"], cwd=folder) as server:
        with httpx.Client(base_url=server.base_url, timeout=30) as client:
            assert client.get("/").text == "index"
            assert client.get("/blocking").text == "late"
            assert client.get("/", headers={"X-Long": "x" * 100_000}).status_code == 431
        scrape(server, until="ashapp_requests_refused_total")
        return scrape(server, until="ashapp_event_loop_blocks_total")
