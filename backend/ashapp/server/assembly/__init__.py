# SPDX-License-Identifier: MIT
"""The ASGI application of a process that serves, made from what the settings name."""
