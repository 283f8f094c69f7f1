"""Mode 3: predict.

Begin with ``run.py``; ``structure.py`` predicts and checks one structure, ``report.py`` writes the tables of
the log.
"""
