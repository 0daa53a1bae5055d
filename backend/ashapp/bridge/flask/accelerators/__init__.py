# SPDX-License-Identifier: MIT
"""Shortcuts that make Flask's dispatch faster, and change nothing else.

Each shortcut is in a file of its own. It is not taken if the application, an extension or a tool has replaced
one of the methods that it shortens. Each file lists these methods of Flask and Werkzeug (see ``originals``),
and ``bridge/flask/patches.py`` lists all that is replaced.
"""

__all__ = ["ENABLED"]

#: Whether applications that ``FlaskToAsgi`` wraps from now on get them. The tests run without them, too.
ENABLED = True
