# SPDX-License-Identifier: MIT
"""The command ``ashapp``, and ``python -m ashapp``.

``ashapp check`` is a probe: it is answered without importing the rest of the command line.
"""

import gc
import os
import sys
from typing import Any, NoReturn

__all__ = ["main"]

# The exit code of what SIGINT has ended, as shells have it.
_INTERRUPTED = 130


def main(**options: Any) -> None:
    """Run the command; *options* are those of click."""
    try:
        _run(options)
    except KeyboardInterrupt:  # while it imports: a command that runs handles it
        _end_by_sigint()


def _run(options: dict[str, Any]) -> None:
    _open_standard_files()
    _escape_what_is_not_encoded()
    if sys.argv[1:2] == ["check"]:
        from ashapp.server.cli import check  # noqa: PLC0415 - see above

        sys.exit(check.main(sys.argv[2:]))
    _handle_signals()
    # Nearly all that is imported stays: to look for garbage in it, again and again, is a part of a start.
    gc.disable()
    from ashapp.server.cli import main as command  # noqa: PLC0415 - see above

    gc.freeze()
    gc.enable()
    command.main(**options)


def _end_by_sigint() -> NoReturn:
    """End as Python does, so that a shell knows of it, but without a traceback."""
    import signal  # noqa: PLC0415 - nothing needs it in a probe

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.raise_signal(signal.SIGINT)
    sys.exit(_INTERRUPTED)  # process 1 is not ended by it


def _open_standard_files() -> None:
    if any(stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)):
        from ashapp.server.operating_system.inheritance import open_standard_files  # noqa: PLC0415 - see above

        open_standard_files()


def _escape_what_is_not_encoded() -> None:
    """Let standard output escape what its encoding lacks, such as a letter, as standard error does."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)  # a stand-in need not have it
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def _handle_signals() -> None:
    from ashapp.server.operating_system.inheritance import heed_children, let_signals_through  # noqa: PLC0415 - see above
    from ashapp.server.operating_system.signals import outlive  # noqa: PLC0415 - see above

    if os.getpid() == 1:  # of a container
        from ashapp.server.operating_system.init_process import heed_sigterm  # noqa: PLC0415 - see above

        heed_sigterm()
    else:
        outlive()
    heed_children()
    let_signals_through()


if __name__ == "__main__":
    main(prog_name="python -m ashapp")
