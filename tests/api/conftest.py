# SPDX-License-Identifier: MIT
"""The reference application and a client for it, one of each for every test."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from ashapp.api import create_app


@pytest.fixture
def app() -> Flask:
    return create_app({"MAX_CONTENT_LENGTH": 1000, "MAX_UPLOAD_SIZE": 200_000, "MAX_DELAY_SECONDS": 0.5})


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
