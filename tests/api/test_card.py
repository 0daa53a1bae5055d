# SPDX-License-Identifier: MIT
import base64
import hashlib
import platform
import re
import socket
from importlib.metadata import version

import pytest
from flask import Flask
from flask.testing import FlaskClient

import ashapp
from ashapp.api import create_app
from tests.support.reference_api import status_of

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("text/html", "text/html"),
        ("text/*", "text/html"),
        (BROWSER, "text/html"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("text/html;q=0, */*", "application/json"),
        ("application/json;q=0.1, text/html;q=0.2", "text/html"),
        ("image/png", "application/json"),
        (";;,q=,\xff/", "application/json"),
    ],
)
def test_representation_is_negotiated(client: FlaskClient, accept: str | None, mimetype: str) -> None:
    response = client.get("/", headers=None if accept is None else {"Accept": accept})
    assert response.status_code == 200
    assert response.mimetype == mimetype
    assert response.headers["Vary"] == "Accept"


def test_document_names_the_service_and_its_endpoints(client: FlaskClient) -> None:
    card = client.get("/").get_json()
    endpoints = {endpoint["path"]: endpoint for endpoint in card.pop("endpoints")}
    assert card == {
        "name": "ashapp-backend",
        "version": ashapp.__version__,
        "hostname": socket.gethostname(),
        "python": platform.python_version(),
    }
    rules = [rule.rule for rule in client.application.url_map.iter_rules() if not rule.websocket]
    assert set(endpoints) == {rule.replace("<", "{").replace(">", "}") for rule in rules}
    assert endpoints["/upload"]["methods"] == ["POST", "PUT"]
    assert endpoints["/version"]["methods"] == ["GET"]
    for endpoint in endpoints.values():
        assert re.fullmatch(r"[A-Z].{10,90}\.", endpoint["summary"])


def test_every_example_of_the_document_answers(client: FlaskClient) -> None:
    endpoints = client.get("/").get_json()["endpoints"]
    for endpoint in endpoints:
        method = endpoint["methods"][0]
        with client.open(endpoint["example"], method=method) as response:
            assert response.status_code == status_of(method, endpoint["path"])


def test_page_links_where_the_app_is_mounted_and_nowhere_else(client: FlaskClient) -> None:
    text = client.get("/", headers={"Accept": BROWSER}, environ_overrides={"SCRIPT_NAME": "/mounted"}).text
    links = set(re.findall(r'href="([^"]+)"', text)) - {"data:,"}
    assert {"/mounted/", "/mounted/version", "/mounted/status/418", "/mounted/delay/0.5"} <= links
    assert {link.startswith("/mounted/") for link in links} == {True}
    assert "://" not in text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("path", "elements", "connects"),
    [("/", ["style"], None), ("/docs", ["style", "script"], "'self'")],
)
def test_the_policy_of_a_page_allows_its_own_style_and_script_and_nothing_from_elsewhere(
    client: FlaskClient, path: str, elements: list[str], connects: str | None
) -> None:
    response = client.get(path, headers={"Accept": BROWSER})
    assert response.mimetype == "text/html"
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    for element in elements:
        [text] = re.findall(rf"<{element}>(.*?)</{element}>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{element}-src"] == f"'sha256-{digest}'"
    closed = ("default-src", "base-uri", "form-action", "frame-ancestors")
    assert [policy[directive] for directive in closed] == ["'none'"] * 4
    assert (policy.get("connect-src"), "script-src" in policy) == (connects, "script" in elements)
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', response.text)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_host_cannot_put_markup_into_a_page(client: FlaskClient, path: str) -> None:
    environ = {"SCRIPT_NAME": '/"><script>alert(1)</script>'}
    response = client.get(path, headers={"Accept": BROWSER}, environ_overrides=environ)
    assert "<script>alert" not in response.text


def test_the_page_of_the_operations_has_each(app: Flask, client: FlaskClient) -> None:
    """``tests/browser`` tries it."""
    response = client.get("/docs")
    for endpoint in app.extensions["ashapp.api"]:
        assert f'<article id="{endpoint.name}"' in response.text
        assert f'href="#{endpoint.name}"' in response.text
        assert f"<code>{endpoint.path}</code>" in response.text


def test_versions_of_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASHAPP_COMMIT", raising=False)
    response = create_app().test_client().get("/version")
    assert response.status_code == 200
    assert response.get_json() == {
        "name": "ashapp-backend",
        "version": ashapp.__version__,
        "commit": None,
        "python": platform.python_version(),
        "flask": version("flask"),
        "werkzeug": version("werkzeug"),
    }


@pytest.mark.parametrize(
    ("config", "commit"), [({}, "8a4ea4a"), ({"ASHAPP_COMMIT": "configured"}, "configured")]
)
def test_the_commit_comes_from_the_configuration_or_else_the_environment(
    monkeypatch: pytest.MonkeyPatch, config: dict[str, str], commit: str
) -> None:
    monkeypatch.setenv("ASHAPP_COMMIT", "8a4ea4a")
    app = create_app(config)
    monkeypatch.delenv("ASHAPP_COMMIT")
    assert app.test_client().get("/version").get_json()["commit"] == commit
