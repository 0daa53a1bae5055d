# SPDX-License-Identifier: MIT
"""Serve an application with uvicorn: settings, the command line, probes.

Only this subpackage imports uvicorn; the bridge is usable without it.
"""
