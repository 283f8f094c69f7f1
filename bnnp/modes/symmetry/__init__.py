"""Mode 1: symmetry functions.

``run.py`` tells what happens: ``selection.py`` says which structures are used for what, ``storage.py`` what
the file will take, ``ranges.py`` which functions hardly vary or repeat another.
"""
