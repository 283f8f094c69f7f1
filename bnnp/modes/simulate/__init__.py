"""Mode 3 with ``md_steps``: molecular dynamics that knows when to stop.

``run.py`` tells what happens: ``plan.py`` is what input.nn asks for, ``loop.py`` the steps with their looks
at the uncertainty, ``output.py`` the files, ``report.py`` the log.
"""
