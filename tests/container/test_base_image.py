# SPDX-License-Identifier: MIT
"""The image as the base of a user's, by the Dockerfiles of the README."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.container.conftest import copy_of_shop, write_dockerfile
from tests.container.engine import Container, built, docker, running
from tests.support.page import Section

PRESTART = "#!/bin/sh\nset -e\necho migrating\necho ${RESULT:-yes} > /tmp/migrated\nexit ${CODE:-0}\n"


@pytest.fixture(scope="module")
def larger_shop(image: str, guide: Section, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with requirements and a prestart script too."""
    folder = copy_of_shop(tmp_path_factory.mktemp("larger"))
    for name, text in {"requirements.txt": "cachelib==0.13.0\n", "prestart.sh": PRESTART}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    write_dockerfile(folder, guide.of("dockerfile")[1], image)
    with built(folder) as tag:
        yield tag


def facts(container: Container) -> dict[str, object]:
    return dict(httpx.get(container.url(), trust_env=False, timeout=30).json())


# -- three lines


def test_three_lines_serve_an_application(guide: Section, shop: str) -> None:
    assert len(guide.of("dockerfile")[0].splitlines()) == 3
    with running(shop) as container:
        assert facts(container)["file"] == "/app/shop.py"
        assert facts(container)["user"] == 10001

        with httpx.stream("GET", f"{container.url()}/ticks", trust_env=False, timeout=30) as response:
            arrivals = [time.monotonic() for _ in response.iter_raw()]
        assert len(arrivals) > 1
        assert arrivals[-1] - arrivals[0] > 1

        spooled = {"file": bytes(2 * 1024**2)}
        answer = httpx.post(f"{container.url()}/files", files=spooled, trust_env=False, timeout=30)
        assert answer.json() == {"size": 2 * 1024**2}


def test_a_folder_can_be_mounted_instead(image: str, tmp_path: Path) -> None:
    folder = copy_of_shop(tmp_path)
    with running(image, f"--volume={folder}:/app:ro", command=["shop:app"]) as container:
        assert facts(container)["file"] == "/app/shop.py"


def test_other_commands_can_be_run(shop: str) -> None:
    assert "/ticks" in docker("run", "--rm", shop, "routes", "shop:app")
    assert docker("run", "--rm", shop, "--version").startswith("ashapp ")
    assert docker("run", "--rm", "--entrypoint=flask", shop, "--app=shop", "routes").startswith("Endpoint")


# -- requirements, and what runs before the start


def test_its_requirements_are_installed_beside_the_service(larger_shop: str) -> None:
    with running(larger_shop) as container:
        assert str(facts(container)["cachelib"]).startswith("/opt/ashapp/")
        assert "cachelib" in container.run("python", "-m", "pip", "list")


def test_prestart_runs_before_the_start_and_the_server_stays_the_first_process(larger_shop: str) -> None:
    with running(larger_shop, "--env=RESULT=done") as container:
        assert facts(container)["migrated"] == "done"
        assert container.log.startswith("migrating\n")
        assert container.run("cat", "/proc/1/cmdline").endswith("/ashapp\0serve\0")
        container.tell("TERM")
        assert container.wait() == 0


def test_a_failure_of_prestart_stops_the_start_with_its_exit_code(larger_shop: str) -> None:
    with running(larger_shop, "--env=CODE=7", serves=False) as container:
        assert container.wait() == 7
        # One is of standard output, the other of standard error: the engine keeps the order of neither.
        assert sorted(container.log.splitlines()) == [
            "Error: prestart = 'auto': ./prestart.sh failed with exit code 7",
            "migrating",
        ]


@pytest.mark.parametrize(("command", "migrated"), [("off", None), ("sh -c 'echo no > /tmp/migrated'", "no")])
def test_another_command_can_be_named(larger_shop: str, command: str, migrated: str | None) -> None:
    with running(larger_shop, f"--env=ASHAPP_PRESTART={command}") as container:
        assert facts(container)["migrated"] == migrated
