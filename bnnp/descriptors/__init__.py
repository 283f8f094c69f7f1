"""From a structure to its symmetry functions, and the derivatives of them.

Read in this order: ``cutoffs.py``, ``functions.py`` (a symmetry function as input.nn defines it),
``formulas.py`` and ``acsf.py`` (the readable reference in torch), ``neighbors.py`` (and ``skin.py``: lists
for atoms that move little), ``compiled.py`` (the same numbers from the C++ core; ``device.py``: on a GPU),
``pairs.py`` (from pairs to forces), ``scaling.py`` (network inputs) and ``statistics.py`` (over many atoms).

Choosing functions: ``generate.py`` (published recipes) on ``grids.py``, ``environments.py`` (sampled atoms),
``pruning.py``, all together in ``pool.py``. Judging data: ``survey.py`` (one structure), ``length_unit.py``
(bohr or Angstrom).
"""
