# SPDX-License-Identifier: MIT
"""Each test of a rendered overlay runs for every overlay."""

import os
import re
from pathlib import Path

import pytest

from ashapp.server.settings.loading import load
from ashapp.server.settings.model import Settings
from tests.manifests.objects import Objects
from tests.manifests.render import MANIFESTS, OVERLAYS, kustomize


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
