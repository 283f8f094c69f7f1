"""The extended Kalman filter of mode 2.

Read in this order: ``filter.py`` (the equations), ``updates.py`` (observations, and updates made of them),
``plans.py`` (which updates an epoch has: bnnp's, RuNNer's, n2p2's), ``ranking.py`` (observations sorted by
their errors), ``rows.py`` and ``observations.py`` (errors and derivatives), ``symmetric_matrix.py`` (the
covariance).
"""
