# SPDX-License-Identifier: MIT
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from ashapp.api import create_app
from ashapp.api.payload import MAX_JSON_DEPTH, parse_json, parse_urlencoded
from tests.support.problem_details import assert_problem


@pytest.mark.parametrize(
    "text",
    [*b"{ {'a':1} nul NaN [Infinity] -Infinity 1e999 [-1e999]".split(), b'"\xff"', b"1" * 5000, b'{"a":1}}'],
)
def test_invalid_json_is_400(text: bytes) -> None:
    client = create_app().test_client()
    assert_problem(client.post("/echo", data=text, content_type="application/json"), 400, "not valid JSON")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [MAX_JSON_DEPTH + 1, 1000, 100_000])
def test_json_nested_too_deeply_is_400(opening: bytes, depth: int) -> None:
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]
    client = create_app().test_client()
    data = opening * depth + b"0" + closing * depth
    assert_problem(client.post("/echo", data=data, content_type="application/json"), 400, "nested")


def test_json_as_deep_as_allowed_comes_back() -> None:
    value: Any = 0
    for _ in range(MAX_JSON_DEPTH):
        value = [value]
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=x", b"no boundary at all"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\ntrunc'),
        ("multipart/form-data; boundary=\xe9", b"--x--"),
    ],
)
def test_invalid_form_is_400(client: FlaskClient, content_type: str, data: bytes) -> None:
    response = client.post("/echo", data=data, environ_overrides={"CONTENT_TYPE": content_type})
    assert_problem(response, 400, "form")


@pytest.mark.parametrize(
    ("data", "pairs"),
    [
        (b"", {}),
        (b"a=%ff", {"a": ["\ufffd"]}),
        (b"a=\xff", {"a": ["\ufffd"]}),
        (b"a=\xc3\xa9+b", {"a": ["\u00e9 b"]}),
        (b"%=%zz&&=", {"%": ["%zz"], "": [""]}),
        (b"a=1;b=2", {"a": ["1;b=2"]}),
        (b"a=1&b=&a=2", {"a": ["1", "2"], "b": [""]}),
        (b"a=%00", {"a": ["\0"]}),
    ],
)
def test_urlencoded_pairs_never_fail(client: FlaskClient, data: bytes, pairs: dict[str, list[str]]) -> None:
    assert parse_urlencoded(data).to_dict(flat=False) == pairs
    sent = client.post(
        "/echo",
        data=data,
        content_type="application/x-www-form-urlencoded",
        environ_overrides={"QUERY_STRING": data.decode("latin-1")},
    )
    assert sent.get_json()["args"] == sent.get_json()["form"] == pairs


def test_too_many_parts_are_413() -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
    client = create_app().test_client()
    response = client.post(
        "/echo", data=part * 1001 + b"--x--", content_type="multipart/form-data; boundary=x"
    )
    assert_problem(response, 413)
