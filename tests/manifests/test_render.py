# SPDX-License-Identifier: MIT
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.manifests.objects import Objects
from tests.manifests.render import IMAGE, MANIFESTS, OVERLAYS, RenderError, kustomize, release

DIGEST = f"sha256:{'0123456789abcdef' * 4}"


def test_an_overlay_has_every_object_once(objects: Objects) -> None:
    assert Counter(item["kind"] for item in objects) == {
        "Namespace": 1,
        "ServiceAccount": 1,
        "ConfigMap": 1,
        "Service": 1,
        "Deployment": 1,
        "HorizontalPodAutoscaler": 1,
        "PodDisruptionBudget": 1,
        "NetworkPolicy": 2,
    }


def test_all_is_in_the_namespace_of_the_overlay(objects: Objects, overlay: Path) -> None:
    namespace = objects.one("Namespace")["metadata"]["name"]
    assert namespace == f"ashapp-{overlay.name}"
    others = [item for item in objects if item["kind"] != "Namespace"]
    assert {item["metadata"]["namespace"] for item in others} == {namespace}


def test_all_says_what_it_belongs_to(objects: Objects, overlay: Path) -> None:
    labels = {"app.kubernetes.io/part-of": "ashapp", "app.kubernetes.io/instance": overlay.name}
    for item in objects:
        assert item["metadata"]["labels"].items() >= labels.items(), item["metadata"]["name"]


def test_the_selectors_find_the_pods(objects: Objects) -> None:
    deployment = objects.one("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    selectors = [
        deployment["selector"]["matchLabels"],
        objects.one("Service")["spec"]["selector"],
        objects.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        objects.one("NetworkPolicy", "ashapp-backend")["spec"]["podSelector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in objects.pod["topologySpreadConstraints"]),
    ]
    assert all(selector and labels >= selector.items() for selector in selectors)


def test_secrets_are_named_and_never_contained(objects: Objects, rendered: str) -> None:
    assert "kind: Secret\n" not in rendered
    (secret,) = objects.container["env"]
    assert secret == {
        "name": "ASHAPP_SECRET_KEY",
        "valueFrom": {"secretKeyRef": {"name": "ashapp-backend", "key": "secret-key", "optional": True}},
    }
    assert not [name for name in objects.environment if "SECRET" in name or "PASSWORD" in name]


def test_a_changed_setting_is_rolled_out(tmp_path: Path, overlay: Path, objects: Objects) -> None:
    copy = shutil.copytree(MANIFESTS, tmp_path / "manifests")
    with (copy / "base" / "settings.env").open("a") as file:
        file.write("ASHAPP_LOG_LEVEL=debug\n")
    changed = Objects.read(kustomize(copy / "overlays" / overlay.name))
    assert changed.environment == {**objects.environment, "ASHAPP_LOG_LEVEL": "debug"}
    assert changed.container["envFrom"] != objects.container["envFrom"]


def test_a_pipeline_gives_the_image_a_digest_and_changes_nothing_else(overlay: Path, rendered: str) -> None:
    assert release(overlay, DIGEST) == rendered.replace(f"{IMAGE}:latest", f"{IMAGE}@{DIGEST}")
    assert rendered.count(IMAGE) == 1


def test_checkers_get_a_file_for_each_overlay_and_the_observability(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.manifests.render", str(tmp_path / "rendered")]
    subprocess.run(command, cwd=MANIFESTS.parent, check=True, timeout=60)
    texts = {path.stem: path.read_text() for path in (tmp_path / "rendered").iterdir()}
    assert set(texts) == {*OVERLAYS, "observability"}
    assert all(f"{IMAGE}@sha256:" in texts[name] for name in OVERLAYS)


def test_a_mistake_is_told(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]\n")
    with pytest.raises(RenderError, match=r"missing\.yaml"):
        kustomize(tmp_path)


def test_a_warning_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n")
    (tmp_path / "kustomization.yaml").write_text("resources: [one.yaml]\ncommonLabels: {a: b}\n")
    with pytest.raises(RenderError, match="deprecated"):
        kustomize(tmp_path)


def test_without_kubectl_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RenderError, match="kubectl is not on the PATH"):
        kustomize(MANIFESTS / "base")
