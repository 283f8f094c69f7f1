"""Charges of the atoms and their electrostatic energy: potentials of the third and fourth generation.

Read ``ewald.py`` (widths and cutoffs of the sums over a periodic structure), ``coulomb.py`` (interaction of
Gaussian charges, and its derivatives), ``equilibration.py`` (charges that minimize the energy), and
``electrostatics.py``, the object a potential has. ``electronegativity.py`` has what charges begin with that
are not known.
"""

TOLERANCE = 0.05  # e: largest difference between the sum of the charges and the total charge
