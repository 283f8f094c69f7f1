"""The calibration of standard deviations, at the end of mode 2 or before mode 3 predicts.

``run.py`` tells what happens: ``sets.py`` says which structures are kept from the training for it,
``structures.py`` reads them, ``observations.py`` collects errors and sigmas, ``report.py`` writes the tables.
"""
