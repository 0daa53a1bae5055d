# SPDX-License-Identifier: MIT
"""Kubernetes objects as read from YAML, and quantities in them."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

__all__ = ["Object", "Objects", "quantity"]

Object = Mapping[str, Any]

# Kubernetes API conventions, "Quantity": the suffixes that are used here.
_FACTORS = {"": 1.0, "m": 1e-3, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")


class Objects(list[Object]):
    """What a kustomization renders to."""

    @classmethod
    def read(cls, text: str) -> "Objects":
        """Return the documents of a YAML stream."""
        return cls(yaml.safe_load_all(text))

    def of(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        return [item for item in self if item["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> Object:
        """Return the only object of a kind, or of that kind and name."""
        found = [item for item in self.of(kind) if name in {None, item["metadata"]["name"]}]
        assert len(found) == 1, f"{len(found)} objects of kind {kind} and name {name}"
        return found[0]

    @property
    def pod(self) -> Object:
        """The pod's specification in the Deployment."""
        pod: Object = self.one("Deployment")["spec"]["template"]["spec"]
        return pod

    @property
    def container(self) -> Object:
        """The only container of the pod."""
        (container,) = self.pod["containers"]
        return container  # type: ignore[no-any-return]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the ConfigMap gives to the container."""
        (source,) = self.container["envFrom"]
        data: dict[str, str] = self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return data


def quantity(text: str | int) -> float:
    """Return a quantity, such as ``250m`` or ``192Mi``, as a number of cores or bytes."""
    match = _QUANTITY.fullmatch(str(text))
    assert match is not None, f"{text!r} is no quantity"
    return float(match[1]) * _FACTORS[match[2]]
