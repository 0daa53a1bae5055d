# SPDX-License-Identifier: MIT
"""WebSockets of libraries that take the socket of a request and speak the protocol themselves."""
