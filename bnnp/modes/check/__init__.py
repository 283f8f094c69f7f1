"""``bnnp --check``: read and check both files, estimate time and memory, run nothing.

Begin with ``run.py``; ``inputs.py`` shows what the files hold, ``costs.py`` estimates time and memory of each
mode.
"""
