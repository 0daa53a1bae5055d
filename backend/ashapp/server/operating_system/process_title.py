# SPDX-License-Identifier: MIT
"""The titles of processes, for ``ps`` and ``top``: where ``setproctitle`` is installed."""

from importlib import import_module
from importlib.util import find_spec

__all__ = ["set_title"]


def set_title(role: str, app: str) -> None:
    """Call this process by its *role* and the *app* that it serves."""
    if find_spec("setproctitle") is not None:
        import_module("setproctitle").setproctitle(f"ashapp: {role} [{app}]")
