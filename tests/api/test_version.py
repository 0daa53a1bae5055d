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
