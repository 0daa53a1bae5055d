# SPDX-License-Identifier: MIT
"""The processes of a service: its start, a supervisor, the workers, and a reloader."""
