# SPDX-License-Identifier: MIT
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ashapp.api import create_app


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


def test_every_rule_is_in_the_document_and_nothing_else(app: Flask, document: dict[str, Any]) -> None:
    rules: dict[str, set[str]] = {}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(\w+)>", r"{\1}", rule.rule)
        methods = {"websocket"} if rule.websocket else {*map(str.lower, rule.methods or ())}
        rules.setdefault(path, set()).update(methods - {"head", "options"})
    described = {path: set(methods) for path, methods in document["paths"].items()}
    described |= {path: {"websocket"} for path in document["x-websockets"]}
    assert described == rules
    assert not set(app.view_functions) - {each.name for each in app.extensions["ashapp.api"]}


def test_operations_have_names_of_their_own_and_a_summary(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Z].{10,100}\.", operation["summary"]) for operation in operations)
    assert {tag["name"] for tag in document["tags"]} >= {tag for each in operations for tag in each["tags"]}


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names <= set(document["components"]["schemas"])
    assert {"Problem", "Anything", "Cookie", "Cookies"} <= names


@pytest.mark.parametrize(
    ("path", "name", "bounds"),
    [
        ("/delay/{seconds}", "seconds", {"type": "number", "minimum": 0, "maximum": 0.5}),
        ("/bytes/{count}", "count", {"type": "integer", "minimum": 0, "maximum": 10 * 1024**2}),
        ("/events", "interval", {"type": "number", "minimum": 0, "maximum": 0.5, "default": 0.5}),
        ("/etag/{tag}", "tag", {"type": "string", "maxLength": 100, "pattern": "^[0-9A-Za-z._~-]+$"}),
    ],
)
def test_what_validates_is_what_is_published(
    document: dict[str, Any], path: str, name: str, bounds: dict[str, Any]
) -> None:
    [parameter] = [each for each in document["paths"][path]["get"]["parameters"] if each["name"] == name]
    assert bounds.items() <= parameter["schema"].items()
    assert parameter["required"] is (parameter["in"] == "path")
    other = create_app({"MAX_DELAY_SECONDS": 3}).test_client().get("/openapi.json").get_json()
    assert other["paths"]["/delay/{seconds}"]["get"]["parameters"][0]["schema"]["maximum"] == 3


def test_a_body_is_described_by_its_model(document: dict[str, Any]) -> None:
    body = document["paths"]["/cookies/{name}"]["put"]["requestBody"]
    assert body["required"] is True
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Cookie"}
    cookie = document["components"]["schemas"]["Cookie"]
    assert (cookie["required"], cookie["additionalProperties"]) == (["value"], False)


def test_the_document_is_asked_for_conditionally_and_knows_its_place(client: FlaskClient) -> None:
    response = client.get("/openapi.json")
    again = client.get("/openapi.json", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert response.get_json()["servers"] == [{"url": "/"}]
    mounted = client.get("/openapi.json", environ_overrides={"SCRIPT_NAME": "/mounted"}).get_json()
    assert mounted["servers"] == [{"url": "/mounted"}]
