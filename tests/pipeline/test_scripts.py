# SPDX-License-Identifier: MIT
"""The scripts of a deployment and of a release, with commands that stand in for those that reach out."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.container.engine import docker
from tests.pipeline.checkout import ROOT
from tests.pipeline.commands import DIGEST, Commands
from tests.pipeline.workflow import RELEASE

SCRIPTS = ROOT / ".github" / "scripts"
NAMESPACE = "ashapp-staging"
IN_NAMESPACE = f"kubectl --namespace {NAMESPACE}"
RESTORED = f"{NAMESPACE}.former.yaml"
STATUS = f"{IN_NAMESPACE} rollout status deployment/ashapp-backend --timeout=300s"


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path / "commands")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "release.yaml"
    file.write_text("kind: Namespace\n")
    return file


def script(
    commands: Commands, name: str | Path, *arguments: object, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / name, *map(str, arguments)],
        env={**os.environ, **commands.environment, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def without_questions(commands: Commands) -> list[str]:
    return [call for call in commands.calls if " get " not in call]


@pytest.mark.parametrize("pinned", [f"sha256:{'1' * 64}", ""])
def test_the_base_has_the_digest_of_the_dockerfile_or_else_that_of_the_registry(
    commands: Commands, tmp_path: Path, pinned: str
) -> None:
    folder = tmp_path / ".github" / "scripts"
    folder.mkdir(parents=True)
    shutil.copy2(SCRIPTS / "base", folder)
    dockerfile = (ROOT / "Dockerfile").read_text()
    (line,) = re.findall(r"^FROM python:\S+ AS python$", dockerfile, re.MULTILINE)
    name = line.split()[1].partition("@")[0]
    given = f"{name}@{pinned}" if pinned else name
    (tmp_path / "Dockerfile").write_text(dockerfile.replace(line, f"FROM {given} AS python"))
    result = script(commands, folder / "base")
    assert result.stdout == f"{name}@{pinned or DIGEST}\n", result.stderr
    assert len(commands.calls) == (not pinned)


@pytest.mark.parametrize(
    ("present", "code"),
    [
        ("", 0),
        ('{"config": {"Labels": {"org.opencontainers.image.title": "ashapp-backend"}}}', 0),
        ('{"config": {"Labels": {\n"ashapp-backend.release": "8",\n"a": "9"}}}', 0),
        ('{"config": {"Labels": {"ashapp-backend.release":"9"}}}', 0),
        ('{"linux/amd64": {"config": {"Labels": {"ashapp-backend.release": "10"}}}}', 3),
    ],
    ids=["none", "of no release", "an older release", "the same release", "a newer release"],
)
def test_latest_is_never_moved_back(commands: Commands, present: str, code: int) -> None:
    commands.latest(present)
    result = script(commands, "latest", "example/shop", DIGEST, environment={"ASHAPP_RELEASE": "9"})
    assert result.returncode == code, result.stderr
    moved = [call for call in commands.calls if call.startswith("docker buildx imagetools create")]
    assert [call.split()[-3:] for call in moved] == (
        [] if code else [["--tag", "example/shop:latest", f"example/shop@{DIGEST}"]]
    )


@pytest.mark.parametrize("conclusions", ["failure", ""], ids=["red", "not run"])
def test_what_main_has_not_found_green_is_told(commands: Commands, tmp_path: Path, conclusions: str) -> None:
    commands.conclusions(conclusions)
    steps = yaml.safe_load((ROOT / RELEASE).read_text())["jobs"]["build"]["steps"]
    (lines,) = [step["run"] for step in steps if step.get("name") == "The pipeline is green"]
    file = tmp_path / "step"
    file.write_text(f"#!/usr/bin/env bash\nset -eo pipefail\n{lines}")
    file.chmod(0o755)
    result = script(
        commands, file, environment={"GITHUB_REPOSITORY": "example/shop", "GITHUB_SHA": "0123abc"}
    )
    assert result.returncode == 1
    assert result.stdout.startswith("::error::the pipeline of main has not found 0123abc green")


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("v1.2.4", "CHANGELOG.md has no section '## [1.2.4]'"),
        ("v1.2", "'v1.2' is no tag of a release"),
        ("v1.2.3rc1", "'v1.2.3rc1' is no tag of a release"),
    ],
)
def test_a_tag_that_is_no_release_is_told(commands: Commands, tag: str, told: str) -> None:
    result = script(commands, "notes", tag)
    assert result.returncode != 0
    assert told in result.stderr


class Quiet(BaseHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


class Registry(Quiet):
    """Has one image, for no platform."""

    index = b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}'
    digest = f"sha256:{hashlib.sha256(index).hexdigest()}"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.oci.image.index.v1+json")
        self.send_header("Content-Length", str(len(self.index)))
        self.send_header("Docker-Content-Digest", self.digest)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(self.index)

    do_HEAD = do_GET  # noqa: N815 - as http.server has it


class Issuer(Quiet):
    """Answers as GitHub does: a token for the audience, if the request has the one of the job."""

    def do_GET(self) -> None:
        audience = parse_qs(urlsplit(self.path).query)["audience"][0]
        known = self.headers["Authorization"] == "Bearer of-the-job"
        self.send_response(200 if known else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"count": 1, "value": f"for {audience}"}).encode())


@pytest.fixture
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the handler listens that is the parameter."""
    with ThreadingHTTPServer(("127.0.0.1", 0), request.param) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("address", [Registry], indirect=True)
