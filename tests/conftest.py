# SPDX-License-Identifier: MIT
"""What the tests of every folder need."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from greenlet import _greenlet, getcurrent, greenlet

with suppress(ImportError):  # where a deployed service is tested there is none
    from hypothesis import HealthCheck, settings

    # How long an example takes says how busy the machine is, and no more.
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")

# A run in the background, or by nohup, begins with signals ignored, and so would all that it starts.
for _name in ("SIGINT", "SIGQUIT", "SIGHUP"):
    _signal = getattr(signal, _name, None)  # Windows has not all of them
    if _signal is not None and signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.default_int_handler if _name == "SIGINT" else signal.SIG_DFL)

_main_greenlets: list[greenlet] = []


def _keep_main_greenlet(*_event: object) -> None:
    sys.setprofile(None)
    _main_greenlets.append(getcurrent())


# The eval loop of CPython 3.11 hangs where Python code that is traced runs in a pending call while another
# call is pending. In such a call greenlet frees what belonged to a thread that has ended, and coverage has a
# callback on that: two threads that end at once are enough. So while coverage traces, nothing is freed, nor
# does greenlet search for what holds it.
if sys.version_info < (3, 12) and sys.gettrace() is not None:
    _greenlet.enable_optional_cleanup(False)  # noqa: FBT003 - has no name
    threading.setprofile(_keep_main_greenlet)


@pytest.fixture(autouse=True)
def _own_lines() -> Iterator[None]:
    """Write what waits to be logged, where the package is, before the next test reads what was logged."""
    yield
    if lines := sys.modules.get("ashapp.observe.logs.lines"):
        lines.stderr_lines.flush()
