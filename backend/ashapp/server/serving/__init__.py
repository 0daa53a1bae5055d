# SPDX-License-Identifier: MIT
"""A process that serves: its sockets, its connections, and its end."""
