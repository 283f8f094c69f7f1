"""Properties from trajectories and data sets; the modules are independent of each other, but for the last.

``radial.py``: radial distribution functions. ``angular.py``: bond-angle distributions. ``motion.py``:
diffusion and vibrational spectra. ``transport.py``: Green-Kubo. ``phonons.py``, ``elasticity.py``: crystals,
by every sample of a potential. ``data_set.py``: compositions, energies and distances of a data set, with its
labels: ``label_sizes.py`` (what no calculation gives), ``label_work.py`` (what contradicts along a run).
"""
