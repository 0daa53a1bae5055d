# SPDX-License-Identifier: MIT
"""``python -m ashapp`` is the command ``ashapp``."""

from ashapp.server.cli import main

if __name__ == "__main__":
    main(prog_name="python -m ashapp")
