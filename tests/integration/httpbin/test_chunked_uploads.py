# SPDX-License-Identifier: MIT
"""Bodies whose length nobody announces.

httpbin refuses them under any server but gunicorn, which it knows by name: most WSGI servers do not say
that their input ends where the body does. Ours does, so httpbin is also served under a name that it trusts.
"""

import hashlib
from collections.abc import Iterator
from textwrap import dedent

import httpx
import pytest

from tests.support.process import serving

DISGUISED = """
    import httpbin

    def application(environ, start_response):
        environ["SERVER_SOFTWARE"] = "gunicorn/disguise"
        return httpbin.app(environ, start_response)
    """


@pytest.fixture(scope="module")
def disguised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """httpbin in a WSGI callable that is no Flask object."""
    folder = tmp_path_factory.mktemp("disguised")
    (folder / "wsgi.py").write_text(dedent(DISGUISED))
    with (
        serving(["wsgi.py"], cwd=folder) as server,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=20) as client,
    ):
        yield client


def pieces(*content: bytes) -> Iterator[bytes]:
    yield from content


def test_httpbin_refuses_them(client: httpx.Client) -> None:
    response = client.post("/post", content=pieces(b"one", b"two"))
    assert response.status_code == 501
    assert "Chunked requests are not supported for server ashapp" in response.text
    assert client.get("/get").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_they_arrive_whole(disguised: httpx.Client, method: str) -> None:
    body = disguised.request(method, f"/{method.lower()}", content=pieces(b"one", b" ", b"two")).json()
    assert body["data"] == "one two"
    assert body["headers"]["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in body["headers"]


def test_large_ones_arrive_whole(disguised: httpx.Client) -> None:
    text = hashlib.shake_256(b"large").hexdigest(1 << 19).encode()
    chunks = pieces(*(text[start : start + 9999] for start in range(0, len(text), 9999)))
    body = disguised.post("/post", content=chunks, headers={"Content-Type": "text/plain"}).json()
    assert body["data"] == text.decode()


def test_forms_arrive_whole(disguised: httpx.Client) -> None:
    fields = {"Content-Type": "application/x-www-form-urlencoded"}
    body = disguised.post("/post", content=pieces(b"a=1&", b"b=", b"2"), headers=fields).json()
    assert body["form"] == {"a": "1", "b": "2"}
