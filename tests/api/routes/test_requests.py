# SPDX-License-Identifier: MIT
import base64
import gzip
import io
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from ashapp.api import create_app
from ashapp.testing import AsyncClient
from tests.support.flask import since
from tests.support.problem_details import assert_problem


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_request_comes_back(client: FlaskClient, method: str) -> None:
    response = client.open(
        "/echo?a=1&b=&a=2&caf%C3%A9=%E2%82%AC",
        method=method,
        data="gr\u00fc\u00df",
        headers={"X-Trace": "abc", "Content-Type": "text/plain"},
    )
    assert response.status_code == 200
    body = response.get_json()
    assert body.pop("headers")["X-Trace"] == "abc"
    assert body == {
        "method": method,
        "path": "/echo",
        "args": {"a": ["1", "2"], "b": [""], "caf\u00e9": ["\u20ac"]},
        "data": "gr\u00fc\u00df",
        "encoding": "utf-8",
        "form": {},
        "files": {},
        "json": None,
    }


@pytest.mark.parametrize("data", [b"\xff\x00", b"\xed\xa0\x80", bytes(range(256))])
def test_body_that_is_no_text_comes_back_as_base64(client: FlaskClient, data: bytes) -> None:
    body = client.post("/echo", data=data).get_json()
    assert body["encoding"] == "base64"
    assert base64.b64decode(body["data"]) == data


def test_urlencoded_form(client: FlaskClient) -> None:
    body = client.post("/echo", data={"a": ["1", "2"], "b": "\u00e9"}).get_json()
    assert (body["form"], body["data"]) == ({"a": ["1", "2"], "b": ["\u00e9"]}, "a=1&a=2&b=%C3%A9")


def test_multipart_form_with_files(client: FlaskClient) -> None:
    data = {"a": "1", "f": [(io.BytesIO(b"\xff" * 10), "x.bin"), (io.BytesIO(b"hi"), "y.txt", "text/plain")]}
    body = client.post("/echo", data=data, content_type="multipart/form-data").get_json()
    assert body["form"] == {"a": ["1"]}
    assert body["files"] == {
        "f": [
            {"filename": "x.bin", "content_type": "application/octet-stream", "size": 10},
            {"filename": "y.txt", "content_type": "text/plain", "size": 2},
        ]
    }


UNENDED = pytest.param(
    '; name="a\\"', marks=since("3.1", "Werkzeug reads it as a name until 3.1", "werkzeug")
)


@pytest.mark.parametrize("name", ["", "; name", UNENDED])
def test_a_part_without_a_name_has_an_empty_one(client: FlaskClient, name: str) -> None:
    body = f"--x\r\nContent-Disposition: form-data{name}\r\n\r\n1\r\n--x--\r\n"
    response = client.post("/echo", data=body, content_type="multipart/form-data; boundary=x")
    assert response.get_json()["form"] == {"": ["1"]}


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/vnd.x+json", "APPLICATION/JSON; a=b"]
)
@pytest.mark.parametrize("value", [{"b": 1, "a": [None, True, 1.5, "\u20ac"]}, [], "x", 0, 10**100])
def test_json(client: FlaskClient, content_type: str, value: Any) -> None:
    response = client.post("/echo", data=client.application.json.dumps(value), content_type=content_type)
    assert response.get_json()["json"] == value


def test_json_type_without_a_body_is_no_error(client: FlaskClient) -> None:
    response = client.get("/echo", content_type="application/json")
    assert response.status_code == 200
    assert response.get_json()["json"] is None


def test_content_coding_is_415_and_says_what_is_accepted(client: FlaskClient) -> None:
    response = client.post("/echo", data=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert_problem(response, 415, "gzip")
    assert response.headers["Accept-Encoding"] == "identity"


def test_headers(client: FlaskClient) -> None:
    response = client.get(
        "/headers",
        headers={"X-Trace": "abc"},
        environ_overrides={"HTTP_ACCEPT": "a, b", "HTTP_X_ODD": "\xff"},
    )
    assert response.status_code == 200
    headers = response.get_json()["headers"]
    assert headers["X-Trace"] == "abc"
    assert headers["Accept"] == "a, b"
    assert headers["X-Odd"] == "\u00ff"
    assert headers["Host"] == "localhost"


@given(
    data=st.binary(max_size=200) | st.text(alphabet='[]{}":,0123456789eE.-\\untrlfasNI ').map(str.encode),
    content_type=st.sampled_from(
        [
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "text/plain; charset=nonsense",
        ]
    )
    | st.text(alphabet=st.characters(max_codepoint=255, exclude_characters="\r\n")),
)
def test_any_body_comes_back_or_is_a_client_error(data: bytes, content_type: str) -> None:
    response = _APP.test_client().post("/echo", data=data, environ_overrides={"CONTENT_TYPE": content_type})
    if response.status_code == 200:
        body = response.get_json()
        text: str = body["data"]
        decode = base64.b64decode if body["encoding"] == "base64" else str.encode
        assert decode(text) == data
    else:
        assert_problem(response, 400)


_APP = create_app()


async def test_anything_tells_of_client_and_trace() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Request-ID": "one"}
    async with AsyncClient(_APP, base_url="https://shop.example") as client:
        body = (await client.patch("/anything?a=1", headers=headers, json=[1])).json()
    assert (body["method"], body["json"], body["args"]) == ("PATCH", [1], {"a": ["1"]})
    assert (body["url"], body["tls"]) == ("https://shop.example/anything?a=1", True)
    assert body["client"]["address"] == "127.0.0.1"
    assert body["http_version"] == "HTTP/1.1"
    assert body["trace"] == {"request_id": "one", "trace_id": trace, "span_id": "b7ad6b7169203331"}


@pytest.mark.parametrize("path", ["/anything", "/gzip"])
def test_neither_needs_a_trace_or_a_port(client: FlaskClient, path: str) -> None:
    response = client.get(path, environ_overrides={"HTTP_TRACEPARENT": "00-x"})
    assert response.status_code == 200
    if path == "/gzip":
        assert response.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(response.data))["gzipped"] is True
    else:
        assert len(response.get_json()["trace"]["trace_id"]) == 32
