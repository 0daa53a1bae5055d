# SPDX-License-Identifier: MIT
"""The source package of an installed distribution, from the package index."""

import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

__all__ = ["SourceUnavailableError", "unpack_source"]


class SourceUnavailableError(RuntimeError):
    """The package index can't be reached, or does not have the source of this release."""


def unpack_source(distribution: str, cache: Path, destination: Path) -> Path:
    """Unpack the source of exactly the installed release into *destination*; return its folder.

    The archive is kept in *cache*: with it there, no package index is needed.

    Raises:
        SourceUnavailableError: pip could not get it.

    """
    release = f"{distribution}-{version(distribution)}"
    archive = cache / f"{release}.tar.gz"
    if not archive.exists():
        _download(distribution, archive)
    with tarfile.open(archive) as tar:
        tar.extractall(destination, filter="data")
    return destination / release


def _download(distribution: str, archive: Path) -> None:
    requirement = f"{distribution}=={version(distribution)}"
    with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", distribution]
        process = subprocess.run(
            [*command, "--dest", folder, requirement],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        found = list(Path(folder).glob("*.tar.gz"))
        if process.returncode != 0 or len(found) != 1:
            raise SourceUnavailableError(
                f"pip can't download the source package of {requirement}; these tests need a package index."
                f"\n{process.stdout}{process.stderr}"
            )
        found[0].rename(archive)