@pytest.mark.parametrize("file", ["scripts/base", "workflows/release.yml"])
def test_docker_itself_prints_the_digest_alone(address: str, file: str) -> None:
    (form,) = re.findall("imagetools inspect --format '(.*?)'", (ROOT / ".github" / file).read_text())
    assert (
        docker("buildx", "imagetools", "inspect", "--format", form, f"{address}/python:3").strip()
        == Registry.digest
    )


@pytest.mark.parametrize("address", [Issuer], indirect=True)
def test_a_cluster_that_trusts_the_job_is_given_a_token_for_itself(
    commands: Commands, tmp_path: Path, address: str
) -> None:
    file = tmp_path / "kubeconfig"
    given = {"KUBE_SERVER": "https://cluster:6443", "KUBE_CA": "UEVN", "KUBECONFIG_DATA": "not this"}
    assert script(commands, "kubeconfig", file, environment=given).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    config = yaml.safe_load(file.read_text())
    assert config["clusters"][0]["cluster"] == {
        "server": "https://cluster:6443",
        "certificate-authority-data": "UEVN",
    }
    plugin = config["users"][0]["user"]["exec"]
    for token, code in (("of-the-job", 0), ("wrong", 22)):
        asked = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://{address}/?version=2",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token,
        }
        command = [plugin["command"], *plugin["args"]]
        result = subprocess.run(
            command, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60, check=False
        )
        assert result.returncode == code, result.stderr
        if code == 0:
            credential = json.loads(result.stdout)
            assert credential["apiVersion"] == plugin["apiVersion"]
            assert credential["status"] == {"token": "for https://cluster:6443"}


@pytest.mark.parametrize(("data", "code"), [("kind: Config", 0), ("", 2)])
def test_another_cluster_is_reached_by_what_the_secret_has(
    commands: Commands, tmp_path: Path, data: str, code: int
) -> None:
    file = tmp_path / "kubeconfig"
    environment = {"KUBE_SERVER": "", "KUBECONFIG_DATA": data}
    result = script(commands, "kubeconfig", file, environment=environment)
    assert result.returncode == code
    if code:
        assert "neither the variable KUBE_SERVER nor the secret KUBECONFIG" in result.stderr
    else:
        assert file.read_text() == "kind: Config\n"


@pytest.mark.parametrize("digest", ["", "latest", "sha256:123", f"{DIGEST}\n  - name: other"])
def test_what_is_no_digest_is_refused(commands: Commands, digest: str) -> None:
    result = script(commands, "render", "staging", digest)
    assert result.returncode == 2
    assert "is no digest of an image" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", [(), ("docker", "version")])
def test_a_rollout_that_succeeds_is_kept_and_its_command_runs_then(
    commands: Commands, manifest: Path, command: tuple[str, ...]
) -> None:
    result = script(commands, "deploy", NAMESPACE, manifest, *command)
    assert result.returncode == 0, result.stderr
    expected = [f"kubectl apply --filename {manifest}", STATUS, " ".join(command)]
    assert without_questions(commands) == [call for call in expected if call]


def check_restored(commands: Commands) -> None:
    """Check that all objects are as they were applied before, and that new ones are gone."""
    again, status, delete = without_questions(commands)[-3:]
    assert again.startswith("kubectl apply --filename ")
    assert again.endswith(f"/{RESTORED}")
    assert (commands.folder / RESTORED).read_text() == (commands.folder / "former").read_text()
    assert not Path(again.rpartition(" ")[2]).exists()
    assert (status, delete) == (STATUS, f"{IN_NAMESPACE} delete configmap/new")


