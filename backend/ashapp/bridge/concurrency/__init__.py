# SPDX-License-Identifier: MIT
"""The event loop, greenlets and threads that run code of requests, and the context it runs in."""
