# SPDX-License-Identifier: MIT
"""What is in the image, and what is not."""

import json
import re
from typing import Any

import pytest

from tests.container.engine import docker, inspect, shell

MEGABYTE = 1000**2

SECRET = re.compile(
    r"(?i)(password|passwd|secret|token|credential|api_?key|private_?key|aws_|_auth)\w*[\"']?\s*[=:]\s*\S"
    r"|https?://[^/\s:@]+:[^/\s@]+@|-----BEGIN|gh[pousr]_\w{20}|AKIA[0-9A-Z]{16}"
)


@pytest.fixture(scope="module")
def config(image: str) -> dict[str, Any]:
    return dict(inspect("image", image)["Config"])


def history(image: str) -> list[dict[str, str]]:
    lines = docker("history", "--no-trunc", "--human=false", "--format={{json .}}", image)
    return [json.loads(line) for line in lines.splitlines()]


def test_it_runs_the_server_as_a_numbered_user(config: dict[str, Any]) -> None:
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (
        ["env", "--block-signal=TERM,INT", "ashapp"],
        ["serve"],
    )
    assert config["WorkingDir"] == "/app"
    assert set(config["ExposedPorts"]) == {"5000/tcp", "5001/tcp"}
    assert "ASHAPP_MANAGEMENT_HOST=0.0.0.0" in config["Env"]
    assert config["Healthcheck"]["Test"] == ["CMD", "ashapp", "check", "live"]


def test_labels_tell_what_it_is(config: dict[str, Any]) -> None:
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "ashapp-backend"
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.base.name"]
    assert f"ASHAPP_COMMIT={labels['org.opencontainers.image.revision']}" in config["Env"]


def test_it_is_small(image: str) -> None:
    ours = [int(entry["Size"]) for entry in history(image) if " /layers/" in entry["CreatedBy"]]
    assert len(ours) == 2
    assert sum(ours) < 60 * MEGABYTE


def test_there_are_no_secrets_in_its_history_and_configuration(image: str, config: dict[str, Any]) -> None:
    texts = [entry["CreatedBy"] for entry in history(image)]
    texts += [*config["Env"], *(f"{name}={value}" for name, value in config["Labels"].items())]
    assert [text for text in texts if SECRET.search(text)] == []


def test_there_is_nothing_of_the_checkout_but_the_package(image: str) -> None:
    assert shell(image, "ls -A /app; ls -d /layers /source /wheel /imported 2>/dev/null || true") == ""
    assert shell(image, "find / -xdev -name .git 2>/dev/null || true") == ""


def test_there_is_no_compiler(image: str) -> None:
    names = "gcc g++ cc c++ c99 clang ld as make cargo rustc"
    assert shell(image, f"for name in {names}; do command -v $name || true; done") == ""


def test_what_is_installed_fits_together(image: str) -> None:
    assert shell(image, "pip check") == "No broken requirements found.\n"


def test_no_start_compiles_anything(image: str) -> None:
    start = "python -v -c 'import ashapp.server.supervisors.runner' 2>&1"
    script = f"{start} | grep -c '^# code object from /' || true"
    assert shell(image, script).strip() == "0"
