# SPDX-License-Identifier: MIT
"""Logs, metrics and traces of a running service. Imports neither the bridge nor the server."""
