"""The calibration of standard deviations, at the end of mode 2 or before mode 3 predicts.

Begin with ``run.py``; ``sets.py`` selects and reads the structures that are kept from the training for it,
``observations.py`` collects errors and sigmas and fits the calibration, ``report.py`` writes the tables.
"""
