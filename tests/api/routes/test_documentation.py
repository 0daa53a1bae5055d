# SPDX-License-Identifier: MIT
"""The page of all operations; ``tests/browser`` tries it."""

import base64
import hashlib
import re

from flask import Flask
from flask.testing import FlaskClient


def test_the_page_has_every_operation(app: Flask, client: FlaskClient) -> None:
    response = client.get("/docs")
    assert response.mimetype == "text/html"
    for endpoint in app.extensions["ashapp.api"]:
        assert f'<article id="{endpoint.name}"' in response.text
        assert f'href="#{endpoint.name}"' in response.text
        assert f"<code>{endpoint.path}</code>" in response.text


def test_its_policy_allows_its_own_style_and_script_and_nothing_from_elsewhere(client: FlaskClient) -> None:
    response = client.get("/docs")
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    for element, directive in (("style", "style-src"), ("script", "script-src")):
        [text] = re.findall(rf"<{element}>(.*?)</{element}>", response.text, re.DOTALL)
        assert (
            policy[directive]
            == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        )
    assert (policy["default-src"], policy["connect-src"], policy["form-action"]) == (
        "'none'",
        "'self'",
        "'none'",
    )
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', response.text)


def test_a_host_cannot_put_markup_into_it(client: FlaskClient) -> None:
    response = client.get("/docs", environ_overrides={"SCRIPT_NAME": '/"><script>alert(1)</script>'})
    assert "alert" not in response.text.replace("&lt;script&gt;alert", "").replace("%3Cscript%3Ealert", "")
