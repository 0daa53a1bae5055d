# SPDX-License-Identifier: MIT
"""A copy of this repository, as it is in the working tree, that a test may break."""

import shutil
import subprocess
from pathlib import Path

__all__ = ["ROOT", "Checkout"]

ROOT = Path(__file__).parents[2]


class Checkout:
    """A git repository at *path*, with the files that git does not ignore, committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name in _git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
            # A file that is deleted, and not yet for git, is not there.
            if name and (ROOT / name).exists():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, path / name)
        _git(path, "init", "--quiet", "--initial-branch", "main")
        self.commit_hash = self._commit()

    def replace(self, name: str, old: str, new: str) -> None:
        """Put *new* for *old*, which must be in the file once."""
        text = (self.path / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{text.count(old)} times {old!r} in {name}"
        (self.path / name).write_text(text.replace(old, new), encoding="utf-8")
        self.commit_hash = self._commit()

    def _commit(self) -> str:
        _git(self.path, "add", "--all")
        identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        _git(self.path, *identity, "commit", "--quiet", "--message", "Test")
        return _git(self.path, "rev-parse", "HEAD").strip()


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=60, check=True
    ).stdout
