# SPDX-License-Identifier: MIT
import platform
from importlib.metadata import version

import pytest

import ashapp
from ashapp.api import create_app


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


@pytest.mark.parametrize(("value", "commit"), [("8a4ea4a", "8a4ea4a"), ("1234567", "1234567"), ("", None)])
def test_commit_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, value: str, commit: str | None
) -> None:
    monkeypatch.setenv("ASHAPP_COMMIT", value)
    app = create_app()
    monkeypatch.delenv("ASHAPP_COMMIT")
    assert app.test_client().get("/version").get_json()["commit"] == commit


def test_commit_given_in_the_configuration_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASHAPP_COMMIT", "environment")
    client = create_app({"ASHAPP_COMMIT": "configured"}).test_client()
    assert client.get("/version").get_json()["commit"] == "configured"