@pytest.mark.parametrize("failing", ["rollout status", "docker version"])
def test_whatever_fails_is_undone_for_all_objects(commands: Commands, manifest: Path, failing: str) -> None:
    commands.fail(failing)
    result = script(commands, "deploy", NAMESPACE, manifest, "docker", "version")
    assert result.returncode == 1
    check_restored(commands)
    assert "back to what was applied before, revision 7" in result.stderr


def test_what_is_applied_in_part_is_undone(commands: Commands, manifest: Path) -> None:
    commands.fail(f"apply --filename {manifest}")
    assert script(commands, "deploy", NAMESPACE, manifest).returncode == 1
    again, status = without_questions(commands)[-2:]
    assert again.endswith(f"/{RESTORED}")
    assert status == STATUS


def test_a_first_rollout_that_fails_has_nothing_to_return_to(commands: Commands, manifest: Path) -> None:
    commands.revision("")
    commands.fail("rollout status")
    result = script(commands, "deploy", NAMESPACE, manifest)
    assert result.returncode == 1
    assert "no earlier revision" in result.stderr
    assert without_questions(commands) == [f"kubectl apply --filename {manifest}", STATUS]


def test_a_deployment_that_is_cancelled_is_undone(commands: Commands, manifest: Path) -> None:
    result = script(commands, "deploy", NAMESPACE, manifest, "bash", "-c", "kill $PPID; sleep 0.1")
    assert result.returncode == 143
    check_restored(commands)


@pytest.mark.parametrize("deployed", ["", "8", "41", "42"])
def test_a_release_that_is_no_older_is_deployed_and_noted(
    commands: Commands, manifest: Path, deployed: str
) -> None:
    commands.release(deployed)
    result = script(commands, "deploy", NAMESPACE, manifest, environment={"ASHAPP_RELEASE": "42"})
    assert result.returncode == 0, result.stderr
    note = f"{IN_NAMESPACE} annotate deployment/ashapp-backend --overwrite ashapp-backend/release=42"
    assert without_questions(commands)[-1] == note


def test_an_older_release_is_refused_before_anything_is_applied(commands: Commands, manifest: Path) -> None:
    commands.release("43")
    result = script(commands, "deploy", NAMESPACE, manifest, environment={"ASHAPP_RELEASE": "42"})
    assert result.returncode == 3
    assert "release 43 is deployed, and 42 is older" in result.stderr
    assert without_questions(commands) == []


def test_a_release_that_fails_is_not_noted(commands: Commands, manifest: Path) -> None:
    commands.fail("docker version")
    environment = {"ASHAPP_RELEASE": "42"}
    script(commands, "deploy", NAMESPACE, manifest, "docker", "version", environment=environment)
    assert not [call for call in commands.calls if "annotate" in call]


def test_nothing_is_applied_where_the_cluster_does_not_answer(commands: Commands, manifest: Path) -> None:
    commands.fail("get deployment")
    assert script(commands, "deploy", NAMESPACE, manifest).returncode == 1
    assert len(commands.calls) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://staging.example", []),
        ("", [f"{IN_NAMESPACE} port-forward service/ashapp-backend :80"]),
    ],
)
def test_a_smoke_test_asks_the_address_or_goes_through_a_port_forward(
    commands: Commands, url: str, expected: list[str]
) -> None:
    result = script(commands, "smoke", NAMESPACE, environment={"ASHAPP_SMOKE_URL": url})
    assert result.returncode == 0, result.stderr
    address = url or "http://127.0.0.1:40123"
    assert commands.calls == [*expected, "tox -e container", f"smoke at {address}"]


@pytest.mark.parametrize(
    ("failing", "told"), [("tox -e container", ""), ("port-forward", "port-forward does not listen")]
)
def test_a_smoke_test_fails_with_its_tests_and_its_port_forward(
    commands: Commands, failing: str, told: str
) -> None:
    commands.fail(failing)
    result = script(commands, "smoke", NAMESPACE, environment={"ASHAPP_SMOKE_URL": ""})
    assert result.returncode != 0
    assert told in result.stderr
    assert not [call for call in commands.calls if call.startswith("smoke")]
