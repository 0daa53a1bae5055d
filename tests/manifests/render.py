# SPDX-License-Identifier: MIT
"""Render the overlays with kustomize, as ``kubectl`` has it built in.

``python -m tests.manifests.render DIRECTORY`` writes a file for each overlay, for checkers that read files.
"""

import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["MANIFESTS", "OVERLAYS", "RenderError", "kustomize"]

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


def _main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for path in (*(MANIFESTS / "overlays" / name for name in OVERLAYS), MANIFESTS / "observability"):
        (directory / f"{path.name}.yaml").write_text(kustomize(path), encoding="utf-8")


if __name__ == "__main__":
    try:
        _main(Path(sys.argv[1]))
    except RenderError as error:
        sys.exit(str(error))
