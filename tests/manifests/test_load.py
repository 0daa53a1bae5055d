# SPDX-License-Identifier: MIT
"""The load generator: what it sends and tells, and the Job that runs it beside the service."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.manifests.objects import Objects
from tests.manifests.render import MANIFESTS, kustomize
from tests.support.process import ServerProcess, serving

FOLDER = MANIFESTS / "load"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serving([]) as server:
        yield server


@pytest.fixture(scope="module")
def job() -> Objects:
    return Objects.read(kustomize(FOLDER))


def load(url: str, **variables: str) -> tuple[int, dict[str, Any]]:
    """Return the exit code of a second of load, and what it tells."""
    command = [sys.executable, str(FOLDER / "load.py")]
    variables = {"LOAD_CONNECTIONS": "5", "LOAD_SECONDS": "1", "LOAD_RATE": "50", **variables}
    environment = {**os.environ, "LOAD_URL": url, **variables}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert not result.stderr
    return result.returncode, json.loads(result.stdout)


def test_it_sends_as_much_as_it_may_and_tells_what_came_of_it(server: ServerProcess) -> None:
    code, told = load(f"{server.base_url}/status/200?a=b")
    assert code == 0
    assert told["failed"] == 0
    assert told["outcomes"] == {"200": told["requests"]}
    assert 5 <= told["requests"] <= 55
    assert told["milliseconds"].keys() == {"p50", "p95", "p99"}


@pytest.mark.parametrize(("allowed", "code"), [("0", 1), ("1", 0)])
def test_what_fails_is_counted_and_allowed_as_far_as_it_is_said(
    server: ServerProcess, allowed: str, code: int
) -> None:
    found, told = load(f"{server.base_url}/status/503", LOAD_FAILURES=allowed)
    assert found == code
    assert told["outcomes"] == {"503": told["failed"]}


def test_a_service_that_is_away_is_told() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        code, told = load(f"http://127.0.0.1:{nobody.getsockname()[1]}/")
    assert code == 1
    assert told["outcomes"] == {"ConnectionRefusedError": told["requests"]}


def test_the_job_runs_it_beside_the_service_and_reaches_nothing_else(job: Objects, objects: Objects) -> None:
    pod = job.one("Job")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    assert container["command"] == ["python3", f"{mount['mountPath']}/load.py"]
    assert job.one("ConfigMap")["data"]["load.py"] == (FOLDER / "load.py").read_text()
    service = objects.one("Service")["metadata"]["name"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given["LOAD_URL"].startswith(f"http://{service}/")
    assert all(name in (FOLDER / "load.py").read_text() for name in given)
    policy = job.one("NetworkPolicy")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    selectors = [peer["podSelector"]["matchLabels"] for rule in policy["egress"] for peer in rule["to"]]
    assert selectors == [objects.one("Service")["spec"]["selector"], {"k8s-app": "kube-dns"}]


def test_the_job_is_as_locked_up_as_the_service_and_ends(job: Objects, objects: Objects) -> None:
    spec = job.one("Job")["spec"]
    pod = spec["template"]["spec"]
    assert pod["containers"][0]["securityContext"] == objects.container["securityContext"]
    assert pod["securityContext"].items() <= objects.pod["securityContext"].items()
    assert pod["containers"][0]["resources"]["limits"].keys() == {"cpu", "memory"}
    variables = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert float(variables["LOAD_SECONDS"]) < spec["activeDeadlineSeconds"]
    assert (spec["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
