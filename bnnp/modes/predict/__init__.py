"""Mode 3: predict.

``run.py`` tells what happens to every structure, ``report.py`` writes the tables of the log.
"""
