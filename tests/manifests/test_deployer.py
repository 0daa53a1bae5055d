# SPDX-License-Identifier: MIT
"""The account of the pipeline: what it may do is what its commands need for the objects of an overlay."""

import re
from pathlib import Path

import pytest
import yaml

from tests.manifests.objects import Object, Objects
from tests.manifests.render import MANIFESTS, kustomize
from tests.support.page import Page

ROOT = MANIFESTS.parent
SCRIPTS = ("deploy", "smoke")

#: The API group and the resource, and the verbs that a command needs beyond those of an apply.
DEPLOYMENTS, SERVICES, PODS = ("apps", "deployments"), ("", "services"), ("", "pods")
COMMANDS: dict[str, dict[tuple[str, str], set[str]]] = {
    "annotate": {DEPLOYMENTS: {"get", "patch"}},
    "apply": {},
    "delete": {},
    "get": {DEPLOYMENTS: {"get"}, PODS: {"list"}},
    "port-forward": {SERVICES: {"get"}, PODS: {"get", "list"}, ("", "pods/portforward"): {"get", "create"}},
    "rollout": {DEPLOYMENTS: {"get", "list", "watch"}},
}


@pytest.fixture
def deployer(overlay: Path) -> Objects:
    return Objects.read(kustomize(MANIFESTS / "deployer" / overlay.name))


def needed(item: Object) -> tuple[tuple[str, str], set[str]]:
    """Return the resource of an object, and what an apply needs and its undoing.

    The namespace is there before, as it is in the overlay: an apply only looks at it. Where there was no
    Deployment, there is nothing to return to, so none goes.
    """
    group, _, _ = item["apiVersion"].rpartition("/")
    resource = re.sub("ys$", "ies", f"{item['kind'].lower()}s")
    verbs = {"get"}
    if item["kind"] != "Namespace":
        verbs |= {"create", "patch"}
    if item["kind"] not in {"Deployment", "Namespace"}:
        verbs |= {"delete"}
    return (group, resource), verbs


def test_it_may_do_what_the_scripts_need_for_an_overlay_and_no_more(
    deployer: Objects, objects: Objects
) -> None:
    wanted = dict(map(needed, objects))
    for rights in COMMANDS.values():
        for resource, verbs in rights.items():
            wanted[resource] = wanted.get(resource, set()) | verbs
    rules = deployer.one("Role")["rules"]
    given = [
        ((group, resource), set(rule["verbs"]))
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    ]
    assert dict(given) == wanted
    assert len(given) == len(wanted), "one rule for each resource"


def test_the_scripts_use_no_other_commands() -> None:
    text = "\n".join((ROOT / ".github" / "scripts" / name).read_text() for name in SCRIPTS)
    called = re.findall(r'(?:kubectl(?: --namespace "\$namespace")?|in_namespace) ([a-z][a-z-]+)', text)
    assert set(called) == COMMANDS.keys()


def test_it_is_bound_to_one_namespace_one_environment_and_one_account(
    deployer: Objects, overlay: Path
) -> None:
    assert {item["metadata"]["namespace"] for item in deployer} == {f"ashapp-{overlay.name}"}
    binding, account = deployer.one("RoleBinding"), deployer.one("ServiceAccount")
    assert binding["roleRef"]["name"] == deployer.one("Role")["metadata"]["name"]
    local, remote = binding["subjects"]
    assert {name: local[name] for name in ("name", "namespace")} == account["metadata"]
    assert remote["name"] == f"github:ashwanth01/ashapp-backend:{overlay.name}"


def test_the_guide_maps_a_job_to_the_user_that_is_bound(deployer: Objects, overlay: Path) -> None:
    (text,) = Page(ROOT / "docs" / "access.md").sections["By the identity of the job"].of("yaml")
    (issuer,) = yaml.safe_load(text)["jwt"]
    repository = issuer["claimValidationRules"][0]["expression"].partition(" == ")[2]
    expression = issuer["claimMappings"]["username"]["expression"]
    values = {"claims.repository": repository, "claims.environment": f'"{overlay.name}"'}
    parts = [values.get(part, part).strip('"') for part in expression.split(" + ")]
    assert "".join(parts) == deployer.one("RoleBinding")["subjects"][1]["name"]
