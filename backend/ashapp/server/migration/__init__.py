# SPDX-License-Identifier: MIT
"""Coming from another server: what its settings are called here."""
