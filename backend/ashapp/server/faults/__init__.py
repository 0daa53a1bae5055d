# SPDX-License-Identifier: MIT
"""Faults on request: errors, latency, crashes and more, to test how a service and its surroundings react."""
