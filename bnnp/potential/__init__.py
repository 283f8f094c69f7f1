"""A potential that can be evaluated, and its files.

Read in this order: ``member.py`` (the networks of one training; options of the evaluation), ``potential.py``
(from a structure to a :mod:`bnnp.prediction`), ``files.py`` (reading and writing the files of a potential),
``loading.py`` (from files and input.nn to a potential), ``assessment.py`` (errors of predictions).
"""
