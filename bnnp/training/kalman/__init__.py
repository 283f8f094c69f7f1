"""The extended Kalman filter of mode 2.

Read in this order: ``filter.py`` (the equations), ``updates.py`` (what one update takes up), ``plans.py``
(which updates an epoch has: bnnp's, RuNNer's, n2p2's), ``ranking.py`` (the order of errors), ``rows.py`` and
``observations.py`` (errors and derivatives), ``symmetric_matrix.py`` (the covariance).
"""
