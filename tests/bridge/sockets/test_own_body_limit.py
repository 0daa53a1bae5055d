# SPDX-License-Identifier: MIT
"""Rule 5: MAX_CONTENT_LENGTH limits ``request.stream``; a view may read the input by a limit of its own."""

from flask import Flask, request
from werkzeug.wsgi import get_input_stream

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails
from tests.support.client import Connection
from tests.support.server import Serve

LIMIT = 1000
SIZE = 100_000


@stock_fails("a chunked body is empty for Flask", FlaskToAsgi)
def test_the_input_itself_has_no_limit(serve: Serve, adapter: Adapter) -> None:
    """Rule 5. As under any other server that ends the input where the body ends."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LIMIT

    @app.post("/")
    def measure() -> str:
        return str(len(get_input_stream(request.environ).read()))

    with Connection(serve(adapter(app))) as connection:
        connection.send_request("POST", "/", [("Transfer-Encoding", "chunked")])
        connection.send(b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE, bytes(SIZE)))
        response = connection.receive()
    assert (response.status, response.body) == (200, str(SIZE).encode())
