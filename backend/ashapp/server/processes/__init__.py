# SPDX-License-Identifier: MIT
"""Several processes: a supervisor, its workers, and a reloader."""
