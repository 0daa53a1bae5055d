# SPDX-License-Identifier: MIT
"""The release of a tag, with commands that stand in for the real ones: what is done, and in which order."""

import json
from pathlib import Path

import pytest

from tests.pipeline.checkout import Checkout
from tests.pipeline.commands import DIGEST, Commands
from tests.pipeline.test_rehearsal import IMAGE, SECRETS, in_order
from tests.pipeline.workflow import RELEASE, Run, act

CHART = f"docker.io/ashwanth01/ashapp@sha256:{'6' * 64}"


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path / "commands")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = Checkout(tmp_path_factory.mktemp("release") / "repository")
    checkout.replace("CHANGELOG.md", "## [Unreleased]", "## [Unreleased]\n\n## [1.2.3] - 2026-12-01")
    return checkout


def release(checkout: Checkout, commands: Commands, tag: str) -> Run:
    event = commands.folder / "event.json"
    event.write_text(json.dumps({"ref": f"refs/tags/{tag}"}))
    secrets = [option for name, value in SECRETS.items() for option in ("--secret", f"{name}={value}")]
    return act(
        checkout,
        "push",
        "--eventpath",
        str(event),
        *secrets,
        workflow=RELEASE,
        commands=commands,
        timeout=300,
    )


def test_a_tag_is_built_signed_and_published(checkout: Checkout, commands: Commands) -> None:
    run = release(checkout, commands, "v1.2.3")
    assert run.is_green, run.output
    assert in_order(
        commands.calls,
        "gh api repos/",
        "gh api --paginate repos/",
        "python -m hatchling version 1.2.3",
        "python -m hatchling build",
        "docker buildx imagetools inspect --format {{print .Manifest.Digest}} python:3.13-slim",
        "helm package manifests/chart --version 1.2.3 --app-version 1.2.3",
        "docker login --username robot --password-stdin",
        f"docker push {IMAGE}:1.2.3-amd64",
        f"docker push {IMAGE}:1.2.3-arm64",
        f"docker buildx imagetools create --tag {IMAGE}:1.2.3 {IMAGE}:1.2.3-amd64 {IMAGE}:1.2.3-arm64",
        "helm push ashapp-1.2.3.tgz oci://docker.io/ashwanth01",
        f"cosign sign --yes --recursive {IMAGE}@{DIGEST}",
        f"cosign sign --yes {CHART}",
        f"attest provenance of index.docker.io/{IMAGE}@{DIGEST}",
        f"attest amd64.spdx.json of index.docker.io/{IMAGE}@{DIGEST}",
        f"attest arm64.spdx.json of index.docker.io/{IMAGE}@{DIGEST}",
        "pypi upload of ashapp_backend-1-py3-none-any.whl ashapp_backend-1.tar.gz, attestations true",
        "gh release create v1.2.3 ",
    )
    builds = [call for call in commands.calls if call.startswith("docker build ")]
    assert len(builds) == sum(f"BASE_IMAGE=python:3.13-slim@{DIGEST} " in call for call in builds) == 2
    smokes = sorted(call for call in commands.calls if call.startswith("smoke of"))
    assert smokes == [f"smoke of {IMAGE}:1.2.3-{each}" for each in ("amd64", "arm64")]
    files = {name for name in commands.calls[-1].split() if name.endswith((".json", ".tgz", ".whl", ".gz"))}
    assert {Path(name).name for name in files} == {
        "amd64.spdx.json",
        "arm64.spdx.json",
        "ashapp-1.2.3.tgz",
        "ashapp_backend-1-py3-none-any.whl",
        "ashapp_backend-1.tar.gz",
    }
    assert SECRETS["DOCKERHUB_TOKEN"] not in run.output


@pytest.mark.parametrize(
    ("tag", "conclusions", "step"),
    [("v1.2.3", "failure", "The pipeline is green"), ("v1.2.4", "success", "Notes")],
)
def test_what_is_no_release_is_refused(
    checkout: Checkout, commands: Commands, tag: str, conclusions: str, step: str
) -> None:
    """What the step tells is for the tests of the scripts: of one that fails, act may lose the last lines."""
    commands.conclusions(conclusions)
    assert release(checkout, commands, tag).failed_steps() == [step]
    assert {call.split()[0] for call in commands.calls} == {"gh"}


@pytest.mark.parametrize("failing", ["check.py container", "cosign sign", "grype sbom"])
def test_what_fails_is_not_released(checkout: Checkout, commands: Commands, failing: str) -> None:
    commands.fail(failing)
    assert not release(checkout, commands, "v1.2.3").is_green
    assert not [call for call in commands.calls if call.startswith(("pypi", "gh release"))]
