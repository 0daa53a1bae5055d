# SPDX-License-Identifier: MIT
"""``python -m tests.benchmarks.servers.fast_wsgi PORT``: FastWSGI has no command for python -m."""

import importlib
import sys

from tests.benchmarks.servers.apps import app

if __name__ == "__main__":
    # By name: the package is installed for the benchmark alone, not where types are checked.
    importlib.import_module("fastwsgi").run(wsgi_app=app, host="127.0.0.1", port=int(sys.argv[1]))
