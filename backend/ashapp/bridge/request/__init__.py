# SPDX-License-Identifier: MIT
"""One call of a WSGI application, on a thread or on the loop, with its input and its output."""
