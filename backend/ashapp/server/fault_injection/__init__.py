# SPDX-License-Identifier: MIT
"""Fault injection: latency, errors, crashes and more, to see how a service and its cluster react."""
