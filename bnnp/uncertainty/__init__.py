"""Standard deviations of predictions: where they come from, how they are calibrated, and what they are worth.

Read in this order: ``ensemble.py`` (several networks as one sampler), ``training_statistics.py`` (distance
from the training set, last layer), ``hybrid.py`` (these with the Monte Carlo samples), ``variance.py`` and
``maps.py`` (fits of sigma to errors), ``calibration.py`` (all quantities of a potential),
``extrapolation.py`` (symmetry functions outside of their training range).

Scores of sigma: ``metrics.py`` (sums over structures), ``scores.py``, ``reliability.py``, ``ranking.py``,
``detection.py``.
"""
