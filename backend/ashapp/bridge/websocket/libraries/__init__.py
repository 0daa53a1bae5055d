# SPDX-License-Identifier: MIT
"""WebSockets of libraries that take the connection of a request and speak the protocol themselves."""
