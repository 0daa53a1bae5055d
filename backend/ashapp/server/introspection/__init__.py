# SPDX-License-Identifier: MIT
"""The routes and hooks of an application, and where the code of each runs."""
