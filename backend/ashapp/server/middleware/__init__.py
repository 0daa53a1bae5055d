# SPDX-License-Identifier: MIT
"""What answers or changes a scope before the application sees it: see ``front``."""
