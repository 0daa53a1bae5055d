# SPDX-License-Identifier: MIT
"""Jobs of an application of which one worker at a time does each."""
