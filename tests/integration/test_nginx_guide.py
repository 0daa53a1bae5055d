# SPDX-License-Identifier: MIT
"""The nginx of docs/deploy.md in front of a service: who the client is, WebSockets, streams."""

from pathlib import Path
from textwrap import dedent

import httpx
import websocket

from tests.support.network.nginx import needs_nginx, nginx_of
from tests.support.page import Page
from tests.support.process import serving

GUIDE = Page(Path(__file__).parents[2] / "docs" / "deploy.md")
SHOP = """
    import asyncio, flask
    from ashapp import sse, websocket

    app = flask.Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763"

    @app.get("/who")
    def who():
        return [flask.request.remote_addr, flask.request.url]

    @app.get("/events")
    async def events():
        async def source():
            yield "first"
            await asyncio.sleep(600)
        return sse(source())

    @websocket(app, "/echo")
    async def echo(socket):
        async for message in socket:
            await socket.send(message)
"""


@needs_nginx
def test_the_nginx_of_the_guide_tells_who_the_client_is_and_passes_sockets_and_streams(
    tmp_path: Path,
) -> None:
    (configuration,) = GUIDE.sections["On one machine, with Compose and nginx"].of("nginx")
    tmp_path.joinpath("shop.py").write_text(dedent(SHOP))
    with serving(["shop"], cwd=tmp_path, env={"FORWARDED_ALLOW_IPS": "*"}) as service:
        site = configuration.replace("shop:5000", "{}:{}".format(*service.address))
        with nginx_of(tmp_path, site.replace("listen 80;", "listen {listen};")) as (host, port):
            forged = {
                "X-Forwarded-For": "192.0.2.1",
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": "evil",
            }
            answer = httpx.get(f"http://{host}:{port}/who", headers=forged)
            assert answer.json() == ["127.0.0.1", f"http://{host}:{port}/who"]
            client = websocket.create_connection(f"ws://{host}:{port}/echo", timeout=20)
            client.send("hello")
            assert client.recv() == "hello"
            client.close()
            with httpx.stream("GET", f"http://{host}:{port}/events", timeout=20) as stream:
                assert next(line for line in stream.iter_lines() if line.startswith("data")) == "data: first"
