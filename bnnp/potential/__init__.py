"""A potential and its files.

Read in this order: ``member.py`` (the networks of one training, and how a potential is evaluated),
``potential.py`` (from a structure to a :mod:`bnnp.prediction`), ``files.py`` (the files of a potential: read
once, written once), ``loading.py`` (from files and input.nn to a potential), ``assessment.py`` (predictions
against references).
"""
