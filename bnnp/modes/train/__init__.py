"""Mode 2: train the networks.

``run.py`` tells what happens, ``output.py`` writes the files, ``report.py`` the log, ``ensemble.py`` makes
the runs of several members. The training itself is :mod:`bnnp.training`.
"""
