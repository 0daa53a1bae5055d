# SPDX-License-Identifier: MIT
"""The versions of what is running."""

import platform
from functools import cache
from importlib import metadata

from flask import Response, current_app, jsonify

import ashapp  # Not complete yet while it imports this package: read its version when asked.

__all__ = ["NAME", "release", "version"]

NAME = "ashapp-backend"


def version() -> Response:
    """Return the versions of the service, Python, Flask and Werkzeug, and the commit built."""
    return jsonify(
        name=NAME,
        version=release(),
        commit=current_app.config["ASHAPP_COMMIT"] or None,
        python=platform.python_version(),
        flask=_installed("flask"),
        werkzeug=_installed("werkzeug"),
    )


def release() -> str:
    """Return the version of this package."""
    return ashapp.__version__


@cache
def _installed(distribution: str) -> str:
    return metadata.version(distribution)
