# SPDX-License-Identifier: MIT
"""What answers or changes a request before the application sees it."""
