# SPDX-License-Identifier: MIT
"""The images that are rolled out: the project's with an application, whose answers tell them apart."""

import os
import shlex
import subprocess
from pathlib import Path

from tests.container.engine import docker
from tests.manifests.render import MANIFESTS

__all__ = ["base", "foreign", "generation"]

_REPOSITORY = "ashapp-cluster-test"
_APPLICATION = Path(__file__).parent / "image"


def base() -> str:
    """Build the project's own image, and return its tag."""
    return _build(MANIFESTS.parent, "base")


def generation(base: str, name: str, application: str = "application:app") -> str:
    """Build an image whose *application* answers with *name*, and return its tag."""
    arguments = {"BASE": base, "GENERATION": name, "APPLICATION": application}
    options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    return _build(_APPLICATION, name, *options)


def foreign(base: str) -> str:
    """Build an image with httpbin, and return its tag."""
    file = _APPLICATION / "foreign.Dockerfile"
    return _build(_APPLICATION, "foreign", f"--file={file}", f"--build-arg=BASE={base}")


def _build(context: Path, name: str, *options: str) -> str:
    tag = f"{_REPOSITORY}:{name}"
    docker("build", "--quiet", "--tag", tag, *options, str(context), timeout=900)
    # A cluster whose nodes have an engine of their own, such as kind's, is given the image.
    if load := shlex.split(os.environ.get("ASHAPP_CLUSTER_LOAD", "")):
        subprocess.run([*load, tag], timeout=300, check=True)
    return tag
