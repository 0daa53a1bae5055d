# SPDX-License-Identifier: MIT
"""Jobs that one worker of a service runs at a time: ``run_once``."""
