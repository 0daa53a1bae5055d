# SPDX-License-Identifier: MIT
"""An option for all tests to be run by the jobs, as a pull request does it."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--complete", action="store_true", help="leave out no test of the jobs that are run")
