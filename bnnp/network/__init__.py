"""Element networks: from scaled symmetry functions to atomic energies, plain or with dropout masks.

Read in this order: ``architecture.py`` (nodes and activations), ``dense.py`` (weights and biases),
``initial.py`` (those before training), ``masks.py`` (dropout), ``activations.py`` and ``tensors.py`` (energy
and gradient by torch, for training and as the readable reference), ``compiled.py`` (all Monte Carlo samples
at once from the C++ core).
"""
