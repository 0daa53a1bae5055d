# SPDX-License-Identifier: MIT
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from ashapp.server.assembly import gevent_patches
from ashapp.server.health.state import Health
from ashapp.server.serving import process
from ashapp.server.serving.draining_server import DrainingServer
from ashapp.server.settings.loading import load

SHOP = """
import asyncio
from flask import Flask
app = Flask("shop")
app.secret_key = "9f2c6d0b1e7a4538"
steps.append(asyncio.run(asyncio.sleep(0, "imported")))
"""


def make(**flags: Any) -> DrainingServer:
    settings = load({"app": "shop", **flags})
    config = uvicorn.Config(settings.app, log_config=None, interface="asgi3", proxy_headers=False)
    return DrainingServer(config, settings, Health())


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, project: Callable[..., Path]) -> list[object]:
    done: list[object] = []
    monkeypatch.setattr("builtins.steps", done, raising=False)
    monkeypatch.setattr(gevent_patches, "limit", lambda: done.append("prepared"))
    monkeypatch.setattr(uvicorn.Config, "get_loop_factory", lambda config: done.append("loop"))
    monkeypatch.setattr(DrainingServer, "run", lambda server, sockets: done.append(server.config.loop))
    project(shop=SHOP)
    return done


@pytest.mark.parametrize(("flags", "loop"), [({}, "asyncio"), ({"loop": "uvloop"}, "auto")])
def test_greenlets_get_a_loop_beside_which_they_run(
    steps: list[object], monkeypatch: pytest.MonkeyPatch, flags: dict[str, str], loop: str
) -> None:
    monkeypatch.setattr(gevent_patches, "are_limited", lambda: True)
    process.serve(make(**flags), [], None, lambda kind, line: steps.append(line.partition(",")[0]))
    assert steps[:4] == ["prepared", "loop", "imported", "loop"]
    assert steps[4] == "shop calls gevent.monkey.patch_all()"
    assert steps[-1] == loop
