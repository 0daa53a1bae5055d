# SPDX-License-Identifier: MIT
"""What each overlay says, and that what it says fits together.

What the Pod Security Standards and good practice ask for beyond this is looked after by checkov.
"""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ashapp.server.settings.lifecycle import LONE_STALL_TIMEOUT, STALL_TIMEOUT
from ashapp.server.settings.model import ServerSettings, Settings
from ashapp.server.settings.sources.variables import variable
from tests.manifests.objects import Object, Objects, quantity
from tests.manifests.render import IMAGE, MANIFESTS, kustomize, release

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
# Seconds that a process which has done with its work takes to end, and a kubelet to see it.
MARGIN = 3

SECRET = {
    "name": "ASHAPP_SECRET_KEY",
    "valueFrom": {"secretKeyRef": {"name": "ashapp-backend", "key": "secret-key", "optional": True}},
}
ALL_DENIED = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
MONITORING = {"kubernetes.io/metadata.name": "monitoring"}

POD = "Deployment/ashapp-backend spec template spec"
UPDATE = "Deployment/ashapp-backend spec strategy"
SCALER = "HorizontalPodAutoscaler/ashapp-backend spec"
BUDGET = "PodDisruptionBudget/ashapp-backend spec"
POLICY = "NetworkPolicy/ashapp-backend spec"

