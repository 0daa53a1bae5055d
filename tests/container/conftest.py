# SPDX-License-Identifier: MIT
"""The image that is tested, built here unless ``ASHAPP_SMOKE_IMAGE`` names it, and one container of it.

``ASHAPP_SMOKE_URL`` names a deployed service instead: then only the tests in ``black_box`` run, against that.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.engine import Container, EngineError, build, docker, running
from tests.support.page import Page, Section

ROOT = Path(__file__).parents[2]
#: An application of a user's, without a Dockerfile.
SHOP = Path(__file__).parent / "shop"
#: The first line of the README's Dockerfiles.
USERS_IMAGE = "FROM ashwanth01/ashapp-backend\n"

DEPLOYED = os.environ.get("ASHAPP_SMOKE_URL", "").rstrip("/")

_NO_ENGINE = """\
The container tests need a container engine, and none can be reached: {error}
Start Docker, or let DOCKER_HOST name one. Against a service that is deployed they need none: \
ASHAPP_SMOKE_URL=https://... names it."""


def pytest_sessionstart() -> None:
    """End at once, with a failure, where there is nothing to test with."""
    if DEPLOYED:
        return
    try:
        docker("version", "--format={{.Server.Version}}")
    except EngineError as error:
        pytest.exit(_NO_ENGINE.format(error=error), returncode=pytest.ExitCode.TESTS_FAILED)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs an engine where a deployed service is named; grant more time to the rest."""
    for item in items:
        item.add_marker(pytest.mark.timeout(300))
    if DEPLOYED:
        left_out = [item for item in items if "black_box" not in item.path.parts]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image under test."""
    given = os.environ.get("ASHAPP_SMOKE_IMAGE")
    return given or build(ROOT, "ashapp-backend:smoke", "--build-arg", "REVISION=0123abc")


@pytest.fixture(scope="session")
def service(image: str) -> Iterator[Container]:
    """A container with the reference API, which must log nothing worse than information."""
    with running(image) as container:
        yield container
        assert '"level": "error"' not in container.log
        assert "Traceback" not in container.log


@pytest.fixture(scope="session")
def shop(image: str, guide: Section, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image of a user's application, made by the first Dockerfile of the README."""
    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(SHOP, folder, dirs_exist_ok=True)
    dockerfile = guide.of("dockerfile")[0]
    assert USERS_IMAGE in dockerfile
    (folder / "Dockerfile").write_text(dockerfile.replace(USERS_IMAGE, f"FROM {image}\n"))
    return build(folder, "ashapp-backend:smoke-shop")


@pytest.fixture(scope="session")
def guide() -> Section:
    """The part of the README about containers."""
    return Page(ROOT / "README.md").sections["In a container"]
