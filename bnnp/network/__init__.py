"""Element networks: from scaled symmetry functions to atomic energies, plain or with dropout masks.

Read in this order: ``architecture.py`` (nodes and activations), ``activations.py``, ``dense.py`` (the
network, its energy and gradient), ``initial.py`` (weights before training), ``masks.py`` (dropout),
``sampling.py`` (all Monte Carlo samples at once, the readable reference), ``compiled.py`` (the same from the
C++ core).
"""