#: The kind and the name of an object, the way into it, and what is there.
SAID: list[tuple[str, object]] = [
    (f"{UPDATE} type", "RollingUpdate"),
    (f"{UPDATE} rollingUpdate maxUnavailable", 0),
    (f"{POD} securityContext runAsUser", 10001),  # the user of the image
    (f"{POD} securityContext runAsNonRoot", True),
    (f"{POD} securityContext seccompProfile type", "RuntimeDefault"),
    (f"{POD} enableServiceLinks", False),
    (f"{POD} automountServiceAccountToken", False),
    (f"{POD} serviceAccountName", "ashapp-backend"),
    ("ServiceAccount/ashapp-backend automountServiceAccountToken", False),
    (f"{POD} containers 0 securityContext readOnlyRootFilesystem", True),
    (f"{POD} containers 0 securityContext allowPrivilegeEscalation", False),
    (f"{POD} containers 0 securityContext privileged", False),
    (f"{POD} containers 0 securityContext capabilities", {"drop": ["ALL"]}),
    (f"{POD} containers 0 volumeMounts", [{"name": "tmp", "mountPath": "/tmp"}]),
    (f"{POD} volumes 0 name", "tmp"),
    (f"{POD} containers 0 env", [SECRET]),
    (f"{POD} topologySpreadConstraints 0 topologyKey", "topology.kubernetes.io/zone"),
    (f"{POD} topologySpreadConstraints 1 topologyKey", "kubernetes.io/hostname"),
    (f"{POD} topologySpreadConstraints 0 matchLabelKeys", ["pod-template-hash"]),
    (f"{POD} topologySpreadConstraints 1 matchLabelKeys", ["pod-template-hash"]),
    (f"{SCALER} scaleTargetRef", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ashapp-backend"}),
    (f"{SCALER} behavior scaleUp stabilizationWindowSeconds", 0),
    (f"{BUDGET} maxUnavailable", 1),
    (f"{BUDGET} unhealthyPodEvictionPolicy", "AlwaysAllow"),
    ("Service/ashapp-backend spec ports 0 targetPort", "http"),
    ("NetworkPolicy/default-deny spec", ALL_DENIED),
    (f"{POLICY} policyTypes", ["Ingress", "Egress"]),
    (f"{POLICY} ingress 0 from", [{"namespaceSelector": {}}]),
    (f"{POLICY} ingress 0 ports 0 port", "http"),
    (f"{POLICY} ingress 1 from 0 namespaceSelector matchLabels", MONITORING),
    (f"{POLICY} ingress 1 ports 0 port", "management"),
    (f"{POLICY} egress 0 ports 0 port", 53),
    (f"{POLICY} egress 0 ports 1 port", 53),
    *(
        (f"Namespace metadata labels pod-security.kubernetes.io/{mode}", "restricted")
        for mode in ("enforce", "audit", "warn")
    ),
]

#: What there is so many of, and no more.
COUNTED = {
    f"{POD} containers": 1,
    f"{POD} volumes": 1,
    f"{POD} topologySpreadConstraints": 2,
    "Service/ashapp-backend spec ports": 1,
    f"{POLICY} ingress": 2,
    f"{POLICY} ingress 0 ports": 1,
    f"{POLICY} ingress 1 ports": 1,
    f"{POLICY} ingress 1 from": 1,
    f"{POLICY} egress": 1,
    f"{POLICY} egress 0 ports": 2,
}


def at(objects: Objects, way: str) -> Any:
    """Return what *way* leads to: the kind of an object, maybe with its name, then keys and positions."""
    which, *steps = way.split()
    kind, _, name = which.partition("/")
    found: Any = objects.one(kind, name or None)
    for step in steps:
        found = found[int(step) if isinstance(found, list) else step]
    return found


@pytest.mark.parametrize(("way", "value"), SAID, ids=[way for way, _ in SAID])
def test_an_overlay_says(objects: Objects, way: str, value: object) -> None:
    assert at(objects, way) == value


def test_there_is_no_more_than_that(objects: Objects) -> None:
    assert {way: len(at(objects, way)) for way in COUNTED} == COUNTED
    once = "Namespace ServiceAccount ConfigMap Service Deployment HorizontalPodAutoscaler PodDisruptionBudget"
    assert Counter(item["kind"] for item in objects) == {**dict.fromkeys(once.split(), 1), "NetworkPolicy": 2}


def test_all_is_in_the_namespace_of_the_overlay_and_says_what_it_belongs_to(
    objects: Objects, overlay: Path
) -> None:
    labels = {"app.kubernetes.io/part-of": "ashapp", "app.kubernetes.io/instance": overlay.name}
    for item in objects:
        metadata = item["metadata"]
        where = metadata["name"] if item["kind"] == "Namespace" else metadata["namespace"]
        assert where == f"ashapp-{overlay.name}"
        assert metadata["labels"].items() >= labels.items(), metadata["name"]


def test_the_selectors_find_the_pods(objects: Objects) -> None:
    labels = at(objects, "Deployment spec template metadata labels").items()
    selectors = [
        at(objects, "Deployment spec selector matchLabels"),
        at(objects, "Service spec selector"),
        at(objects, f"{BUDGET} selector matchLabels"),
        at(objects, f"{POLICY} podSelector matchLabels"),
        *(spread["labelSelector"]["matchLabels"] for spread in objects.pod["topologySpreadConstraints"]),
    ]
    assert all(selector and labels >= selector.items() for selector in selectors)


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


def test_its_variables_are_settings_that_the_service_starts_with(
    objects: Objects, settings: Settings
) -> None:
    known = {variable(name) for name in ServerSettings.fields}
    assert {item["name"] for item in objects.container["env"]} <= known
    assert {variable(name) for name in settings.given} == set(objects.environment) <= known
    assert (settings.environment, settings.probes, settings.management_host) == (
        "production",
        True,
        "0.0.0.0",
    )
    assert not [name for name in objects.environment if "SECRET" in name or "PASSWORD" in name]


def test_ports_and_probes_are_those_of_the_service(objects: Objects, settings: Settings) -> None:
    named = {port["name"]: port["containerPort"] for port in objects.container["ports"]}
    assert named == {"http": settings.port, "management": settings.management_port}
    paths = {
        "startup": settings.livez_path,
        "readiness": settings.readyz_path,
        "liveness": settings.livez_path,
    }
    for name, path in paths.items():
        assert objects.container[f"{name}Probe"]["httpGet"] == {"path": path, "port": "http"}


def noticed(objects: Objects, probe: str) -> int:
    """Return the seconds until a failure has consequences, where each probe is answered at once."""
    found: Object = objects.container[f"{probe}Probe"]
    return int(found["periodSeconds"] * found["failureThreshold"])


def rising(objects: Objects, settings: Settings) -> dict[str, list[float]]:
    """Return numbers, each of which is to be at most the one after it, and what that is for."""
    pre_stop = at(objects, f"{POD} containers 0 lifecycle preStop sleep seconds")
    grace = at(objects, f"{POD} terminationGracePeriodSeconds")
    min_ready = at(objects, "Deployment spec minReadySeconds")
    deadline = at(objects, "Deployment spec progressDeadlineSeconds")
    lone = STALL_TIMEOUT if settings.supervisor else LONE_STALL_TIMEOUT
    drain, known = settings.drain_delay, settings.termination_grace_period
    assert drain is not None, "what the manifests count on, they say"
    assert known is not None, "it is told the time that it has"
    shutdown = settings.timeout_graceful_shutdown + settings.timeout_lifespan_shutdown
    bodies = settings.limit_body * settings.threads * settings.workers
    pods = [at(objects, f"{SCALER} {which}Replicas") for which in ("min", "max")]
    return {
        "a stop has the time that it needs": [pre_stop + drain + shutdown + MARGIN, grace],
        "the service knows the time that it has": [known, grace - pre_stop, known],
        "not ready is noticed before the listeners close": [noticed(objects, "readiness"), drain],
        "a new pod that fails at once takes no place": [1, noticed(objects, "readiness"), min_ready],
        "a start may take as long as the service allows": [
            settings.timeout_worker_startup,
            noticed(objects, "startup"),
            deadline - min_ready - 1,
        ],
        "a stalled worker is replaced before the kubelet does it": [
            (lone if settings.stall_timeout is None else settings.stall_timeout) + 1,
            noticed(objects, "liveness"),
        ],
        "/tmp holds a body for each thread": [
            1,
            bodies,
            quantity(at(objects, f"{POD} volumes 0 emptyDir sizeLimit")),
        ],
        "there are more pods than may be missing": [1 + at(objects, f"{BUDGET} maxUnavailable"), *pods],
        "a new pod comes first": [1, at(objects, f"{UPDATE} rollingUpdate maxSurge")],
        "it shrinks with patience": [
            300,
            at(objects, f"{SCALER} behavior scaleDown stabilizationWindowSeconds"),
        ],
    }


def test_times_and_sizes_fit_together(objects: Objects, settings: Settings) -> None:
    relations = rising(objects, settings)
    assert {name: numbers for name, numbers in relations.items() if numbers != sorted(numbers)} == {}


def test_the_autoscaler_alone_says_how_many_pods(objects: Objects) -> None:
    assert "replicas" not in objects.one("Deployment")["spec"]
