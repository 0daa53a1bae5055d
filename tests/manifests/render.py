# SPDX-License-Identifier: MIT
"""Render the overlays with kustomize, as ``kubectl`` has it built in.

``python -m tests.manifests.render DIRECTORY`` writes, for checkers of files, each overlay as it is deployed,
with the digest of an image, and the observability.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["IMAGE", "MANIFESTS", "OVERLAYS", "RenderError", "kustomize", "release"]

IMAGE = "ashwanth01/ashapp-backend"

MANIFESTS = Path(__file__).parents[2] / "manifests"
OVERLAYS = ("staging", "production")

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


def release(overlay: Path, digest: str) -> str:
    """Return the YAML of an overlay with the digest of an image, as a pipeline deploys it.

    Raises `RenderError` as `kustomize` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        # Resources are relative, by kustomize's rules.
        resource = os.path.relpath(overlay, Path(folder).resolve())
        images = f"[{{name: {IMAGE}, digest: '{digest}'}}]"
        (Path(folder) / "kustomization.yaml").write_text(f"resources: ['{resource}']\nimages: {images}\n")
        return kustomize(Path(folder))


def _main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    texts = {name: release(MANIFESTS / "overlays" / name, f"sha256:{'0' * 64}") for name in OVERLAYS}
    texts["observability"] = kustomize(MANIFESTS / "observability")
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        _main(Path(sys.argv[1]))
    except RenderError as error:
        sys.exit(str(error))
