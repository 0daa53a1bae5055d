# SPDX-License-Identifier: MIT
"""What makes Flask's dispatch faster, and changes nothing else.

Each shortcut is in a file of its own, and is left where the application, an extension or a tool has put
something of its own in place of what the shortcut does. Each lists the methods of Flask and Werkzeug that are
meant (see ``originals``), and ``bridge/flask/patches.py`` what is replaced.
"""

__all__ = ["ENABLED"]

#: Whether an application that ``FlaskToAsgi`` wraps from now on gets them. The tests run without them, too.
ENABLED = True
