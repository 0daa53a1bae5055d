# SPDX-License-Identifier: MIT
"""What the routes and hooks of an application tell about where their code runs, and what wraps it."""
