"""Mode 3 with ``md_steps``: molecular dynamics with a stop rule.

Begin with ``run.py``; ``plan.py`` reads what input.nn asks for, ``loop.py`` runs the steps and checks the
uncertainty, ``output.py`` writes the files, ``report.py`` the log.
"""
