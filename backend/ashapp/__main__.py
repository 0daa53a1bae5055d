# SPDX-License-Identifier: MIT
"""The command ``ashapp``, and ``python -m ashapp``.

``ashapp check`` is a probe: it is answered without importing the rest of the command line.
"""

import gc
import os
import sys
from typing import Any

__all__ = ["main"]


def main(**options: Any) -> None:
    """Run the command; *options* are those of click."""
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


def _handle_signals() -> None:
    from ashapp.server.system.signals import outlive, release  # noqa: PLC0415 - see above

    if os.getpid() == 1:  # of a container
        from ashapp.server.system.init_process import heed_sigterm  # noqa: PLC0415 - see above

        heed_sigterm()
    else:
        outlive()
    release()


if __name__ == "__main__":
    main(prog_name="python -m ashapp")
