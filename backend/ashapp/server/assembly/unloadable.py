# SPDX-License-Identifier: MIT
"""What a developer is served where the application can't be loaded: the reason, until it is mended."""

import logging
import os
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from ashapp.bridge.messages.types import Environ
from ashapp.server.discovery.targets import find_application
from ashapp.server.errors import StartupError

__all__ = ["find_or_explain"]

_log = logging.getLogger("ashapp.server")

_OWN = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")  # noqa: PTH118, PTH120 - as in frames


class _Broken:
    """Stands for an application that can't be loaded; raises why, with *trace*, its own part of the stack."""

    def __init__(self, error: BaseException, trace: TracebackType | None) -> None:
        self._error = error if isinstance(error, Exception) else RuntimeError(f"it exits: {error}")
        self._trace = trace

    def __call__(self, _environ: Environ, _start_response: Any) -> Iterable[bytes]:
        __traceback_hide__ = True
        raise self._error.with_traceback(self._trace)


def find_or_explain(target: str) -> object:
    """Find the application that *target* names, or log why there is none, and return one that raises that."""
    try:
        return find_application(target)
    except StartupError as refusal:
        error = refusal.__cause__ or refusal
        trace = _own_trace(error.__traceback__)
        shown = "" if trace is None else "\n" + "".join(traceback.format_tb(trace)).rstrip()
        _log.error("%s%s", refusal.message, shown)
        return _Broken(error, trace)


def _own_trace(trace: TracebackType | None) -> TracebackType | None:
    """Return *trace* from where it leaves this package and what imports modules."""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith(("<frozen", _OWN)) and "importlib" not in name:
            break
        trace = trace.tb_next
    return trace
