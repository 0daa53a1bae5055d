# SPDX-License-Identifier: MIT
"""Render the overlays with kustomize, as ``kubectl`` has it built in.

``python -m tests.manifests.render DIRECTORY`` writes, for checkers of files, each overlay as it is deployed,
with the digest of an image, and what is applied beside them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["IMAGE", "MANIFESTS", "OTHERS", "OVERLAYS", "RenderError", "component", "kustomize", "release"]

IMAGE = "ashwanth01/ashapp-backend"

MANIFESTS = Path(__file__).parents[2] / "manifests"
OVERLAYS = ("staging", "production")
#: What is applied beside them, each with the namespace that its user gives it.
OTHERS = {"deployer/production": "", "deployer/staging": "", "load": "ashapp-staging", "observability": ""}

_MISSING = (
    "kubectl is not on the PATH. It renders the manifests: install version 1.21 or newer "
    "(https://kubernetes.io/docs/tasks/tools/), or run `tox -e manifests`, which brings one."
)


class RenderError(Exception):
    """A kustomization can't be rendered, or not without a warning."""


def kustomize(directory: Path) -> str:
    """Return the YAML of a kustomization.

    Raises `RenderError` where ``kubectl`` is missing or has anything to say, a warning included.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise RenderError(_MISSING)
    result = subprocess.run(
        [kubectl, "kustomize", str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if result.returncode or result.stderr:
        raise RenderError(f"kubectl kustomize {directory}: exit code {result.returncode}\n{result.stderr}")
    return result.stdout


def component(*names: str) -> str:
    """Return the YAML of the base with components.

    Raises `RenderError` as `kustomize` does.
    """
    return _render([MANIFESTS / "base"], components=[MANIFESTS / "components" / name for name in names])


def release(overlay: Path, digest: str, namespace: str = "") -> str:
    """Return the YAML of an overlay with the digest of an image; in *namespace* if that is given.

    Raises `RenderError` as `kustomize` does.
    """
    return _render([overlay], images=[{"name": IMAGE, "digest": digest}], namespace=namespace)


def _render(resources: list[Path], components: Iterable[Path] = (), **fields: object) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        paths = {"resources": resources, "components": components}
        # They are relative, by kustomize's rules.
        relative = {each: [os.path.relpath(path, folder) for path in paths[each]] for each in paths}
        (folder / "kustomization.yaml").write_text(json.dumps({**relative, **fields}))
        return kustomize(folder)


def _main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    digest = f"sha256:{'0' * 64}"
    texts = {name: release(MANIFESTS / "overlays" / name, digest) for name in OVERLAYS}
    texts |= {name: release(MANIFESTS / name, digest, namespace) for name, namespace in OTHERS.items()}
    for name, text in texts.items():
        (directory / f"{name.replace('/', '-')}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        _main(Path(sys.argv[1]))
    except RenderError as error:
        sys.exit(str(error))
