# SPDX-License-Identifier: MIT
"""The image that is tested, built here unless ``ASHAPP_SMOKE_IMAGE`` names it, and one container of it.

``ASHAPP_SMOKE_URL`` names a deployed service instead: then only the tests in ``black_box`` run, against that.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.engine import Container, EngineError, built, docker, running
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
def image() -> Iterator[str]:
    """The name of the image under test."""
    given = os.environ.get("ASHAPP_SMOKE_IMAGE")
    if given:
        yield given
        return
    with built(ROOT, "--build-arg=REVISION=0123abc") as tag:
        yield tag


@pytest.fixture(scope="session")
def service(image: str) -> Iterator[Container]:
    """A container with the reference API, which must log nothing worse than information."""
    with running(image) as container:
        yield container
        assert '"level": "error"' not in container.log
        assert "Traceback" not in container.log


@pytest.fixture(scope="session")
def shop(image: str, guide: Section, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image of a user's application, made by the first Dockerfile of the README."""
    folder = copy_of_shop(tmp_path_factory.mktemp("shop"))
    write_dockerfile(folder, guide.of("dockerfile")[0], image)
    with built(folder) as tag:
        yield tag


def copy_of_shop(folder: Path) -> Path:
    """Fill *folder* with the application, to be read by any user whatever this one's umask is."""
    shutil.copytree(SHOP, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder


def write_dockerfile(folder: Path, text: str, image: str) -> None:
    """Write a Dockerfile of the README, for the image under test."""
    assert text.startswith(USERS_IMAGE)
    (folder / "Dockerfile").write_text(text.replace(USERS_IMAGE, f"FROM {image}\n"))


@pytest.fixture(scope="session")
def guide() -> Section:
    """The part of the README about containers."""
    return Page(ROOT / "README.md").sections["In a container"]
