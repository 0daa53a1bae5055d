# SPDX-License-Identifier: MIT
"""Proxies in front of the service: which are trusted, forwarded headers, and the PROXY protocol."""
