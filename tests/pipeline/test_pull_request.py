# SPDX-License-Identifier: MIT
"""The jobs of a pull request, run for real: green as they are, red where something is broken on purpose.

To be short they run some tests only; with ``--complete`` the green runs are those of a pull request.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.engine import docker
from tests.pipeline.checkout import Checkout
from tests.pipeline.workflow import Run, act

# Of the Pythons in the workflow, the one that is certainly here.
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LINT = ("--job", "checks", "--matrix", "environment:lint")
TESTS = ("--job", "tests", "--matrix", f"python:{PYTHON}")
IMAGE = ("--job", "image")

KEPT = {"tests/test_package.py", "tests/container/black_box"}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    checkout = Checkout(tmp_path / "repository")
    # The tag, as the engine of this machine has it: no registry is asked.
    checkout.replace(".github/scripts/base", "$base != *@*", "$base != *:*")
    return checkout


@pytest.fixture
def short(checkout: Checkout) -> Checkout:
    """A repository with few tests, and so with little coverage."""
    for file in (checkout.path / "tests").rglob("test_*.py"):
        name = file.relative_to(checkout.path)
        if not {str(name), str(name.parent)} & KEPT:
            file.write_text("")
    checkout.replace("tox.ini", "--cov-fail-under=95", "--cov-fail-under=0")
    return checkout


@pytest.fixture
def chosen(request: pytest.FixtureRequest, checkout: Checkout) -> Checkout:
    if request.config.getoption("--complete"):
        return checkout
    return request.getfixturevalue("short")  # type: ignore[no-any-return]


@pytest.fixture
def engine(checkout: Checkout) -> Iterator[None]:
    """The container engine, without the image that the pipeline has built."""
    yield
    docker("image", "rm", "--force", f"ashwanth01/ashapp-backend:{checkout.commit_hash}")


def pull_request(checkout: Checkout, *options: str) -> Run:
    return act(checkout, "pull_request", *options, timeout=1700)


def test_lint_is_green(checkout: Checkout) -> None:
    run = pull_request(checkout, *LINT)
    assert run.is_green, run.output


def test_lint_is_red_where_a_rule_is_broken(checkout: Checkout) -> None:
    checkout.replace("backend/ashapp/api/card.py", "import platform\n", "import os\nimport platform\n")
    run = pull_request(checkout, *LINT)
    assert run.failed_steps() == ["Check"]
    assert "F401" in run.output


def test_the_tests_are_green(chosen: Checkout) -> None:
    run = pull_request(chosen, *TESTS)
    assert run.is_green, run.output
    assert " passed" in run.output


def test_the_tests_are_red_where_one_fails(short: Checkout) -> None:
    (short.path / "tests" / "test_package.py").write_text("def test_broken() -> None:\n    assert False\n")
    run = pull_request(short, *TESTS)
    assert run.failed_steps() == ["Test"]
    assert "FAILED tests/test_package.py::test_broken" in run.output


@pytest.mark.usefixtures("engine")
def test_the_image_is_built_and_its_tests_are_green(chosen: Checkout) -> None:
    run = pull_request(chosen, *IMAGE)
    assert run.is_green, run.output
    assert " passed" in run.output


@pytest.mark.usefixtures("engine")
def test_the_image_is_red_where_the_service_is_broken(short: Checkout) -> None:
    short.replace("backend/ashapp/api/card.py", '"ashapp-backend"', '"something-else"')
    run = pull_request(short, *IMAGE)
    assert run.failed_steps() == ["Smoke"]
    assert "FAILED tests/container/black_box/test_endpoints.py::" in run.output
