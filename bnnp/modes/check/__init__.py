"""``bnnp --check``: read and check both files, estimate time and memory, run nothing.

``run.py`` tells what happens: ``settings.py`` and ``data.py`` show what the files say, the modules
``..._cost`` what each mode would take.
"""
