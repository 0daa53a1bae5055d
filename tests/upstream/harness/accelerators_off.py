# SPDX-License-Identifier: MIT
"""A pytest plugin that turns off the accelerators of Flask's dispatch."""

from typing import Any

from ashapp.bridge.flask import accelerators


def pytest_configure(config: Any) -> None:
    accelerators.ENABLED = False
