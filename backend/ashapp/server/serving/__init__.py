# SPDX-License-Identifier: MIT
"""A process that serves: what it logs at its start, its sockets, its connections, and its end."""
