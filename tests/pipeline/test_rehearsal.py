# SPDX-License-Identifier: MIT
"""The whole pipeline, with commands that stand in for the real ones: what is done, and in which order."""

import re
from datetime import datetime
from pathlib import Path

import pytest

from tests.pipeline.checkout import Checkout
from tests.pipeline.commands import DIGEST, Commands
from tests.pipeline.workflow import Run, act

IMAGE = "ashwanth01/ashapp-backend"
SECRETS = {"DOCKERHUB_USERNAME": "robot", "DOCKERHUB_TOKEN": "hush-hush", "KUBECONFIG": "kind: Config"}
CHECKS = [
    *("lint", "types", "py311", "py312", "py313", "py314", "py315"),
    *(
        "integration",
        "browser",
        "fuzz",
        "examples",
        "upstream",
        "manifests",
        "checkov",
        "docs",
        "pipeline",
        "container",
    ),
]


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path / "commands")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("rehearsal") / "repository")


@pytest.fixture(scope="module")
def published(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Commands]:
    """A run on main in which nothing fails."""
    commands = Commands(tmp_path_factory.mktemp("published") / "commands")
    return push(checkout, commands), commands


def push(checkout: Checkout, commands: Commands) -> Run:
    secrets = [option for name, value in SECRETS.items() for option in ("--secret", f"{name}={value}")]
    return act(checkout, "push", *secrets, "--var", "ASHAPP_URL=https://service.example", commands=commands)


def in_order(calls: list[str], *expected: str) -> bool:
    """Tell whether calls that begin so are there in this order, others between them."""
    rest = iter(calls)
    return all(any(call.startswith(begin) for call in rest) for begin in expected)


def undone(commands: Commands) -> list[str]:
    """Return the namespaces in which what was applied before was applied again."""
    undo = re.compile(r"kubectl apply --filename \S+/(\S+)\.former\.yaml")
    return [match[1] for call in commands.calls if (match := undo.fullmatch(call))]


def environments(calls: list[str]) -> set[str]:
    """Return the environments of tox that were run."""
    return {match[1] for call in calls if (match := re.fullmatch(r"python \.ci/check\.py (\w+)", call))}


def test_a_pull_request_is_checked_and_nothing_leaves_it(checkout: Checkout, commands: Commands) -> None:
    run = act(checkout, "pull_request", commands=commands)
    assert run.is_green, run.output
    assert environments(commands.calls) == set(CHECKS)
    reaching_out = ("docker login", "docker push", "kubectl", "attest")
    assert not [call for call in commands.calls if call.startswith(reaching_out)]


def test_what_is_built_and_tested_is_what_is_published_and_deployed(
    checkout: Checkout, published: tuple[Run, Commands]
) -> None:
    run, commands = published
    assert run.is_green, run.output
    assert environments(commands.calls) == set(CHECKS)
    tag = f"{IMAGE}:{checkout.commit_hash}"
    subject = f"index.docker.io/{IMAGE}@{DIGEST}"
    assert in_order(
        commands.calls,
        f"docker build --tag {tag} ",
        f"smoke of {tag}",
        f"docker save --output image.tar {tag}",
        "grype sbom:sbom.spdx.json --fail-on high --only-fixed=true",
        "docker load --input image.tar",
        "docker login --username robot --password-stdin",
        f"docker push {tag}",
        f"attest provenance of {subject}",
        f"attest sbom.spdx.json of {subject}",
        f"gh attestation verify oci://{subject} --repo ",
        "kubectl apply",
        "kubectl --namespace ashapp-staging rollout status",
        "smoke at https://service.example",
        "kubectl apply",
        "kubectl --namespace ashapp-production rollout status",
        "smoke at https://service.example",
        f"docker buildx imagetools create --prefer-index=false --tag {IMAGE}:latest {IMAGE}@{DIGEST}",
    )
    assert undone(commands) == []


def test_the_image_is_told_where_it_comes_from(checkout: Checkout, published: tuple[Run, Commands]) -> None:
    [build] = [call for call in published[1].calls if call.startswith("docker build ")]
    given = dict(re.findall(r"--build-arg (\w+)=(\S+)", build))
    assert given.keys() == {"BASE_IMAGE", "VERSION", "REVISION", "CREATED", "SOURCE"}
    assert re.fullmatch(rf"python:3\.\d+-slim@{DIGEST}", given["BASE_IMAGE"])
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", given["VERSION"])
    assert given["REVISION"] == checkout.commit_hash
    datetime.fromisoformat(given["CREATED"])
    assert given["SOURCE"].startswith("https://")
    assert re.search(r"--label ashapp-backend\.release=\d+ ", build)


def test_both_clusters_are_given_the_digest(published: tuple[Run, Commands]) -> None:
    _, commands = published
    for overlay in ("staging", "production"):
        applied = (commands.folder / f"{overlay}.yaml").read_text()
        assert f"image: {IMAGE}@{DIGEST}" in applied
        assert f"namespace: ashapp-{overlay}" in applied


def test_secrets_reach_their_commands_and_no_log(checkout: Checkout, published: tuple[Run, Commands]) -> None:
    run, commands = published
    assert (commands.folder / "password").read_text().strip() == SECRETS["DOCKERHUB_TOKEN"]
    assert (commands.folder / "kubeconfig").read_text().strip() == SECRETS["KUBECONFIG"]
    assert SECRETS["DOCKERHUB_TOKEN"] not in run.output + "".join(commands.calls)
    assert not list(checkout.path.parent.rglob("cache/**/kubeconfig"))


@pytest.mark.parametrize("environment", ["lint", "py312", "container"])
def test_nothing_is_published_unless_all_checks_succeed(
    checkout: Checkout, commands: Commands, environment: str
) -> None:
    commands.fail(f"check.py {environment}$")
    run = push(checkout, commands)
    assert not run.is_green
    assert "All have succeeded" in run.failed_steps()
    assert not [call for call in commands.calls if call.startswith(("docker push", "kubectl"))]


@pytest.mark.parametrize("failing", [f"docker push {IMAGE}", "grype sbom"])
def test_what_is_not_published_is_not_deployed(checkout: Checkout, commands: Commands, failing: str) -> None:
    commands.fail(failing)
    assert not push(checkout, commands).is_green
    pushed = {call for call in commands.calls if call.startswith(("docker push", "kubectl"))}
    assert pushed <= {f"docker push {IMAGE}:{checkout.commit_hash}"}


@pytest.mark.parametrize("failing", ["ashapp-staging rollout status", "^tox -e container"])
def test_where_staging_fails_it_is_undone_and_production_left_alone(
    checkout: Checkout, commands: Commands, failing: str
) -> None:
    commands.fail(failing)
    assert not push(checkout, commands).is_green
    assert undone(commands) == ["ashapp-staging"]
    assert not [call for call in commands.calls if "ashapp-production" in call]


def test_where_production_fails_it_alone_is_undone(checkout: Checkout, commands: Commands) -> None:
    commands.fail("ashapp-production rollout status")
    assert not push(checkout, commands).is_green
    assert undone(commands) == ["ashapp-production"]
    assert not [call for call in commands.calls if ":latest" in call]


def test_an_image_without_a_signature_is_not_deployed(checkout: Checkout, commands: Commands) -> None:
    commands.fail("gh attestation verify")
    assert not push(checkout, commands).is_green
    assert not [call for call in commands.calls if call.startswith("kubectl apply")]
