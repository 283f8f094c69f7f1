"""Mode 2: train the networks.

Begin with ``run.py``; ``output.py`` writes the files, ``report.py`` the log, ``ensemble.py`` sets up the
trainings of several members. The training itself is :mod:`bnnp.training`.
"""
