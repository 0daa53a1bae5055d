# SPDX-License-Identifier: MIT
"""What makes Flask's dispatch faster and changes nothing else: URL matching, stages that are skipped."""

__all__ = ["ENABLED"]

#: Whether an application that ``FlaskToAsgi`` wraps from now on gets them. The tests run without them, too.
ENABLED = True
