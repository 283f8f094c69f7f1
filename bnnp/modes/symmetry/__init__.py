"""Mode 1: symmetry functions.

Begin with ``run.py``; ``selection.py`` divides the structures into sets, ``storage.py`` estimates the size of
the file and computes it, ``ranges.py`` finds functions that hardly vary or repeat another.
"""
