# SPDX-License-Identifier: MIT
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.older import adapted
from tests.manifests.objects import Objects
from tests.manifests.render import kustomize

OVERLAY = Path(__file__).parent / "overlay"


@pytest.fixture(scope="module")
def rendered() -> str:
    return kustomize(OVERLAY)


def pre_stop(objects: Objects) -> Any:
    return objects.container["lifecycle"]["preStop"]


def test_the_version_that_the_manifests_are_for_gets_them_as_they_are(rendered: str) -> None:
    assert list(Objects.read(adapted(rendered, 30))) == list(Objects.read(rendered))


def test_an_older_version_sleeps_as_long_by_a_command(rendered: str) -> None:
    seconds = pre_stop(Objects.read(rendered))["sleep"]["seconds"]
    assert pre_stop(Objects.read(adapted(rendered, 29))) == {"exec": {"command": ["sleep", str(seconds)]}}


def test_an_old_version_gets_the_budget_that_it_knows(rendered: str) -> None:
    (budget,) = Objects.read(adapted(rendered, 20)).of("PodDisruptionBudget")
    assert budget["apiVersion"] == "policy/v1beta1"
    assert budget["spec"]["maxUnavailable"] == 1
    assert "unhealthyPodEvictionPolicy" not in budget["spec"]
    assert "matchLabelKeys" not in adapted(rendered, 20)
