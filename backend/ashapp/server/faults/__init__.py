# SPDX-License-Identifier: MIT
"""Faults on request, for those who test how a service and what is around it behave when something fails."""
