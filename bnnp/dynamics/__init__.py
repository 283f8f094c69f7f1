"""Molecular dynamics with ASE's integrators, and when to stop it.

Read in this order: ``stages.py`` (ensemble, temperature and length of a stage), ``integrators.py``,
``simulation.py`` (a run through its stages), ``observables.py`` and ``heat_flux.py`` (what is recorded of a
step), ``stop_rule.py`` (thresholds on the uncertainty), ``guard.py`` (limits of what is physical),
``candidates.py`` (frames for new reference calculations).
"""
